"""In the place of a registry: answers every question with one status, as one does that lets nobody in.

``python refusing_registry.py PORT STATUS``
"""

import http.server
import sys
from typing import Final


class Refuses(http.server.BaseHTTPRequestHandler):
    timeout = 1  # an engine tries TLS first, and would wait
    status = 401

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_SAID)))
        self.end_headers()
        self.wfile.write(_SAID)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


_SAID: Final = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'

if __name__ == "__main__":
    Refuses.status = int(sys.argv[2])
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Refuses).serve_forever()
