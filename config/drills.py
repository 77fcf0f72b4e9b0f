"""Drills as a fleet file declares them: whether a rollback may be practised in an environment, and when that is due."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from quarterdeck.config.freezes import DAY_MINUTES, WEEKDAYS

PRODUCTION_NAMES = ("prod", "live")  # an environment whose name begins so is production, wherever it stands
WINDOW = (
    2 * 3600.0
)  # seconds after `at` in which a drill still begins: one that was missed does not come in the middle of the night


class DrillTime(msgspec.Struct, frozen=True, omit_defaults=True):
    """A time of day, of every day or of one of the week (``weekday``, 0 is Monday). ``minute`` of that day by its clocks."""

    minute: int
    weekday: int | None = None

    @property
    def words(self) -> str:
        """As it is written: ``Tue 10:00``, ``10:00``."""
        day = "" if self.weekday is None else f"{WEEKDAYS[self.weekday]} "
        return f"{day}{self.minute // 60:02d}:{self.minute % 60:02d}"


class Drills(msgspec.Struct, frozen=True):
    """``allowed`` None: the environment's place in the order decides. ``every``: seconds between two of them, None: none is ever due;
    ``probe``: a URL that is asked all the while, None: the services' own health checks are."""

    allowed: bool | None = None
    every: float | None = None
    at: DrillTime | None = None
    zone: str = "UTC"
    probe: str | None = None


def why_no_drill(name: str, drills: Drills, after: Mapping[str, str | None]) -> str:
    """Why no rollback may be practised in the environment ``name``; empty: it may. ``after``: by environment the one before it.

    Production says so itself: an environment of such a name, or the end of the way that releases take, or, where none has such a
    name, the last one of several. ``after`` is in the order of the file.
    """
    if drills.allowed is not None:
        return "" if drills.allowed else f"the fleet file says `drills: refused` of {name}"
    named = any(one.lower().startswith(PRODUCTION_NAMES) for one in after)
    last = not named and len(after) > 1 and name == list(after)[-1]
    ends = after.get(name) is not None and name not in after.values()
    if name.lower().startswith(PRODUCTION_NAMES) or last or ends:
        return f"there is none in {name} unless the fleet file says `drills: allowed` there"
    return ""


def is_due(drills: Drills, last: datetime | None, now: datetime) -> bool:
    """Whether a drill is to begin at ``now``. ``last``: when one was last begun, None: never."""
    if drills.every is None:
        return False
    if drills.at is None:
        return last is None or (now - last).total_seconds() >= drills.every
    opened = last_at(drills, now)
    if (now - opened).total_seconds() > WINDOW or (last is not None and last >= opened):
        return False
    # Half a day of slack: what began at 10:01 a week ago is due at 10:00, also across a daylight-saving change.
    return last is None or (opened - last).total_seconds() >= drills.every - DAY_MINUTES * 30


def last_at(drills: Drills, now: datetime) -> datetime:
    """The last time that it was ``at``, by the clocks of ``zone``. A time that a clock skips is that of its next minute that there is."""
    from zoneinfo import ZoneInfo

    assert drills.at is not None
    zone = ZoneInfo(drills.zone)
    day = now.astimezone(zone).date()
    while True:
        at = datetime(day.year, day.month, day.day, drills.at.minute // 60, drills.at.minute % 60, tzinfo=zone)
        if drills.at.weekday in (None, day.weekday()) and at.astimezone(UTC) <= now:
            return at.astimezone(UTC)
        day -= timedelta(days=1)
