"""What a command has printed, as rows of a card: the newest lines, broken where the card ends or cut there and looked at from a column on.
Pure but for its own state: the rows of a line are made once for a width."""

from collections import deque
from itertools import chain, islice
from typing import Final

from quarterdeck.tui.room.rows import Role, Row, Span, cells, pieces, row

MOST_ROWS: Final = 50  # of one line that is broken; what is left out is seen where lines are cut
SHAPES: Final = 2  # a card is asked what it would be like at one width, and painted at another


class Output:
    """``kept``: lines; older ones are forgotten."""

    def __init__(self, kept: int) -> None:
        self.longest = 0  # characters of a line
        self._lines: deque[tuple[str, str, Role]] = deque(maxlen=kept)
        self._made: dict[
            tuple[int, int | None], deque[list[Row]]
        ] = {}  # by columns and shift, the last one asked for last

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, head: str, text: str, role: Role) -> None:
        """``head`` stands before the line, and never moves sideways."""
        self.longest = max(self.longest, len(text))
        self._lines.append((head, text, role))
        for shape, made in self._made.items():
            made.append(_rows_of(head, text, role, *shape))

    def rows(self, width: int, shift: int | None) -> list[Row]:
        """``shift``: from which column on lines are shown that are cut at the edge; None: they are broken there."""
        shape = (width, shift)
        made = self._made.pop(shape, None)
        if made is None:
            made = deque((_rows_of(*line, *shape) for line in self._lines), maxlen=self._lines.maxlen)
        self._made[shape] = made
        if len(self._made) > SHAPES:
            del self._made[next(iter(self._made))]
        return list(chain.from_iterable(made))


def _rows_of(head: str, text: str, role: Role, width: int, shift: int | None) -> list[Row]:
    if shift is not None:
        return [row(Span(head, Role.DIM), Span(text[shift:], role))]
    first, *others = islice(pieces(text, max(width - cells(head), 1)), MOST_ROWS)
    if sum(len(piece) for piece in others) + len(first) < len(text):
        others.append("..")
    blank = Span(" " * cells(head))
    return [row(Span(head, Role.DIM), Span(first, role)), *(row(blank, Span(piece, role)) for piece in others)]
