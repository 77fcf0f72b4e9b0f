"""Where things lie on the screen: pure arithmetic, used by the first paint and by the application alike, so that nothing
jumps when the one takes over from the other."""

from collections.abc import Sequence
from typing import Final

import msgspec


class Box(msgspec.Struct, frozen=True):
    """A rectangle of cells. Never smaller than nothing."""

    x: int
    y: int
    width: int
    height: int


SMALLEST: Final = (60, 16)
"""Columns and lines below which keys that change something are off: a card would not be readable."""

MIDDLE_WIDTH: Final = 110
WIDE_WIDTH: Final = 170
MIDDLE_HEIGHT: Final = 30
CLOCK_WIDTH: Final = 10


def big_enough(width: int, height: int) -> bool:
    return width >= SMALLEST[0] and height >= SMALLEST[1]


def too_small(width: int, height: int) -> str:
    """What is said of a terminal that is smaller than that; nothing of one that is big enough."""
    if big_enough(width, height):
        return ""
    return f"{width}x{height} is too small: keys that change something are off below {SMALLEST[0]}x{SMALLEST[1]}"


def frame(width: int, height: int) -> dict[str, Box]:
    """What every view has: header and clock, tabs, alert band on top, footer (and the command line over it) at the bottom, body."""
    return {
        "header": Box(0, 0, max(width - CLOCK_WIDTH, 0), 1),
        "clock": Box(max(width - CLOCK_WIDTH, 0), 0, CLOCK_WIDTH, 1),
        "tabs": Box(0, 1, width, 1),
        "alert": Box(0, 2, width, 1),
        "body": Box(0, 3, width, max(height - 4, 0)),
        "footer": Box(0, max(height - 1, 0), width, 1),
    }


def columns(box: Box, left: int) -> tuple[Box, Box]:
    """Two boxes beside each other with a column between them."""
    left = max(0, min(left, box.width))
    return (
        Box(box.x, box.y, left, box.height),
        Box(box.x + left + 1, box.y, max(box.width - left - 1, 0), box.height),
    )


def lines(box: Box, *heights: int) -> list[Box]:
    """Boxes below each other: of the given heights, ``0`` for the one that takes what is left. Those that don't fit are 0 high."""
    left = box.height - sum(heights)
    result = []
    y = box.y
    for height in heights:
        room = max(box.y + box.height - y, 0)
        tall = min(height if height else max(left, 0), room)
        result.append(Box(box.x, y, box.width, tall))
        y += tall
    return result


def overview(width: int, height: int) -> dict[str, Box]:
    """The first view: what is shown grows with the terminal, and nothing ever changes its meaning."""
    body = frame(width, height)["body"]
    if width >= WIDE_WIDTH and height >= 45:
        return _wide(body, width)
    if width >= MIDDLE_WIDTH and height >= MIDDLE_HEIGHT:
        return _middle(body, width)
    if width >= MIDDLE_WIDTH:
        top, card = lines(body, 0, min(5, max(body.height - 8, 2)))
        matrix, rollouts = columns(top, width * 60 // 100)
        return {"matrix": matrix, "rollouts": rollouts, "card": card}
    if height >= 36:
        matrix, card, rollouts, logs = lines(body, max(12, body.height * 2 // 5), 5, max(6, body.height // 6), 0)
        return {"matrix": matrix, "card": card, "rollouts": rollouts, "logs": logs}
    matrix, card, rollouts = lines(body, 0, 5 if height >= 20 else 3, 5 if height >= 24 else 3)
    return {"matrix": matrix, "card": card, "rollouts": rollouts}


def _middle(body: Box, width: int) -> dict[str, Box]:
    top, middle, logs, card = lines(body, max(9, body.height * 2 // 5), 6, 0, 5)
    matrix, rollouts = columns(top, width * 58 // 100)
    health, timeline = columns(middle, width * 58 // 100)
    return {"matrix": matrix, "rollouts": rollouts, "health": health, "timeline": timeline, "logs": logs, "card": card}


def _wide(body: Box, width: int) -> dict[str, Box]:
    top, middle, logs, diff, card = lines(body, max(12, body.height * 2 // 5), 11, 0, 5, 6)
    matrix, rollouts = columns(top, width * 58 // 100)
    health, timeline = columns(middle, width * 58 // 100)
    return {
        "matrix": matrix,
        "rollouts": rollouts,
        "health": health,
        "timeline": timeline,
        "logs": logs,
        "diff": diff,
        "card": card,
    }


def uncovered(before: Sequence[Box], now: Sequence[Box]) -> bool:
    """Whether the column behind one of these boxes, which belongs to none, was in one before: what was there is not wiped away by
    painting the boxes."""
    gaps = [(box.x + box.width, box.y, box.y + box.height) for box in now if box.width > 0 and box.height > 0]
    return any(
        old.x <= x < old.x + old.width and old.y < bottom and top < old.y + old.height
        for x, top, bottom in gaps
        if not any(box.x <= x < box.x + box.width and box.y < bottom and top < box.y + box.height for box in now)
        for old in before
    )


def zoomed(width: int, height: int, pane: str) -> dict[str, Box]:
    """One pane over the whole body."""
    return {pane: frame(width, height)["body"]}
