"""Which lines of a spool pass a filter, found a slice of time at once and from the place that is looked at outwards: what is
in sight is there at once, the rest comes while the screen goes on. Knows no screen."""

import time
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from quarterdeck.rollouts.logs.spool import EMPTY, Block, Level, Side, Spool
from quarterdeck.tui.room.matching import EVERYTHING, Matcher

QUICK: Final = 16384  # lines looked at in one piece: some milliseconds each
SLOW: Final = 4096
NARROWED: Final = (
    500  # lines that a filter found: so many are looked through again at once when a letter is added to it
)
_NOTICES: Final = bytes(mark & 7 == Level.NOTICE for mark in range(256))
LEVELS: Final = {"all": Level.UNKNOWN, "info": Level.INFO, "warn": Level.WARN, "error": Level.ERROR}


@dataclass(frozen=True, slots=True)
class Sieve:
    """What passes. ``hosts``: names by number, which a filter finds as well. ``side``: only of that release.

    Our own notices always pass: a host that fell silent must not be filtered away.
    """

    matcher: Matcher = EVERYTHING
    level: str = "all"
    side: Side = Side.NONE
    hosts: tuple[str, ...] = ()
    _table: bytes = field(default=b"", init=False, repr=False, compare=False)
    _quick: bytes = field(default=b"", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", bytes(self._passes(mark) for mark in range(256)))
        object.__setattr__(self, "_quick", self._quick_needle())

    @property
    def everything(self) -> bool:
        return not self.matcher.active and self.level == "all" and self.side is Side.NONE

    @property
    def piece(self) -> int:
        """How many lines are looked at in one go."""
        return QUICK if not self.matcher.active or self._quick else SLOW

    def _passes(self, mark: int) -> bool:
        level, side = mark & 7, mark >> 3 & 3
        if level == Level.NOTICE:
            return True
        if self.side is not Side.NONE and side != self.side:
            return False
        if self.level == "info":
            return level != Level.DEBUG  # a line that says nothing of itself is as good as one
        return level >= LEVELS[self.level]

    def _quick_needle(self) -> bytes:
        """The bytes to look for where that finds the same as the matcher does, only a hundred lines at a time."""
        needle = self.matcher.needle
        if not self.matcher.literal or not needle.isascii() or " " in needle:
            return b""  # a space may be the one behind the host's name
        return needle.encode()

    def kept(self, block: Block) -> list[int]:
        """Which of the block's lines pass, as indexes, in their order."""
        passing = block.marks.translate(self._table)
        if not self.matcher.active:
            return _ones(passing)
        found = self._found_quickly(block) if self._quick else self._found_slowly(block, passing)
        wanted = not self.matcher.inverse
        if wanted:  # most often few lines of many: the others are not gone through
            for at in _ones(block.marks.translate(_NOTICES)):
                found[at] = 1
            return [at for at in _ones(found) if passing[at]]
        notice = int(Level.NOTICE)
        marks = block.marks
        return [at for at in _ones(passing) if (found[at] == wanted) or marks[at] & 7 == notice]

    def rules_out(self, spool: Spool, first: int, last: int) -> bool:
        """Whether none of these lines passes, seen from their bytes alone: where one line begins is then not asked for. False: it
        must be looked at them."""
        matcher = self.matcher
        if not self._quick or matcher.inverse or any(self._names(host) for host in self.hosts):
            return False
        if 1 in spool.marks(first, last).translate(_NOTICES):
            return False
        text = spool.text(first, last)
        return text is not None and (text.lower() if matcher.any_case else text).find(self._quick) < 0

    def _names(self, host: str) -> bool:
        return self._quick.decode() in (host.lower() if self.matcher.any_case else host)

    def narrows(self, other: "Sieve") -> bool:
        """Whether surely no line passes that did not pass ``other``: a letter was added to what is looked for."""
        ours, theirs = self.matcher, other.matcher
        return (
            bool(self._quick and other._quick)
            and other._quick in self._quick
            and not (ours.inverse or theirs.inverse)
            and ours.any_case == theirs.any_case
            and (self.level, self.side, self.hosts) == (other.level, other.side, other.hosts)
        )

    def _found_quickly(self, block: Block) -> bytearray:
        found = bytearray(len(block))
        needle, data, starts = self._quick, block.data, block.starts
        if self.matcher.any_case:
            data = data.lower()
        for number, host in enumerate(self.hosts):
            if self._names(host):
                for at, info in enumerate(block.infos):
                    if info >> 8 & 0xFFF == number:
                        found[at] = 1
        place = data.find(needle)
        while place >= 0:
            at = bisect_right(starts, place) - 1
            found[at] = 1
            place = data.find(needle, starts[at + 1])
        return found

    def _found_slowly(self, block: Block, passing: bytes) -> bytearray:
        """A line is found by what is shown of it, with its host's name in front, or by its time."""
        found = bytearray(len(block))
        test = msgspec.structs.replace(self.matcher, inverse=False).test()
        times = any(character.isdigit() for character in self.matcher.needle)
        prefix = {number: f"{host} " for number, host in enumerate(self.hosts)}
        texts = block.data.decode("utf-8", "replace").split("\n")
        for at in _ones(passing):
            text, skip = texts[at], block.skips[at]
            shown = prefix.get(block.infos[at] >> 8 & 0xFFF, "") + text[skip:]
            if test(shown) or (times and skip and test(text[:skip])):
                found[at] = 1
        return found


def _ones(flags: bytes | bytearray) -> list[int]:
    if flags.count(1) == len(flags):
        return list(range(len(flags)))
    places = []
    at = flags.find(1)
    while at >= 0:
        places.append(at)
        at = flags.find(1, at + 1)
    return places


class Passing(Protocol):
    """The lines that pass, by their numbers."""

    @property
    def high(self) -> int:
        """Behind the last line that has been looked at."""
        ...

    def before(self, line: int, count: int) -> Sequence[int]:
        """The last ``count`` of those before ``line``, in ascending order."""
        ...

    def after(self, line: int, count: int) -> Sequence[int]:
        """The first ``count`` of those from ``line`` on."""
        ...

    def behind(self, line: int) -> int:
        """How many come from ``line`` on."""
        ...

    @property
    def total(self) -> int: ...

    @property
    def complete(self) -> bool:
        """False: more may be found."""
        ...

    def step(self, seconds: float, enough: Callable[[], bool] | None = None, /) -> bool:
        """Goes on looking for so long; whether everything has been looked at."""
        ...


class Everything:
    """No filter: the lines that the spool has."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    @property
    def high(self) -> int:
        return self.spool.head

    def before(self, line: int, count: int) -> Sequence[int]:
        line = min(line, self.spool.head)
        return range(max(self.spool.floor, line - count), max(line, self.spool.floor))

    def after(self, line: int, count: int) -> Sequence[int]:
        line = max(line, self.spool.floor)
        return range(line, max(line, min(line + count, self.spool.head)))

    def behind(self, line: int) -> int:
        return max(0, self.spool.head - max(line, self.spool.floor))

    @property
    def total(self) -> int:
        return self.spool.head - self.spool.floor

    @property
    def complete(self) -> bool:
        return True

    def step(self, _seconds: float, _enough: Callable[[], bool] | None = None) -> bool:
        return True


class Search:
    """Looks through the spool in both directions from ``anchor``. The lines between ``low`` and ``high`` have been looked at."""

    def __init__(self, spool: Spool, sieve: Sieve, anchor: int) -> None:
        self.spool = spool
        self.sieve = sieve
        self.low = self._high = min(max(anchor, spool.floor), spool.head)
        self._older: array[int] = array("Q")  # descending
        self._newer: array[int] = array("Q")  # ascending
        self._gone = 0  # of the newer ones, written over since

    @property
    def high(self) -> int:
        return self._high

    @property
    def complete(self) -> bool:
        return self.low <= self.spool.floor and self._high >= self.spool.head

    @property
    def total(self) -> int:
        return len(self._older) + len(self._newer) - self._gone

    def step(self, seconds: float, enough: Callable[[], bool] | None = None) -> bool:
        end = time.monotonic() + seconds
        self._forget()
        while not self.complete:
            if enough is not None and enough():
                break
            ahead = self.spool.head - self._high
            # What has just come is little and wanted at once; far from the end, both directions have their turn.
            if ahead > 0 and (
                ahead <= 4 * self.sieve.piece or self.low <= self.spool.floor or len(self._newer) <= len(self._older)
            ):
                self._look_on()
            else:
                self._look_back()
            if time.monotonic() >= end:
                break
        return self.complete

    def _look_on(self) -> None:
        last = min(self._high + self.sieve.piece, self.spool.head)
        block = self._block(max(self._high, self.spool.floor), last)
        self._newer.extend([block.first + at for at in self.sieve.kept(block)])
        self._high = last
        self.low = min(self.low, self._high)

    def _look_back(self) -> None:
        first = max(self.low - self.sieve.piece, self.spool.floor)
        block = self._block(first, self.low)
        self._older.extend([block.first + at for at in reversed(self.sieve.kept(block))])
        self.low = first

    def _block(self, first: int, last: int) -> Block:
        if self.sieve.matcher.active:
            return EMPTY if self.sieve.rules_out(self.spool, first, last) else self.spool.block(first, last)
        marks = self.spool.marks(first, last) if last > first else b""  # the text need not be read
        return Block(first, array("Q"), b"", array("Q"), marks, b"")

    def narrowed(self, sieve: Sieve) -> "Search | None":
        """The search for what ``sieve`` lets through, as far as this one has come; None where it is as good to begin anew."""
        if not sieve.narrows(self.sieve) or self.total > NARROWED:
            return None
        other = Search(self.spool, sieve, self.low)
        other.low, other._high = self.low, self._high
        other._older.extend([line for line in self._older if sieve.kept(self.spool.block(line, line + 1))])
        other._newer.extend(
            [line for line in self._newer[self._gone :] if sieve.kept(self.spool.block(line, line + 1))]
        )
        return other

    def _forget(self) -> None:
        """What has been written over is not there any more."""
        floor = self.spool.floor
        if self._high < floor:
            self.low = self._high = floor
        while self._older and self._older[-1] < floor:
            self._older.pop()
        if not self._older:
            self._gone = bisect_left(self._newer, floor, self._gone)
            if self._gone > 65536:
                del self._newer[: self._gone]
                self._gone = 0
        self.low = max(self.low, floor)

    def _at(self, line: int) -> int:
        """How many of all that were found, from the oldest on, come before ``line``."""
        older = self._older
        low, high = 0, len(older)  # descending: the first place whose line is before ``line``
        while low < high:
            middle = (low + high) // 2
            if older[middle] >= line:
                low = middle + 1
            else:
                high = middle
        if low > 0:
            return len(older) - low
        return len(older) + bisect_left(self._newer, line, self._gone) - self._gone

    def _slice(self, begin: int, end: int) -> list[int]:
        old = len(self._older)
        found = [self._older[old - 1 - at] for at in range(begin, min(end, old))]
        if end > old:
            found += self._newer[self._gone + max(begin - old, 0) : self._gone + end - old]
        return found

    def before(self, line: int, count: int) -> Sequence[int]:
        end = self._at(line)
        return self._slice(max(0, end - count), end)

    def after(self, line: int, count: int) -> Sequence[int]:
        begin = self._at(line)
        return self._slice(begin, min(begin + count, self.total))

    def behind(self, line: int) -> int:
        return self.total - self._at(line)


def passing(spool: Spool, sieve: Sieve, anchor: int) -> Passing:
    return Everything(spool) if sieve.everything else Search(spool, sieve, anchor)
