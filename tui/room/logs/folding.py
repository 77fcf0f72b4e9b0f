"""Makes entries of lines: a line with its stack trace is one, and what repeats but for times, numbers and ids is shown once
with how often it came. Pure; every line is looked at once, however often the screen is painted."""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from quarterdeck.rollouts.logs.spool import Level, Line
from quarterdeck.tui.room.logs.marks import Mark

WINDOW: Final = 60_000  # milliseconds between the first and the last of what is folded into one
LONGEST_TRACE: Final = 100  # lines
MOST_ENTRIES: Final = 2000  # that are kept


class Fold(StrEnum):
    """What is folded: repeats of any host, only those of one host, nothing."""

    HOSTS = "across hosts"
    HOST = "on one host"
    OFF = "not"


class Entry(msgspec.Struct, frozen=True):
    """``lines``: the newest one, with what belongs to it. ``since``: milliseconds, when the oldest came; ``first``: its number.

    ``open``: there may be more of them above."""

    lines: tuple[Line, ...]
    count: int
    since: int
    first: int
    hosts: frozenset[int]
    shape: str
    open: bool = False

    @property
    def last(self) -> int:
        """The number of its newest line."""
        return self.lines[-1].number

    @property
    def head(self) -> Line:
        return self.lines[0]


Item = Entry | Mark

# Ids: UUIDs, hexadecimal ones with a digit in them, numbers.
_CHANGING: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|0x[0-9a-f]+|\b(?=[a-f]*\d)[0-9a-f]{4,}\b|\d+", re.IGNORECASE
)


def shape(text: str) -> str:
    """What two lines have in common when only times, numbers and ids differ."""
    return _CHANGING.sub("#", text[:400])


def records(lines: Sequence[Line]) -> list[tuple[Line, ...]]:
    """Each line with those that belong to it."""
    found: list[tuple[Line, ...]] = []
    record: list[Line] = []
    for line in lines:
        if record and line.continued and line.host == record[0].host and len(record) < LONGEST_TRACE:
            record.append(line)
            continue
        if record:
            found.append(tuple(record))
        record = [line]
    if record:
        found.append(tuple(record))
    return found


class Folded:
    """The entries between two lines, grown at both ends. ``low``: the first line that is in it; ``high``: behind the last one.

    What came last is kept apart: lines that belong to it may still come.
    """

    def __init__(self, at: int, fold: Fold) -> None:
        self.low = self.high = at
        self.fold = fold
        self.lines = 0  # that were looked at
        self._entries: list[Entry] = []  # the oldest first
        self._above: list[Line] = []  # that belong to a line which was not seen yet
        self._last: tuple[Line, ...] = ()
        self._marks: Sequence[int] = ()

    def set_marks(self, marks: Sequence[Mark]) -> bool:
        """Nothing is folded across a mark. False: one has come into what is folded already, which is to be done anew."""
        places = [mark.at for mark in marks if mark.at is not None]
        fresh = set(places) - set(self._marks)
        self._marks = places
        return not any(self.low < place < self.high for place in fresh)

    def grow_down(self, lines: Sequence[Line], high: int) -> None:
        """``lines`` came behind ``high`` so far, in their order."""
        if lines:
            if not self._last and not self._entries:
                self._last, self._above = tuple(self._above), []
            *done, self._last = records([*self._last, *lines])
            for record in done:
                self._append(record)
        self.lines += len(lines)
        self.high = high

    def grow_up(self, lines: Sequence[Line], low: int) -> None:
        """``lines`` come before ``low`` so far, in their order."""
        made = records([*lines, *self._above])
        self._above = []
        if made and made[0][0].continued and len(made[0]) < LONGEST_TRACE and lines:
            self._above = list(made.pop(0))  # its first line is above
        for record in reversed(made):
            self._prepend(record)
        self.lines += len(lines)
        self.low = low

    def items_back(self, marks: Sequence[Mark]) -> Iterator[Item]:
        """From the newest to the oldest that is known. The last one is ``open``: more of it may be above."""
        left = [mark for mark in marks if mark.at is not None and mark.at <= self.high]
        entries = self._entries
        newest = entries[-1] if entries else None
        if self._last:
            joined = self._join(newest, self._last) if newest is not None else None
            yield from _with_marks(joined or self._entry(self._last), left)
            if joined is not None:
                entries = entries[:-1]
        for entry in reversed(entries):
            yield from _with_marks(entry, left)
        if self._above:
            yield from _with_marks(self._entry(tuple(self._above)), left)

    def _append(self, record: tuple[Line, ...]) -> None:
        joined = self._join(self._entries[-1], record) if self._entries else None
        if joined is not None:
            self._entries[-1] = joined
            return
        self._entries.append(self._entry(record))
        if len(self._entries) > MOST_ENTRIES:
            del self._entries[: MOST_ENTRIES // 2]
            self.low = self._entries[0].first
            self._above = []

    def _prepend(self, record: tuple[Line, ...]) -> None:
        if not self._entries and not self._last:
            self._last = record
            return
        if self._entries:
            newer = self._entries[0]
            if self._alike(newer, record) and not self._marked(record[0].number, newer.first):
                head = record[0]
                self._entries[0] = Entry(
                    newer.lines,
                    newer.count + 1,
                    min(newer.since, head.time),
                    head.number,
                    newer.hosts if head.host in newer.hosts else newer.hosts | {head.host},
                    newer.shape,
                )
                return
        self._entries.insert(0, self._entry(record))

    def _join(self, older: Entry, record: tuple[Line, ...]) -> Entry | None:
        """``record`` is the newest of ``older`` then."""
        if not self._alike(older, record) or self._marked(older.last, record[0].number):
            return None
        return Entry(record, older.count + 1, older.since, older.first, older.hosts | {record[0].host}, older.shape)

    def _alike(self, entry: Entry, record: tuple[Line, ...]) -> bool:
        head, other = record[0], entry.head
        return (
            entry.shape != ""
            and head.info & 0xFF == other.info & 0xFF  # the same level and side
            and (self.fold is Fold.HOSTS or head.host == other.host)
            and abs(head.time - (entry.since if head.number > entry.first else other.time)) <= WINDOW
            and self._shape(record) == entry.shape
        )

    def _marked(self, older: int, newer: int) -> bool:
        return any(older < place <= newer for place in self._marks)

    def _entry(self, record: tuple[Line, ...]) -> Entry:
        head = record[0]
        return Entry(record, 1, head.time, head.number, frozenset((head.host,)), self._shape(record))

    def _shape(self, record: tuple[Line, ...]) -> str:
        """Empty: never folded."""
        if self.fold is Fold.OFF or record[0].level is Level.NOTICE:
            return ""
        if len(record) == 1:
            return shape(record[0].body)
        return "\n".join([shape(line.body) for line in record])


def _with_marks(entry: Entry, left: list[Mark]) -> Iterator[Item]:
    """The marks below the entry, then itself. ``left``: those that have not been given yet, the newest last."""
    while left and (left[-1].at or 0) > entry.last:
        yield left.pop()
    yield entry
