"""Freezes as a fleet file declares them: times of the week, or days, by the clocks of a named zone. What they mean at a moment is worked
out in rollouts/freezes.py.
"""

from datetime import date

import msgspec

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


class Edge(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a freeze begins or ends: a time of every week (``weekday``, 0 is Monday), or of one ``day``.

    ``minute`` of that day by its clocks, 1440 being its end; None: the whole day belongs to the freeze.
    """

    weekday: int | None = None
    day: date | None = None
    minute: int | None = None

    @property
    def words(self) -> str:
        """As it is written: ``Fri 16:00``, ``2026-12-20``."""
        day = str(self.day) if self.weekday is None else WEEKDAYS[self.weekday]
        return day if self.minute is None else f"{day} {self.minute // 60:02d}:{self.minute % 60:02d}"


class Freeze(msgspec.Struct, frozen=True):
    """From ``begins`` on, and until ``ends`` comes, no release goes out. Both are of the same kind, by the clocks of ``zone`` (IANA)."""

    begins: Edge
    ends: Edge
    zone: str = "UTC"
    reason: str = ""

    @property
    def words(self) -> str:
        return f"{self.begins.words} to {self.ends.words} {self.zone}"


def ends_at(ends: Edge) -> int:
    """The minute of its day at which a freeze ends: a day without a time belongs to it."""
    return DAY_MINUTES if ends.minute is None else ends.minute
