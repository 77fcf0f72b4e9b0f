"""Makes entries of lines: a line with its stack trace is one, and what repeats but for times, numbers and ids is shown once
with how often it came. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quarterdeck.rollouts.log_spool import Level, Line
from quarterdeck.tui.room.logs.marks import Mark

WINDOW: Final = 60_000  # milliseconds between the first and the last of what is folded into one
MOST_LINES: Final = 1200  # that are looked at for one screen
LONGEST_TRACE: Final = 100  # lines


class Fold(StrEnum):
    """What is folded: repeats of any host, only those of one host, nothing."""

    HOSTS = "across hosts"
    HOST = "on one host"
    OFF = "not"


@dataclass(slots=True)
class Entry:
    """``lines``: of the newest of them, with what belongs to it. ``since``: milliseconds, when the oldest came."""

    lines: list[Line]
    count: int
    since: int
    hosts: set[int]
    shape: str
    first: int  # number of the oldest line

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


def items_back(lines: Iterable[Line], marks: Sequence[Mark], bottom: int, fold: Fold) -> Iterator[Item]:
    """``lines`` from the newest to the oldest; gives entries and marks in that order. Only marks above ``bottom`` are shown."""
    left = [mark for mark in marks if mark.at is not None and mark.at <= bottom]
    entry: Entry | None = None
    trace: list[Line] = []
    for line in lines:
        while left and (left[-1].at or 0) > line.number:
            if entry is not None:
                yield entry
                entry = None
            yield left.pop()
        if line.continued and len(trace) < LONGEST_TRACE and (not trace or trace[-1].host == line.host):
            trace.append(line)
            continue
        if trace and trace[-1].host != line.host:
            entry, done = _joined(entry, trace[::-1], fold)
            if done is not None:
                yield done
            trace = []
        entry, done = _joined(entry, [line, *reversed(trace)], fold)
        trace = []
        if done is not None:
            yield done
    if trace:
        entry, done = _joined(entry, trace[::-1], fold)
        if done is not None:
            yield done
    if entry is not None:
        yield entry


def _joined(newer: Entry | None, record: list[Line], fold: Fold) -> tuple[Entry, Entry | None]:
    """The entry that ``record`` is in, and the one that is finished by it."""
    head = record[0]
    form = "" if fold is Fold.OFF or head.level is Level.NOTICE else "\n".join(shape(line.body) for line in record)
    if (
        newer is not None
        and form
        and newer.shape == form
        and newer.head.level == head.level
        and newer.head.side == head.side
        and newer.lines[0].time - head.time <= WINDOW
        and (fold is Fold.HOSTS or head.host in newer.hosts)
    ):
        newer.count += 1
        newer.since = min(newer.since, head.time)
        newer.hosts.add(head.host)
        newer.first = head.number
        return newer, None
    return Entry(record, 1, head.time, {head.host}, form, head.number), newer
