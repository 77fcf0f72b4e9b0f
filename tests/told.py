"""A service that is told things: a real HTTP server that Apprise's json:// and form:// reach, and that can refuse, or never answer."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from tests.sshd import wait_for


class Told:
    """What came, in order: ``path`` and the fields ``title``, ``message``, ``type``."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.came: list[dict[str, Any]] = []
        self.status = 200
        self.silent = threading.Event()  # set: no answer, until it is cleared by the end
        self.over = threading.Event()

    def url(self, path: str = "/hook", scheme: str = "json") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def titles(self) -> list[str]:
        return [str(one["title"]) for one in self.came]

    def until(self, *titles: str, deadline: float = 60.0) -> None:
        """Until these came, in this order and no others."""
        try:
            wait_for(lambda: len(self.came) >= len(titles), f"{len(titles)} notifications", deadline)
        finally:
            assert self.titles() == list(titles)


@contextlib.contextmanager
def service() -> Iterator[Told]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = "json" not in (self.headers["Content-Type"] or "")
            fields = dict(parse_qsl(body.decode())) if form else json.loads(body)
            told.came.append({"path": self.path, **fields})
            if told.silent.is_set():
                told.over.wait(60)
                return
            self.send_response(told.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told = Told(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
