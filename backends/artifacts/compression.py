"""Reads a tar stream forward only, unpacked from gzip, bzip2 or xz, within bounds of bytes and memory. Writes nothing.

Every byte is read and every checksum of the format is checked: a file that was cut short does not pass.
"""

import bz2
import io
import lzma
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn, Protocol

from quarterdeck.backends.artifacts.places import MEBIBYTE

_CHUNK = 256 * 1024
_XZ_MEMORY = 256 * MEBIBYTE  # xz -9 needs 65
_ENTRY = MEBIBYTE  # the largest piece that is asked for at once: a header that names more is no honest header

_BZIP2, _GZIP, _XZ = b"BZh", b"\x1f\x8b", b"\xfd7zXZ\x00"
_UNSUPPORTED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x04\x22\x4d\x18": "lz4",
}


class BadArchive(Exception):
    """The archive can't be taken; the message is a part of a sentence."""


class Stopped(Exception):
    """Whoever wanted to know has gone."""


class _Decompressor(Protocol):
    """One compressed stream. ``feed`` gives at most ``_CHUNK`` bytes; ``hungry``: it gives no more without input."""

    def feed(self, data: bytes) -> bytes: ...

    @property
    def hungry(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    @property
    def rest(self) -> bytes:
        """What follows the end of the stream."""
        ...


class _Zlib:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, _CHUNK)

    @property
    def hungry(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def ended(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._stream.unused_data


class _Standard:
    """bz2 and lzma have one interface."""

    def __init__(self, stream: "bz2.BZ2Decompressor | lzma.LZMADecompressor") -> None:
        self._stream = stream

    def feed(self, data: bytes) -> bytes:
        return self._stream.decompress(data, _CHUNK)

    @property
    def hungry(self) -> bool:
        return self._stream.needs_input

    @property
    def ended(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        return self._stream.unused_data


_FORMATS: tuple[tuple[str, bytes, Callable[[], _Decompressor]], ...] = (
    ("gzip", _GZIP, _Zlib),
    ("bzip2", _BZIP2, lambda: _Standard(bz2.BZ2Decompressor())),
    ("xz", _XZ, lambda: _Standard(lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))),
)


class TarStream:
    """What ``tarfile`` reads from, a little at a time and forward. ``limit`` is bytes after unpacking."""

    def __init__(self, path: Path, limit: int, stop: threading.Event | None = None) -> None:
        self._file: BinaryIO = path.open("rb", buffering=0)
        self._limit = limit
        self._stop = stop
        self._buffer = b""
        self._at = 0  # in the buffer
        self._position = 0
        self.last = b""  # what the last read gave
        start = self._file.read(8)
        self._file.seek(0)
        for magic, name in _UNSUPPORTED.items():
            if start.startswith(magic):
                raise BadArchive(f"it is packed with {name}, which is not supported")
        self.compression, self._magic = "none", b""
        self._new: Callable[[], _Decompressor] | None = None
        for name, magic, new in _FORMATS:
            if start.startswith(magic):
                self.compression, self._magic, self._new = name, magic, new
        self._stream: _Decompressor | None = self._new() if self._new else None
        self._unread = b""  # compressed bytes that no stream has been given yet

    def close(self) -> None:
        self._file.close()

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Fewer than ``size`` bytes only at the end. Raises ``BadArchive``."""
        if not 0 <= size <= _ENTRY:
            raise BadArchive(f"a header in it claims {size} bytes for itself")
        pieces = []
        while size > 0 and (self._at < len(self._buffer) or self._fill()):
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            self._position += len(piece)
            size -= len(piece)
            pieces.append(piece)
        self.last = b"".join(pieces)
        return self.last

    def write(self, _data: bytes, /) -> NoReturn:
        """``tarfile`` asks for it in what it is given, and never calls it where it reads."""
        raise io.UnsupportedOperation("a tar stream is only read")

    def seek(self, position: int) -> None:
        """Forward only, by reading."""
        if position < self._position:
            raise BadArchive("a header in it leads backwards")
        while self._position < position:
            if self._at >= len(self._buffer) and not self._fill():
                raise BadArchive("it was cut short")
            step = min(position - self._position, len(self._buffer) - self._at)
            self._at += step
            self._position += step

    def rest_is_zero(self) -> bool:
        """Reads to the end."""
        while self._at < len(self._buffer) or self._fill():
            piece = self._buffer[self._at :]
            if piece.count(0) != len(piece):
                return False
            self._position += len(piece)
            self._at = len(self._buffer)
        return True

    def _fill(self) -> bool:
        if self._stop is not None and self._stop.is_set():
            raise Stopped
        try:
            self._buffer, self._at = self._next(), 0
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not the format's
            problem = (
                "needs more memory to unpack than is given"
                if "emory" in str(error)
                else "its compressed data is damaged"
            )
            raise BadArchive(f"{problem} ({self.compression})") from None
        if self._position + len(self._buffer) > self._limit:
            raise BadArchive(f"it unpacks to more than {self._limit} bytes")
        return bool(self._buffer)

    def _next(self) -> bytes:
        """The next bytes of the tar stream, none at its end."""
        if self._new is None:
            return self._file.read(_CHUNK)
        while self._stream is not None:
            if self._stream.ended:
                self._unread = self._stream.rest
                self._stream = self._following()
                continue
            data = b""
            if self._stream.hungry:
                data = self._unread or self._file.read(_CHUNK)
                self._unread = b""
                if not data:
                    raise BadArchive(f"it was cut short ({self.compression})")
            if unpacked := self._stream.feed(data):
                return unpacked
        return b""

    def _following(self) -> _Decompressor | None:
        """The next of several streams in one file, as pigz and ``cat a.gz b.gz`` make them; zeros may pad the end."""
        assert self._new is not None
        while len(self._unread) < len(self._magic) and (more := self._file.read(_CHUNK)):
            self._unread += more
        if self._unread.startswith(self._magic):
            return self._new()
        while self._unread:
            if self._unread.count(0) != len(self._unread):
                raise BadArchive(f"something else follows its compressed data ({self.compression})")
            self._unread = self._file.read(_CHUNK)
        return None
