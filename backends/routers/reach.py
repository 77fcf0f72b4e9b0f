"""The way to the machine a router runs on: opens its sockets and runs commands there. Here for this machine; ``over_ssh`` for the rest.

Knows nothing of any router. Every error is one of ours and names the router and its host.
"""

import asyncio
import contextlib
import getpass
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from quarterdeck.backends.errors import BackendError, CommandTimedOut, NotPermitted, RouterRefused, Unreachable
from quarterdeck.backends.hosts.contract import CommandOutcome
from quarterdeck.backends.programs import end, start
from quarterdeck.backends.text_cleaning import clean

Streams = tuple[Any, Any]
"""Reader and writer of bytes, of asyncio or asyncssh: the same words."""

NOTHING_ASKED: Final = "Nothing was asked of the router"
_OUTPUT_KEPT: Final = 64 * 1024
_AGAIN: Final = 0.1  # seconds
_LONGEST: Final = 16 * 1024 * 1024  # bytes of an answer


Whole = Callable[[bytearray], bool]
"""Whether an answer has all that belongs to it."""


def until_closed(_answer: bytearray) -> bool:
    return False


class Reach(Protocol):
    @property
    def host(self) -> str:
        """What errors call the router: ``edge on lb-1``."""
        ...

    async def exchange(
        self, place: str, request: bytes, action: str, *, deadline: float, whole: Whole = until_closed
    ) -> bytes:
        """Sends ``request`` and gives all that comes back until ``whole`` says so, or the other end closes. ``place``: the path of a
        socket, or address:port as the router's host sees it. Raises ``Unreachable``, ``NotPermitted``, ``RouterRefused`` (no end)."""
        ...

    async def run(self, command: str, action: str, *, deadline: float) -> CommandOutcome:
        """By the machine's ``sh``; both streams are its output. Raises ``Unreachable``, ``CommandFailed``, ``CommandTimedOut``."""
        ...

    async def close(self) -> None: ...


def split_place(place: str) -> tuple[str, int] | None:
    """Address and port; None for the path of a socket."""
    if place.startswith("/"):
        return None
    address, _, port = place.rpartition(":")
    return address.strip("[]"), int(port)


class LocalReach:
    """The router runs on this machine."""

    def __init__(self, router: str) -> None:
        self.host = f"{router} on this machine"

    async def exchange(
        self, place: str, request: bytes, action: str, *, deadline: float, whole: Whole = until_closed
    ) -> bytes:
        to = split_place(place)
        try:
            async with asyncio.timeout(deadline):
                if to is None:
                    streams: Streams = await asyncio.open_unix_connection(place)
                else:
                    streams = await asyncio.open_connection(*to)
                return await send_and_read(streams, request, whole)
        except TimeoutError:
            raise silent(self.host, action, place, deadline) from None
        except Endless:
            raise endless(self.host, action, place) from None
        except (ConnectionResetError, BrokenPipeError):
            raise broke_off(self.host, action, place) from None
        except FileNotFoundError:
            raise no_socket(self.host, action, place) from None
        except PermissionError:
            raise not_permitted(self.host, action, place, getpass.getuser()) from None
        except OSError as error:
            raise nobody_listens(self.host, action, place, error.strerror or str(error)) from None

    async def run(self, command: str, action: str, *, deadline: float) -> CommandOutcome:
        begun = time.monotonic()
        try:
            process = await start(["sh", "-c", f"exec 2>&1\n{command}"])
        except OSError as error:
            raise BackendError(self.host, action, f"sh can't be started: {error.strerror or error}") from None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(deadline):
                output = await process.stdout.read()
                status = await process.wait()
        except TimeoutError:
            raise CommandTimedOut(
                self.host, action, f"it did not end within {deadline:g} s and was ended", exit_status=None
            ) from None
        finally:
            if process.returncode is None:
                await end(process)
        text = clean(output[-_OUTPUT_KEPT:].decode("utf-8", "replace"))
        return CommandOutcome(status, text, False, time.monotonic() - begun)

    async def close(self) -> None:
        return None


class Endless(Exception):
    """More came back than any router answers."""


async def send_and_read(streams: Streams, request: bytes, whole: Whole) -> bytes:
    """Closes them whatever happens. Raises what reading and writing raise, and ``Endless``."""
    reader, writer = streams
    answer = bytearray()
    try:
        writer.write(request)
        await writer.drain()
        while more := await reader.read(65536):
            answer += more
            if whole(answer):
                break
            if len(answer) > _LONGEST:
                raise Endless
    finally:
        with contextlib.suppress(Exception):  # of asyncio or asyncssh: one that is broken is closed
            writer.close()
    return bytes(answer)


def endless(host: str, action: str, place: str) -> RouterRefused:
    return RouterRefused(
        host, action, f"what {place} answers does not end", advice="does a router of this kind listen there?"
    )


class BrokenOff(Unreachable):
    """The router took the connection and ended it before it had answered, as some do while they take up another configuration."""


async def look(
    reach: Reach, place: str, request: bytes, action: str, *, deadline: float, whole: Whole = until_closed
) -> bytes:
    """``exchange`` of what changes nothing there: once more where it broke off."""
    try:
        return await reach.exchange(place, request, action, deadline=deadline, whole=whole)
    except BrokenOff:
        await asyncio.sleep(_AGAIN)
        return await reach.exchange(place, request, action, deadline=deadline, whole=whole)


def broke_off(host: str, action: str, place: str) -> BrokenOff:
    return BrokenOff(
        host,
        action,
        f"{place} broke off in the middle",
        left="What the router did with the last command is not known",
        advice="was it just reloaded? Ask again: what holds already is not done twice",
    )


def silent(host: str, action: str, place: str, deadline: float) -> Unreachable:
    return Unreachable(
        host,
        action,
        f"no answer from {place} within {deadline:g} s",
        left="What the router did with the last command is not known",
        advice="is it running, and its machine not overloaded? Ask again: what holds already is not done twice",
    )


def no_socket(host: str, action: str, place: str) -> Unreachable:
    return Unreachable(
        host,
        action,
        f"there is no socket {place}",
        left=NOTHING_ASKED,
        advice="is the router running there, and does its configuration name this socket? See docs/routers.md",
    )


def not_permitted(host: str, action: str, place: str, user: str) -> NotPermitted:
    return NotPermitted(
        host,
        action,
        f"{user} may not open the socket {place}",
        left=NOTHING_ASKED,
        advice=f"let {user} into the socket's group (HAProxy: `mode 660 group haproxy`, then usermod -aG haproxy {user}; "
        "a new login is needed)",
    )


def nobody_listens(host: str, action: str, place: str, why: str) -> Unreachable:
    return Unreachable(
        host,
        action,
        f"{place} does not answer: {why}",
        left=NOTHING_ASKED,
        advice="is the router running there? See: systemctl status haproxy, nginx or caddy",
    )
