"""The window onto the lines of a spool: which of them pass, where in them one is, and the items that are in sight. Knows no
screen; what it does is bounded however many lines there are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from quarterdeck.rollouts.log_spool import Line, Side, Spool
from quarterdeck.tui.room.logs.folding import MOST_LINES, Fold, Item, items_back
from quarterdeck.tui.room.logs.lines import Style, rows_of
from quarterdeck.tui.room.logs.marks import Mark
from quarterdeck.tui.room.logs.sieve import Passing, Sieve, passing
from quarterdeck.tui.room.rows import Row

AT_ONCE: Final = 128  # lines that are read together
FIRST_LOOK: Final = 0.03  # seconds that a new filter may take before what it has found is shown


@dataclass(slots=True)
class Window:
    """``bottom``: the number behind the last line in sight, while not following. ``since``: milliseconds of a length, None: all."""

    spool: Spool
    sieve: Sieve = field(default_factory=Sieve)
    follow: bool = True
    bottom: int = 0
    fold: Fold = Fold.HOSTS
    since: int | None = None
    least: int = 0  # the first line that is young enough
    marks: list[Mark] = field(default_factory=list)
    _passing: dict[Side, Passing] = field(default_factory=dict)

    def look(self, now: int) -> bool:
        """Takes in what has come; whether there is something new. ``now``: milliseconds since 1970."""
        new = self.spool.look()
        least = self.spool.floor if self.since is None else self._first_since(now - self.since)
        changed = new or least != self.least
        self.least = least
        if self.follow:
            self.bottom = self.spool.head
        else:
            self.bottom = max(self.bottom, min(self.spool.floor + 1, self.spool.head))
        return changed

    def _first_since(self, time: int) -> int:
        low, high = self.spool.floor, self.spool.head
        while low < high:
            middle = (low + high) // 2
            if self.spool.time_of(middle) < time:
                low = middle + 1
            else:
                high = middle
        return low

    # what passes

    def sift(self, sieve: Sieve, enough: int) -> None:
        """Another filter. Looks for ``enough`` lines at once, for a moment at most."""
        self.sieve = sieve
        self._passing.clear()
        self.passing(Side.NONE).step(FIRST_LOOK, lambda: len(self.before(Side.NONE, self.bottom, enough)) >= enough)

    def passing(self, side: Side) -> Passing:
        found = self._passing.get(side)
        if found is None:
            sieve = self.sieve if side is Side.NONE else replace(self.sieve, side=side)
            found = self._passing[side] = passing(self.spool, sieve, self.bottom)
        return found

    def forget_sides(self) -> None:
        """The columns beside each other are not shown any more."""
        for side in (Side.NEW, Side.OLD):
            self._passing.pop(side, None)

    def step(self, seconds: float) -> bool:
        """Goes on looking; whether everything has been looked at."""
        done = [found.step(seconds) for found in self._passing.values()]
        return all(done)

    def before(self, side: Side, line: int, count: int) -> Sequence[int]:
        numbers = self.passing(side).before(line, count)
        if numbers and numbers[0] < self.least:
            numbers = [number for number in numbers if number >= self.least]
        return numbers

    @property
    def total(self) -> int:
        return self.passing(Side.NONE).behind(self.least)

    @property
    def complete(self) -> bool:
        return self.passing(Side.NONE).complete

    @property
    def below(self) -> int:
        return 0 if self.follow else self.passing(Side.NONE).behind(self.bottom)

    # what is in sight

    def items(self, side: Side = Side.NONE, bottom: int | None = None) -> Iterator[Item]:
        """Entries and marks from the bottom upwards."""
        bottom = self.bottom if bottom is None else bottom
        return items_back(self._lines_back(side, bottom), self.marks, bottom, self.fold)

    def _lines_back(self, side: Side, bottom: int) -> Iterator[Line]:
        read = 0
        while read < MOST_LINES:
            numbers = self.before(side, bottom, AT_ONCE)
            if not numbers:
                return
            yield from reversed(self.spool.lines(numbers))
            read += len(numbers)
            bottom = numbers[0]

    def in_sight(self, style: Style, width: int, height: int, side: Side = Side.NONE) -> tuple[list[Row], list[Item]]:
        """The last rows that fit above the bottom, and what they show, in the order of the screen."""
        items: list[Item] = []
        blocks: list[list[Row]] = []
        count = 0
        for item in self.items(side):
            rows = rows_of(item, style, width)
            items.append(item)
            blocks.append(rows)
            count += len(rows)
            if count >= height:
                break
        rows = [row for block in reversed(blocks) for row in block]
        return rows[max(0, len(rows) - height) :], items[::-1]

    # moving

    def stand(self) -> None:
        self.follow = False

    def to_end(self) -> None:
        self.follow = True
        self.bottom = self.spool.head

    def up(self, by: int, fills: Callable[[], bool]) -> None:
        """``fills``: whether what is above the bottom fills the window; there is nothing to go up to otherwise."""
        if not fills():
            return
        self.follow = False
        reached = list(islice(self.items(), by + 1))
        before = self.bottom
        if len(reached) > by:
            self.bottom = _end_of(reached[by])
        if not fills():
            self.to_beginning(fills)
            self.bottom = min(self.bottom, before)

    def down(self, by: int) -> None:
        numbers = self.passing(Side.NONE).after(self.bottom, min(MOST_LINES, max(by * 8, AT_ONCE)))
        if not numbers:
            return
        lines = self.spool.lines(numbers)
        end = numbers[-1] + 1
        items = list(items_back(reversed(lines), [m for m in self.marks if (m.at or 0) > self.bottom], end, self.fold))
        items.reverse()
        if items:
            self.bottom = max(self.bottom + 1, _end_of(items[min(by, len(items)) - 1]))

    def to_beginning(self, fills: Callable[[], bool]) -> None:
        """The oldest line on top: the bottom goes down from there until the window is full."""
        self.follow = False
        start = max(self.least, self.spool.floor)
        count = 4
        while True:
            numbers = self.passing(Side.NONE).after(start, count)
            if not numbers:
                self.bottom = self.spool.head
                return
            self.bottom = numbers[-1] + 1
            if fills() or len(numbers) < count or count >= MOST_LINES:
                return
            count += max(1, count // 8)


def _end_of(item: Item) -> int:
    return (item.at or 0) if isinstance(item, Mark) else item.last + 1
