"""Ages by boot time, so coarse that a screen at rest sends no bytes for them. Pure."""

from typing import Final

from quarterdeck.history.clock import boottime
from quarterdeck.history.samples import SECOND

STEPS: Final = (5, 10, 20, 30, 60)  # seconds: an age is «less than» one of them


def coarse(seconds: float) -> str:
    """``<5s``, ``<30s``, ``3m``, ``2h``, ``6d``: never less than it is."""
    for step in STEPS:
        if seconds < step:
            return f"<{step}s"
    for size, unit in ((86400, "d"), (3600, "h")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 60)}m"


def since(moment: int, now: int | None = None) -> float:
    """Seconds since a moment of boot time (nanoseconds)."""
    return max(0.0, ((boottime() if now is None else now) - moment) / SECOND)
