"""What the bastion must know of an archive before it is sent: its compression, the room it needs, its bytes in pieces."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, Final

_PIECE: Final = 128 * 1024  # of memory for each host that is sent to at the same time
_MAGIC: Final = ((b"\x1f\x8b", "-z"), (b"BZh", "-j"), (b"\xfd7zXZ\x00", "-J"), (b"\x28\xb5\x2f\xfd", "--zstd"))


def compression_flag(file: BinaryIO) -> str:
    """tar's option for the compression, told from the first bytes; empty: none."""
    file.seek(0)
    start = file.read(8)
    return next((flag for magic, flag in _MAGIC if start.startswith(magic)), "")


def archive_needs(file: BinaryIO, size: int) -> int:
    """Bytes that the archive and what is unpacked of it take, at least: gzip tells the unpacked size modulo 4 GiB (RFC 1952)."""
    unpacked = size
    if compression_flag(file) == "-z" and size > 18:
        file.seek(-4, 2)
        unpacked = max(size, int.from_bytes(file.read(4), "little"))
    return size + unpacked


class _Opened:
    """An archive that is being sent to one host or many: open once."""

    def __init__(self, archive: Path) -> None:
        self.opening = asyncio.create_task(asyncio.to_thread(os.open, archive, os.O_RDONLY | os.O_CLOEXEC))
        self.users = 0

    def close(self) -> None:
        if not self.opening.done():
            self.opening.add_done_callback(_close)  # whoever asked for it has left meanwhile
        else:
            _close(self.opening)


def _close(opening: "asyncio.Task[int]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


_opened: dict[tuple[asyncio.AbstractEventLoop, Path], _Opened] = {}


async def chunks(archive: Path, moved: Callable[[], None]) -> AsyncIterator[bytes]:
    """The archive piece by piece; ``moved`` is called when one was taken. What the kernel has in memory is taken at once, the rest is read
    in a thread: many hosts are sent the same file, and only the first one waits for the disk.
    """
    key = asyncio.get_running_loop(), archive
    opened = _opened.get(key)
    if opened is None:
        opened = _opened[key] = _Opened(archive)
    opened.users += 1
    position = 0
    try:
        descriptor = await asyncio.shield(opened.opening)
        while piece := _in_memory(descriptor, position) or await asyncio.to_thread(
            os.pread, descriptor, _PIECE, position
        ):
            position += len(piece)
            moved()
            yield piece
            await asyncio.sleep(0)  # the other hosts' turn
    finally:
        opened.users -= 1
        if opened.users == 0:
            del _opened[key]
            opened.close()


def _in_memory(descriptor: int, position: int) -> bytes:
    """The next piece, where no disk or network has to be waited for; else nothing."""
    piece = bytearray(_PIECE)
    try:
        size = os.preadv(descriptor, [piece], position, os.RWF_NOWAIT)
    except OSError:  # not in memory, or a file system that can't tell
        return b""
    return bytes(memoryview(piece)[:size])
