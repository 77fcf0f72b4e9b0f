"""A real HTTP proxy in a thread: whatever host is asked for, it connects to one port of this machine."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """``asked`` are the request lines that came in."""

    url: str
    asked: list[str] = field(default_factory=list)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _serve(proxy: Proxy, client: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError), client:
        head = b""
        while b"\r\n\r\n" not in head and (data := client.recv(65536)):
            head += data
        line = head.partition(b"\r\n")[0].decode("latin-1")
        if not line:
            return
        proxy.asked.append(line)
        if not line.startswith("CONNECT "):
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", port), 10) as server:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join(10)


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    port = urlsplit(target).port
    assert port is not None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_serve, args=(made, client, port), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
