"""The spool: log lines on their way from the collector to the screen, in one file that has no name and is a ring.

One process writes, another reads as it likes; neither waits for the other. The oldest lines are written over, and how many
there ever were is kept, so that none is lost without being counted. Nothing here knows a host or a screen.

The file: a page that says how long it is and how far it has been written; 16 bytes for each line (where it begins and what
is known of it); the lines themselves.
"""

import os
import struct
import sys
import tempfile
from array import array
from collections.abc import Sequence
from enum import IntEnum
from itertools import accumulate
from typing import Final

import msgspec

LINES: Final = 1 << 20
"""Lines that the ring has room for; of these ``BATCH`` are always about to be written over."""
TEXT: Final = 256 << 20  # bytes
BATCH: Final = 8192  # lines that are written at once at most
_MARGIN: Final = 4 << 20  # bytes of text that may be written over while they are read
_PAGE: Final = 4096
_LIMITS: Final = struct.Struct("=8sQQ")
_HEAD: Final = struct.Struct("=QQQ")
_HEAD_AT: Final = 64
_MAGIC: Final = b"qdspool1"
_CHECK: Final = 0x9E3779B97F4A7C15


class Level(IntEnum):
    """How bad a line says that it is. ``NOTICE``: not a line of a host, but ours about one."""

    UNKNOWN = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    NOTICE = 7


class Side(IntEnum):
    """Which release the host ran when it wrote the line, while a rollout is under way."""

    NONE = 0
    NEW = 1
    OLD = 2


# What is known of a line, in 64 bits: milliseconds since 1970 (44), number of the host (12), whether it belongs to the line
# before it (1), whether its time is not known (1), side (2), level (3). The last of them are one byte of the
# file: a filter looks at that alone.
CONTINUED: Final = 0b0100000
UNDATED: Final = 0b1000000


def pack(time: int, host: int, level: int, side: int = 0, *, continued: bool = False, undated: bool = False) -> int:
    return time << 20 | host << 8 | undated << 6 | continued << 5 | side << 3 | level


class Line(msgspec.Struct, frozen=True):
    """``number``: counted from the first line there ever was. ``skip``: characters of ``text`` that only say the time."""

    number: int
    text: str
    skip: int
    info: int

    @property
    def time(self) -> int:
        return self.info >> 20

    @property
    def host(self) -> int:
        return self.info >> 8 & 0xFFF

    @property
    def level(self) -> Level:
        return Level(self.info & 7)

    @property
    def side(self) -> Side:
        return Side(self.info >> 3 & 3)

    @property
    def continued(self) -> bool:
        return bool(self.info & CONTINUED)

    @property
    def undated(self) -> bool:
        """It was there already, and neither it nor a line before it says since when: ``time`` is only its place among the others
        (that of the first line of its file that says one), 0 where nothing tells it."""
        return bool(self.info & UNDATED)

    @property
    def body(self) -> str:
        return self.text[self.skip :]


class Block(msgspec.Struct, frozen=True):
    """Lines one after the other as they lie in the file. ``starts``: of each, and behind the last one, in ``data``."""

    first: int
    starts: "array[int]"
    skips: bytes
    infos: "array[int]"
    marks: bytes  # the lowest byte of each of ``infos``
    data: bytes

    def __len__(self) -> int:
        return len(self.infos)

    def raw(self, at: int) -> bytes:
        return self.data[self.starts[at] : self.starts[at + 1] - 1]

    def line(self, at: int) -> Line:
        return Line(self.first + at, self.raw(at).decode("utf-8", "replace"), self.skips[at], self.infos[at])

    def lines(self) -> list[Line]:
        return [self.line(at) for at in range(len(self))]


EMPTY: Final = Block(0, array("Q", [0]), b"", array("Q"), b"", b"")


