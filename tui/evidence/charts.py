"""Measurements as a small chart in one row of characters: with Unicode's blocks, or with characters that every terminal has. Pure."""

from collections.abc import Sequence
from typing import Final

COLUMNS: Final = 60
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII: Final = ".:-=+*%#"
_GAP: Final = " "  # nothing was measured
_ERROR: Final = "x"  # the source could not measure


def chart(
    values: Sequence[float | None],
    errors: Sequence[bool],
    low: float,
    high: float,
    *,
    columns: int = COLUMNS,
    ascii_only: bool = False,
) -> str:
    """One character a value, or, of more than ``columns``, one for as many as it takes: their highest, so that no peak is lost."""
    levels = _ASCII if ascii_only else _BLOCKS
    count = len(values)
    shown = min(count, columns)
    text = ""
    for at in range(shown):
        first, last = at * count // shown, max((at + 1) * count // shown, at * count // shown + 1)
        inside = [value for value in values[first:last] if value is not None]
        if inside:
            text += levels[_level(max(inside), low, high, len(levels))]
        else:
            text += _ERROR if any(errors[first:last]) else _GAP
    return text


def _level(value: float, low: float, high: float, levels: int) -> int:
    if high <= low:
        return 0 if high == 0 else levels // 2
    return max(0, min(levels - 1, int((value - low) / (high - low) * levels)))


def number(value: float) -> str:
    return f"{value:.4g}"
