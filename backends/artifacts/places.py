"""What can be asked of a place that holds artifacts, and who answers for which kind. A place only reads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from quarterdeck.backends.artifacts.location import Kind, Location
from quarterdeck.backends.errors import Unreachable

if TYPE_CHECKING:
    import asyncssh

MEBIBYTE = 1024 * 1024
MAX_ARCHIVE_BYTES = 2 * 1024 * MEBIBYTE
MAX_CHECKSUM_FILE_BYTES = MEBIBYTE

SftpConnect = Callable[[str], Awaitable["asyncssh.SSHClientConnection"]]
"""Given what ``ssh`` would be given ([user@]host[:port]): a connection that the caller closes."""


class Sink(Protocol):
    """Where a place writes to. ``begin`` forgets all that was written: a new try starts from the first byte."""

    async def begin(self) -> None: ...

    async def write(self, data: bytes) -> None: ...


class Entry(msgspec.Struct, frozen=True):
    """A name in a directory, and when it was last changed (seconds since 1970)."""

    name: str
    changed: float


class Place(Protocol):
    """Raises ``ArtifactMissing``, ``NotPermitted``, ``Unreachable``; ``ArtifactRefused`` above ``limit`` bytes."""

    async def size(self, location: Location) -> int | None:
        """Bytes of the file, None: the place doesn't say. Proves that the file is there."""
        ...

    async def read(self, location: Location, sink: Sink, *, limit: int) -> None: ...

    async def entries(self, location: Location, folder: str, /) -> list[Entry] | None:
        """What lies in ``folder`` there; empty where there is no such folder, None: it can't be listed."""
        ...

    async def holds(self, location: Location, path: str, /) -> bool: ...


class Memory:
    """A sink for what is small."""

    def __init__(self) -> None:
        self.data = bytearray()

    async def begin(self) -> None:
        self.data.clear()

    async def write(self, data: bytes) -> None:
        self.data += data


class Places:
    """Opens places as they are needed and closes them together. ``action`` is what errors say was tried."""

    def __init__(self, action: str, *, connect: SftpConnect | None = None) -> None:
        self._action = action
        self._connect = connect
        self._open: dict[Kind, Place] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def of(self, location: Location) -> Place:
        """The one place of this kind; the modules that know a protocol are imported here, when one is asked for."""
        if (place := self._open.get(location.kind)) is None:
            place = self._open[location.kind] = await self._new(location.kind)
        return place

    async def _new(self, kind: Kind) -> Place:
        match kind:
            case Kind.PATH:
                from quarterdeck.backends.artifacts.path_place import PathPlace

                return PathPlace(self._action)
            case Kind.HTTP:
                from quarterdeck.backends.artifacts.http_place import HttpPlace

                return await self._stack.enter_async_context(HttpPlace(self._action))
            case Kind.SFTP:
                from quarterdeck.backends.artifacts.sftp_place import SftpPlace

                return await self._stack.enter_async_context(SftpPlace(self._action, self._connect))


@asynccontextmanager
async def within(deadline: float, place: str, action: str) -> AsyncIterator[None]:
    """Ends the block after ``deadline`` seconds with ``Unreachable``."""
    try:
        async with asyncio.timeout(deadline) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unreachable(
            place,
            action,
            f"not done within {deadline:g} s",
            left="Nothing was changed",
            advice="Look at the place, or try again",
        ) from None
