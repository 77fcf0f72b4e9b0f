"""Figures as a pane writes them: rounded, so that cells do not flicker, and sparklines of one row. Pure, ASCII."""

from collections.abc import Sequence
from typing import Final

NOTHING: Final = "-"  # no data: never shown as good
LEVELS: Final = ".,:!#"


def milliseconds(seconds: float | None) -> str:
    """``0.4ms``, ``48ms``, ``310ms``, ``2.3s``: two significant digits."""
    if seconds is None:
        return NOTHING
    value = seconds * 1000
    if value >= 995:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    if value >= 100:
        return f"{round(value / 10) * 10}ms"
    return f"{value:.0f}ms" if value >= 9.5 else f"{value:.1f}ms"


def percent(value: float | None) -> str:
    """``0%``, ``<1%``, ``4%``, ``41%``."""
    if value is None:
        return NOTHING
    return "<1%" if 0 < value < 1 else f"{value:.0f}%"


def load(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"


def size(value: float | None) -> str:
    """Bytes: ``0``, ``<1K``, ``9K``, ``612M``, ``1.5G``. Of 1024 each, as engines count memory."""
    if value is None:
        return NOTHING
    if value < 1024:
        return "<1K" if value > 0 else "0"
    units = "KMGT"
    power = next((power for power in range(1, len(units)) if value / 1024**power < 999.5), len(units))
    value, unit = value / 1024**power, units[power - 1]
    return f"{value:.1f}{unit}" if value < 9.95 and unit in "GT" else f"{value:.0f}{unit}"


def count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def spark(levels: Sequence[int | None]) -> str:
    """One character a column: a level from 0 to 4, a space where nothing was measured."""
    return "".join(" " if level is None else LEVELS[max(0, min(level, len(LEVELS) - 1))] for level in levels)


def columns(series: Sequence[float | None], last: int, width: int) -> list[float | None]:
    """The series in at most ``width`` columns, each the worst (highest) of some buckets. ``last``: the number of the newest
    bucket: a column holds the same buckets as long as it is there, so that the row only moves when one more is full."""
    if width <= 0 or not series:
        return []
    size = -(-len(series) // width)
    first = last - len(series) + 1
    found: dict[int, list[float]] = {number // size: [] for number in range(first, last + 1)}
    for number, value in enumerate(series, first):
        if value is not None:
            found[number // size].append(value)
    return [max(own) if own else None for _, own in sorted(found.items())][-width:]


def share_levels(series: Sequence[float | None]) -> list[int | None]:
    """Of a percentage that should be 0: any failure shows."""
    return [None if value is None else sum(value > limit for limit in (0, 5, 20, 50)) for value in series]


def use_levels(series: Sequence[float | None]) -> list[int | None]:
    """Of a percentage of something that is used up."""
    return [None if value is None else sum(value >= limit for limit in (25, 50, 75, 90)) for value in series]


def relative_levels(series: Sequence[float | None]) -> list[int | None]:
    """Against its own median: what is steady is level, what doubles stands out."""
    known = sorted(value for value in series if value is not None)
    if not known:
        return [None for _ in series]
    usual = known[len(known) // 2]
    steps = (1.5, 2.0, 3.0, 5.0)
    return [None if value is None else sum(value > usual * step for step in steps) for value in series]
