"""Sentences over as many rows as they need. Pure."""

import textwrap
from collections.abc import Sequence
from typing import Final

from quarterdeck.tui.room.rows import Role, Row, Span, cells

MOST_SAID: Final = 4  # rows


def wrapped(
    text: str, width: int, role: Role = Role.PLAIN, *, head: Sequence[Span] = (), most: int | None = None
) -> list[Row]:
    """A sentence over as many rows as it needs (``most``: and no more), behind ``head``: nothing is cut off that one decides by."""
    before = sum(cells(span.text) for span in head)
    pieces = textwrap.wrap(text, max(width - before, 20), max_lines=most, placeholder=" ..") or [""]
    under = (Span(" " * before),) if before else ()
    return [(*(under if number else head), Span(piece, role)) for number, piece in enumerate(pieces)]


def said_rows(text: str, width: int, role: Role = Role.WARN) -> list[Row]:
    """What an action came to; nothing where nothing is said."""
    return wrapped(text, width, role, most=MOST_SAID) if text else []
