"""Asking a service whether it is well, over a pair of streams that somebody else has opened, and judging what it answers.
Opens nothing itself: how a host is reached is its backend's business."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import h11

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import HttpCheck, TcpCheck
from quarterdeck.config.release import Release

LOCALHOST: Final = "127.0.0.1"  # a check's default: the host itself, wherever it is seen from

_BODY_KEPT: Final = 1024 * 1024
Streams = tuple[Any, Any]  # reader and writer, of asyncio or asyncssh: the same words


def place(address: str, check: HttpCheck | TcpCheck, port: int | None = None) -> str:
    """What is asked, in words: ``10.0.0.1:8080/healthz``."""
    return f"{address}:{port or check.port}{check.path if isinstance(check, HttpCheck) else ''}"


def reached_at(address: str, port: int | None) -> str:
    """``10.0.0.1:8080``, ``[fd00::1]:8080``; without a port the address alone."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def ask_over(
    opening: Callable[[], Awaitable[Streams]], check: HttpCheck | TcpCheck, release: Release, address: str, where: str
) -> tuple[bool, str]:
    """Whether the service is well, and in words how it answered. ``where``: what is asked, in words.

    Raises what opening raises but for what tells of the service: refused, broken off, no HTTP.
    """
    try:
        streams = await opening()
        try:
            if isinstance(check, TcpCheck):
                return True, f"{where} accepts connections"
            status, body = await _ask(streams, check, address)
            return judge(check, release, where, status, body)
        finally:
            with suppress(Exception):  # of asyncio or asyncssh: a connection that is broken is closed
                streams[1].close()
    except ConnectionRefusedError:
        return False, f"refused by {where}"
    except h11.RemoteProtocolError as error:
        return False, f"no HTTP answer from {where}: {clean(str(error))}"
    except TimeoutError:  # an OSError too, and the caller's deadline
        raise
    except (OSError, EOFError) as error:
        return False, f"{where}: {getattr(error, 'strerror', None) or error}"


async def _ask(streams: Streams, check: HttpCheck, address: str) -> tuple[int, bytes]:
    """One GET; the status and at most 1 MiB of the body (none where no text is looked for)."""
    reader, writer = streams
    client = h11.Connection(h11.CLIENT)
    name = f"[{address}]" if ":" in address else address
    request = h11.Request(
        method="GET",
        target=check.path,
        headers=[
            ("Host", f"{name}:{check.port}"),
            ("User-Agent", "quarterdeck"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ],
    )
    writer.write(client.send(request) + client.send(h11.EndOfMessage()))
    status, body = 0, bytearray()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            if check.contains is None:
                return status, b""
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _BODY_KEPT:
                return status, bytes(body[:_BODY_KEPT])
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return status, bytes(body)


def judge(check: HttpCheck, release: Release, where: str, status: int, body: bytes) -> tuple[bool, str]:
    """Whether an answer is that of a healthy service."""
    if status != check.status:
        return False, f"http {status} from {where}" + (f", not {check.status}" if status < 400 else "")
    if check.contains is not None:
        wanted = check.contains.replace("{version}", release.version).replace("{release}", release.id)
        if wanted not in body.decode("utf-8", "replace"):
            start = clean(body[:80].decode("utf-8", "replace")).replace("\n", " ")
            return False, f"{where} does not say {wanted!r}: {start!r}"
    return True, f"http {status} from {where}"
