"""One HTTP request over whatever way leads to a router's machine, and a server's health as that machine sees it."""

import h11

from quarterdeck.backends.errors import RouterRefused
from quarterdeck.backends.routers.contract import Server
from quarterdeck.backends.routers.reach import Reach, look


async def request(
    reach: Reach,
    place: str,
    target: str,
    action: str,
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    deadline: float,
) -> tuple[int, bytes]:
    """Status and body. ``place``: the path of a socket, or address:port. Raises what ``exchange`` does, and ``RouterRefused``."""
    client = h11.Connection(h11.CLIENT)
    head = h11.Request(
        method=method,
        target=target,
        headers=[
            ("Host", "" if place.startswith("/") else place),
            ("User-Agent", "quarterdeck"),
            ("Connection", "close"),
            *headers,
            *((("Content-Length", str(len(body))),) if body else ()),
        ],
    )
    sent = client.send(head) or b""
    if body:
        sent += client.send(h11.Data(body)) or b""
    sent += client.send(h11.EndOfMessage()) or b""

    def whole(got: bytes | bytearray) -> bool:
        return _read(method, got)[2]

    if method == "GET":
        answer = await look(reach, place, sent, action, deadline=deadline, whole=whole)
    else:
        answer = await reach.exchange(place, sent, action, deadline=deadline, whole=whole)
    try:
        status, found, _ = _read(method, answer, closed=True)
    except h11.RemoteProtocolError as error:
        raise RouterRefused(reach.host, action, f"no HTTP answer from {place}: {error}") from None
    return status, found


def _read(method: str, answer: bytes | bytearray, *, closed: bool = False) -> tuple[int, bytes, bool]:
    """Status, body, and whether that is all. One that is no HTTP is all of it until ``closed``, which raises."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "-")]))
    client.send(h11.EndOfMessage())
    status, found = 0, bytearray()
    try:
        client.receive_data(bytes(answer))
        if closed:
            client.receive_data(b"")
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                found += event.data
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return status, bytes(found), True
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return status, bytes(found), False
    except h11.RemoteProtocolError:
        if closed:
            raise
        return status, bytes(found), True


async def health(reach: Reach, server: Server, path: str, *, deadline: float) -> str:
    """Why the server is not well; empty: it is. As HAProxy's check does, it counts 2xx and 3xx as well."""
    action = f"check {server}{path}"
    status, _ = await request(reach, str(server), path, action, deadline=deadline)
    return "" if 200 <= status < 400 else f"http {status}"
