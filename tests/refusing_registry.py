"""A registry that does nothing but let nobody in. `python refusing_registry.py PORT STATUS`"""

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

    do_HEAD = do_GET  # noqa: N815 - http.server asks for it by this name

    def log_message(self, *_: object) -> None: ...


_SAID: Final = b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}'

if __name__ == "__main__":
    Refuses.status = int(sys.argv[2])
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Refuses).serve_forever()
