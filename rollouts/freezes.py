"""Whether an environment is frozen at a moment, until when, and when it will be next. Pure: it is told what is declared, and the time.

A freeze goes by the clocks of its zone. Where they are set back, and a time comes twice, it begins the first time and ends the second;
where they are set forward, and a time never comes, it begins or ends when they are set.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Any

import msgspec

from quarterdeck.config.freezes import WEEK_MINUTES, Edge, Freeze, ends_at

WEEKS_BEFORE, WEEKS_AFTER = (
    2,
    6,
)  # how many weeks around a moment are looked at; a weekly freeze lasts for one at the most
MOST_JOINED = 60  # windows in a row before a freeze is called endless


class Window(msgspec.Struct, frozen=True):
    """One time of being frozen, from ``start`` on, until ``end`` (UTC; None: until somebody ends it).

    ``words``: as it was declared, or who froze it. ``by_hand``: the number of a freeze that somebody made; None: of the fleet file.
    """

    start: datetime
    end: datetime | None
    zone: str
    reason: str
    words: str
    by_hand: int | None = None

    def holds(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


class Frozen(msgspec.Struct, frozen=True):
    """What holds at a moment. ``until``: when all is over, also what follows without a gap; None: there is no end to be seen."""

    windows: tuple[Window, ...]  # that hold now, the one that ends last first
    until: datetime | None

    @property
    def zone(self) -> str:
        return self.windows[0].zone

    @property
    def reason(self) -> str:
        return "; ".join(dict.fromkeys(window.reason for window in self.windows if window.reason))

    @property
    def words(self) -> str:
        """``until Mon 2026-11-30 08:00 Europe/Berlin (07:00Z): weekend``."""
        until = f"until {in_zone(self.until, self.zone)}" if self.until is not None else "until somebody ends it"
        if self.until is None and self.windows[0].by_hand is None:
            until = "without an end"
        return f"{until}: {self.reason}" if self.reason else until


def frozen_at(freezes: Sequence[Freeze], by_hand: Iterable[Window], at: datetime) -> Frozen | None:
    """What freezes an environment at the moment ``at``; None: nothing."""
    made = tuple(by_hand)
    now = [window for window in _windows(freezes, made, at) if window.holds(at)]
    if not now:
        return None
    now.sort(key=_end, reverse=True)
    until = now[0].end
    for _ in range(MOST_JOINED):
        if until is None:
            break
        then = until
        after = max((_end(window) for window in _windows(freezes, made, then) if window.holds(then)), default=None)
        if after is None:
            return Frozen(tuple(now), until)
        until = None if after == _NEVER else after
    return Frozen(tuple(now), None)


def next_freeze(freezes: Sequence[Freeze], by_hand: Iterable[Window], at: datetime) -> Window | None:
    """The first window that begins after ``at``."""
    coming = [window for window in _windows(freezes, tuple(by_hand), at) if window.start > at]
    return min(coming, key=lambda window: window.start, default=None)


def from_options(told: Iterable[Any]) -> tuple[Freeze, ...]:
    """Freezes as a rollout carries them, from JSON."""
    return tuple(msgspec.convert(freeze, Freeze) for freeze in told)


def in_zone(moment: datetime, zone: str) -> str:
    """``Mon 2026-11-30 08:00 Europe/Berlin (07:00Z)``."""
    local = moment.astimezone(zone_of(zone))
    utc = "" if zone == "UTC" else f" ({moment.astimezone(UTC):%H:%M}Z)"
    return f"{local:%a %Y-%m-%d %H:%M} {zone}{utc}"


@cache
def zone_of(name: str) -> tzinfo:
    """The zone's clocks. One that this machine does not know (the fleet file was checked elsewhere) raises ``KeyError``."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


_NEVER = datetime.max.replace(tzinfo=UTC)


def _end(window: Window) -> datetime:
    return _NEVER if window.end is None else window.end


def _windows(freezes: Sequence[Freeze], by_hand: Sequence[Window], around: datetime) -> list[Window]:
    """Those that may concern the weeks around a moment."""
    found = list(by_hand)
    for freeze in freezes:
        zone = zone_of(freeze.zone)
        for begins, ends in _local(freeze, around.astimezone(zone).replace(tzinfo=None)):
            start, end = first_instant(begins, zone), last_instant(ends, zone)
            if start < end:
                found.append(Window(start, end, freeze.zone, freeze.reason, freeze.words))
    return found


def _local(freeze: Freeze, around: datetime) -> list[tuple[datetime, datetime]]:
    """When it begins and ends by the clocks on the wall, in the weeks around ``around`` (no zone)."""
    begins, ends = freeze.begins, freeze.ends
    if begins.day is not None and ends.day is not None:
        midnight = time()
        start = datetime.combine(begins.day, midnight) + timedelta(minutes=begins.minute or 0)
        return [(start, datetime.combine(ends.day, midnight) + timedelta(minutes=ends_at(ends)))]
    first = _in_week(begins, begins.minute or 0)
    lasts = (_in_week(ends, ends_at(ends)) - first) % WEEK_MINUTES or WEEK_MINUTES
    monday = datetime.combine(around.date() - timedelta(days=around.weekday()), time())
    starts = [monday + timedelta(days=7 * week, minutes=first) for week in range(-WEEKS_BEFORE, WEEKS_AFTER)]
    return [(start, start + timedelta(minutes=lasts)) for start in starts]


def _in_week(edge: Edge, minute: int) -> int:
    return (edge.weekday or 0) * 24 * 60 + minute


def first_instant(local: datetime, zone: tzinfo) -> datetime:
    """The moment (UTC) when the clocks of ``zone`` show ``local`` for the first time, or when they are set past it."""
    early, late = _readings(local, zone)
    return early if early <= late else _set_between(late, early, zone)


def last_instant(local: datetime, zone: tzinfo) -> datetime:
    """The moment (UTC) when they show ``local`` for the last time, or when they are set past it."""
    early, late = _readings(local, zone)
    return late if early <= late else _set_between(late, early, zone)


def _readings(local: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """With the clocks as they were before a change near it, and as they are after it: of a time that comes twice the first is earlier, of
    one that never comes it is later (PEP 495)."""
    before, after = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return before, after


def _set_between(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    """When, between two moments, the clocks are set: to the second."""
    old = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            middle = low + timedelta(seconds=1)
        if middle.astimezone(zone).utcoffset() == old:
            low = middle
        else:
            high = middle
    return high
