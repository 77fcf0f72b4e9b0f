"""A local HTTP server that answers as Unleash 7.5 does: the shapes and the words are those that a real one gave, written down.

``QD_TEST_UNLEASH`` (a URL) and ``QD_TEST_UNLEASH_TOKEN`` (of its admin API) have the contract's tests ask a real one besides.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "*:*.0123456789abcdef-admin"
_PLACE = re.compile(
    r"/api/admin/projects/default/features/([^/]+)/environments/([^/]+)(/on|/off|/strategies(?:/[^/]+)?)?"
)


class UnleashServer:
    """``flags`` by key, each with ``enabled`` and ``strategies`` of the environment ``production``. ``busy``: so many requests are answered
    with 429 first, ``failing`` POSTs with 503; ``stubborn``: it takes changes and makes none; ``client``: the token is a client's;
    ``said_back``: what it says of a token that it does not know holds it."""

    def __init__(self) -> None:
        self.url = ""
        self.flags: dict[str, dict[str, Any]] = {}
        self.busy = 0
        self.failing = 0
        self.stubborn = False
        self.client = False
        self.said_back = False
        self.silent = threading.Event()
        self.silent.set()
        self.asked: list[tuple[str, str]] = []

    def add(self, flag: str, *strategies: dict[str, Any], enabled: bool = False) -> None:
        self.flags[flag] = {"enabled": enabled, "strategies": list(strategies)}

    def rollout(self, flag: str) -> str:
        (strategy,) = self.flags[flag]["strategies"]
        return str(strategy["parameters"]["rollout"])

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        self.asked.append((method, path))
        self.silent.wait(30)
        if self.busy:
            self.busy -= 1
            return 429, {"name": "TooManyRequests", "message": "Too many requests"}, {"Retry-After": "0"}
        if self.failing and method == "POST":
            self.failing -= 1
            return 503, {}, {}
        if token != TOKEN:
            message = f"no such token: {token}" if self.said_back else "You must log in to use Unleash."
            return 401, {"name": "UnauthorizedError", "message": message, "details": [{"message": message}]}, {}
        if self.client:
            return 403, {"message": "invalid token: expected a different token type for this endpoint"}, {}
        found = _PLACE.fullmatch(path)
        name, environment, what = found.groups() if found is not None else ("", "", "")
        flag = self.flags.get(name)
        if flag is None or environment != "production":
            message = f'There\'s no feature named "{name}" in project "default".'
            return 404, {"name": "NotFoundError", "message": message, "details": [{"message": message}]}, {}
        if self.stubborn and method != "GET":
            return 200, {}, {}
        if what in ("/on", "/off"):
            flag["enabled"] = what == "/on"
            return 200, None, {}
        if method == "POST":
            made = {"id": f"0000-{len(flag['strategies'])}", "segments": [], "disabled": False, **json.loads(body)}
            flag["strategies"].append(made)
            return 200, made, {}
        if method == "PATCH":
            for strategy in flag["strategies"]:
                if strategy["id"] == what.rpartition("/")[2]:
                    (change,) = json.loads(body)
                    assert (change["op"], change["path"]) == ("replace", "/parameters/rollout")
                    assert isinstance(change["value"], str)
                    strategy["parameters"]["rollout"] = change["value"]
                    return 200, strategy, {}
        return 200, {"name": name, "environment": environment, **flag}, {}


def strategy(rollout: str, **keys: Any) -> dict[str, Any]:
    """As it stands in an answer."""
    parameters = {"groupId": "new-checkout", "rollout": rollout, "stickiness": "default"}
    told: dict[str, Any] = {
        "id": "7c515bec-ac4d",
        "name": "flexibleRollout",
        "title": None,
        "parameters": parameters,
        "constraints": [],
    }
    return {**told, "variants": [], "sortOrder": 0, "disabled": False, **keys}


@contextmanager
def unleash_server() -> Iterator[UnleashServer]:
    server = UnleashServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            token = self.headers.get("Authorization", "")
            status, answer, headers = server.answer(self.command, self.path, token, body)
            content = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_PATCH(self) -> None:
            self.answer()

        def log_message(self, format: str, *arguments: object) -> None:
            return  # not between the tests' own lines

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return  # whoever asked has gone at its deadline

    http = Server(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.silent.set()
        http.shutdown()
        http.server_close()
        thread.join(10)
