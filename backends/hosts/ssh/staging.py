"""What the bastion must know of an archive before it is sent: its compression, the room it needs, its bytes in pieces."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

_PIECE: Final = 256 * 1024  # of memory for each host that is sent to at the same time
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


async def chunks(archive: Path) -> AsyncIterator[bytes]:
    """The archive piece by piece, read in a thread."""
    file = await asyncio.to_thread(archive.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
    finally:
        file.close()
