"""A real HTTP server in a thread whose answers a test writes itself, down to a body that breaks off."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.sshd import free_port

Answer = Callable[["Handler"], None]


@dataclass
class Site:
    """``answers`` by path; ``requests`` are what came in, as (path, headers). ``released`` lets slow answers end."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


class Handler(BaseHTTPRequestHandler):
    site: Site
    posted: bytes = b""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path
        self.site.requests.append((path, {name.lower(): value for name, value in self.headers.items()}))
        answer = self.site.answers.get(path, status(404))
        answer(self)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.posted = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        return  # not between the tests' own lines

    def send(self, code: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def body(content: bytes, **headers: str) -> Answer:
    return lambda handler: handler.send(
        200, {name.replace("_", "-"): value for name, value in headers.items()}, content
    )


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.send(code, {name.replace("_", "-"): value for name, value in headers.items()})


def redirect(url: str, code: int = 302) -> Answer:
    return lambda handler: handler.send(code, {"Location": url})


def in_turn(*answers: Answer) -> Answer:
    """One after the other; the last one stays."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def truncated(content: bytes, sent: int) -> Answer:
    """Promises all of ``content``, sends ``sent`` bytes of it and closes."""

    def answer(handler: Handler) -> None:
        handler.send(200, {"Content-Length": str(len(content)), "Connection": "close"}, content[:sent])
        handler.close_connection = True

    return answer


def endless(first: bytes) -> Answer:
    """Sends ``first`` of what it promises, then nothing until the test lets it end."""

    def answer(handler: Handler) -> None:
        handler.send(200, {"Content-Length": str(len(first) + 1000)}, first)
        handler.wfile.flush()
        handler.site.released.wait(60)
        handler.close_connection = True

    return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: clients that break off are what is tested."""


@contextmanager
def http_site(tls: ssl.SSLContext | None = None, name: str = "127.0.0.1") -> Iterator[Site]:
    site = Site()
    server = _Server(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site.url = f"{'https' if tls else 'http'}://{name}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    return free_port()