def make_spool(*, lines: int = LINES, text: int = TEXT) -> int:
    """A new empty spool without a name: only who has the descriptor can read it, and it is gone with the last one."""
    place = os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else None)  # noqa: S108 - no name
    with tempfile.TemporaryFile(dir=place, buffering=0) as file:
        descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _PAGE + lines * 16 + text)
    os.pwrite(descriptor, _LIMITS.pack(_MAGIC, lines, text), 0)
    os.pwrite(descriptor, _HEAD.pack(0, 0, _CHECK), _HEAD_AT)
    return descriptor


class _Ring:
    def __init__(self, descriptor: int) -> None:
        magic, lines, text = _LIMITS.unpack(os.pread(descriptor, _LIMITS.size, 0))
        if magic != _MAGIC:
            raise ValueError("no spool")
        self.capacity = int(lines)
        self.text_capacity = int(text)
        self.descriptor = descriptor
        self._text_at = _PAGE + self.capacity * 16

    def _pieces(self, begin: int, size: int, capacity: int, base: int) -> list[tuple[int, int]]:
        """Where ``size`` bytes from ``begin`` on lie in the file: one piece, or two at the end of the ring."""
        at = begin % capacity
        if at + size <= capacity:
            return [(base + at, size)]
        return [(base + at, capacity - at), (base, size - (capacity - at))]

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class SpoolWriter(_Ring):
    """Goes on where an earlier writer ended. ``add`` raises OSError (a full disk): nothing of that batch is there then, and the
    next one may be tried."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.lines, self.bytes, _ = _HEAD.unpack(os.pread(descriptor, _HEAD.size, _HEAD_AT))
        self._batch = min(BATCH, self.capacity // 8)
        self._longest = min(_MARGIN, self.text_capacity // 8)

    def add(self, texts: Sequence[str], infos: Sequence[int], skips: Sequence[int]) -> None:
        """Lines, each without a line break."""
        for begin in range(0, len(texts), self._batch):
            end = begin + self._batch
            self._add(texts[begin:end], infos[begin:end], skips[begin:end])

    def _add(self, texts: Sequence[str], infos: Sequence[int], skips: Sequence[int]) -> None:
        joined = "\n".join(texts) + "\n"
        data = joined.encode("utf-8", "replace")
        if len(data) > self._longest and len(texts) > 1:
            half = len(texts) // 2
            self._add(texts[:half], infos[:half], skips[:half])
            self._add(texts[half:], infos[half:], skips[half:])
            return
        plain = len(data) == len(joined)
        lengths = map(len, texts if plain else [text.encode("utf-8", "replace") for text in texts])
        ends = accumulate((length + 1 for length in lengths), initial=self.bytes)
        index = array("Q", bytes(16 * len(texts)))
        index[0::2] = array("Q", [start << 8 | skip for start, skip in zip(ends, skips, strict=False)])
        index[1::2] = array("Q", infos)
        self._write(data, self.bytes, self.text_capacity, self._text_at)
        self._write(index.tobytes(), self.lines * 16, self.capacity * 16, _PAGE)
        lines, written = self.lines + len(texts), self.bytes + len(data)
        os.pwrite(self.descriptor, _HEAD.pack(lines, written, lines ^ written ^ _CHECK), _HEAD_AT)
        self.lines, self.bytes = lines, written

    def _write(self, data: bytes, begin: int, capacity: int, base: int) -> None:
        view = memoryview(data)
        for at, size in self._pieces(begin, len(data), capacity, base):
            done = 0
            while done < size:
                done += os.pwrite(self.descriptor, view[done:size], at + done)
            view = view[size:]


class Spool(_Ring):
    """The reader's side. ``head``: how many lines there ever were, ``floor``: the first one that is still there; both as they
    were at the last ``look()``."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.head = 0
        self.floor = 0
        self._bytes = 0
        self._batch = min(BATCH, self.capacity // 8)

    def again(self) -> "Spool":
        """The same lines for another thread, with a descriptor of its own; whoever asks closes it."""
        other = Spool(os.dup(self.descriptor))
        other.look()
        return other

    @property
    def room(self) -> int:
        """Lines that are kept before the oldest goes."""
        return self.capacity - 2 * self._batch

    def look(self) -> bool:
        """Whether there is something new."""
        lines, written = self._written()
        if lines == self.head:
            return False
        self.head, self._bytes = lines, written
        self.floor = max(self.floor, self._floor(lines, written))
        return True

    def _written(self) -> tuple[int, int]:
        for _ in range(100):
            lines, written, check = _HEAD.unpack(os.pread(self.descriptor, _HEAD.size, _HEAD_AT))
            if lines ^ written ^ _CHECK == check:
                return int(lines), int(written)
        return self.head, self._bytes  # torn a hundred times: what was seen last is still true

    def _floor(self, lines: int, written: int) -> int:
        """The first line that neither its entry nor its text can lose while the next batch is written."""
        low = max(0, lines - self.room)
        least = written - self.text_capacity + min(_MARGIN, self.text_capacity // 8) * 2
        if least <= 0 or low >= lines or self._start(low) >= least:
            return low
        high = lines
        while low < high:
            middle = (low + high) // 2
            if self._start(middle) < least:
                low = middle + 1
            else:
                high = middle
        return low

    def _start(self, line: int) -> int:
        return int.from_bytes(self._read(line * 16, 8, self.capacity * 16, _PAGE), sys.byteorder) >> 8

    def time_of(self, line: int) -> int:
        """Milliseconds since 1970."""
        return int.from_bytes(self._read(line * 16 + 8, 8, self.capacity * 16, _PAGE), sys.byteorder) >> 20

    def marks(self, first: int, last: int) -> bytes:
        """The lowest byte of what is known of each line: level, side, continued."""
        raw = self._read(first * 16, (last - first) * 16, self.capacity * 16, _PAGE)
        return raw[8::16] if sys.byteorder == "little" else raw[15::16]

    def block(self, first: int, last: int) -> Block:
        """The lines from ``first`` to before ``last``, without those that have been written over meanwhile."""
        first, last = max(first, self.floor), min(last, self.head)
        if last <= first:
            return EMPTY
        raw = self._read(first * 16, (last - first) * 16, self.capacity * 16, _PAGE)
        index = array("Q")
        index.frombytes(raw)
        begin = index[0] >> 8
        end = self._bytes if last == self.head else self._start(last)
        # Where the writer was quicker, the index is already that of later lines: such a size is never asked for.
        torn = not 0 <= end - begin <= self.text_capacity
        data = b"" if torn else self._read(begin, end - begin, self.text_capacity, self._text_at)
        lost = self._floor(*self._written()) - first
        if lost > 0:
            self.floor = max(self.floor, min(first + lost, self.head))
            return self.block(first + lost, last)
        if torn:
            return EMPTY
        starts = array("Q", [(entry >> 8) - begin for entry in index[0::2]])
        starts.append(end - begin)
        low = 0 if sys.byteorder == "little" else 7
        return Block(first, starts, raw[low::16], index[1::2], raw[8 + low :: 16], data)

    def text(self, first: int, last: int) -> bytes | None:
        """The lines from ``first`` to before ``last`` as one piece, without where each begins; None where one of them has been
        written over meanwhile, or is not there."""
        if not self.floor <= first < last <= self.head:
            return None
        begin = self._start(first)
        end = self._bytes if last == self.head else self._start(last)
        if not 0 <= end - begin <= self.text_capacity:
            return None
        data = self._read(begin, end - begin, self.text_capacity, self._text_at)
        return None if self._floor(*self._written()) > first else data

    def lines(self, numbers: Sequence[int]) -> list[Line]:
        """These lines (in ascending order), read in as few pieces as they lie in."""
        found: list[Line] = []
        begin = 0
        for at in range(1, len(numbers) + 1):
            if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
                found += self.block(numbers[begin], numbers[at - 1] + 1).lines()
                begin = at
        return found

    def _read(self, begin: int, size: int, capacity: int, base: int) -> bytes:
        return b"".join(os.pread(self.descriptor, piece, at) for at, piece in self._pieces(begin, size, capacity, base))
