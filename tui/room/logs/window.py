"""The window onto the lines of a spool: which of them pass, where in them one is, and the items that are in sight. Knows no
screen; what it does is bounded however many lines there are."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

import msgspec

from quarterdeck.rollouts.logs.spool import Side, Spool
from quarterdeck.tui.room.logs.folding import Entry, Fold, Folded, Item
from quarterdeck.tui.room.logs.lines import Style, rows_of
from quarterdeck.tui.room.logs.marks import Mark
from quarterdeck.tui.room.logs.sieve import Passing, Search, Sieve, passing
from quarterdeck.tui.room.rows import Row

AT_ONCE: Final = 128  # lines that are read together
MOST_LINES: Final = 600  # that are looked at for one paint: some milliseconds, also under a flood
MOST_MOVED: Final = 1200  # that one key goes through
MOST_FOLDED: Final = 50_000  # that are looked at for one screen, in many paints
FIRST_LOOK: Final = 0.02  # seconds that a new filter may take before what it has found is shown


class Window(msgspec.Struct):
    """``bottom``: the number behind the last line in sight, while not following. ``since``: milliseconds of a length, None: all."""

    spool: Spool
    sieve: Sieve = msgspec.field(default_factory=Sieve)
    follow: bool = True
    bottom: int = 0
    fold: Fold = Fold.HOSTS
    since: int | None = None
    least: int = 0  # the first line that is young enough
    marks: list[Mark] = msgspec.field(default_factory=list)
    _passing: dict[Side, Passing] = msgspec.field(default_factory=dict)
    _folded: dict[Side, Folded] = msgspec.field(default_factory=dict)

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
        before = self._passing.get(Side.NONE)
        self._passing.clear()
        self._folded.clear()
        if isinstance(before, Search) and (narrowed := before.narrowed(sieve)) is not None:
            self._passing[Side.NONE] = narrowed
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
            self._folded.pop(side, None)

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

    def items(self, side: Side = Side.NONE) -> Iterator[Item]:
        """Entries and marks from the bottom upwards: what is folded already, then more of it as far as that is quick."""
        folded = self._folded_to_bottom(side)
        given = 0
        looked = 0
        while True:
            known = [
                item
                for item in folded.items_back(self.marks)
                if isinstance(item, Mark)
                or item.last >= self.least  # older ones were young enough when they were folded
            ]
            yield from known[given:-1]  # the last one may grow by what is above it
            given = max(len(known) - 1, 0)
            numbers = self.before(side, folded.low, AT_ONCE)
            if not numbers or looked >= MOST_LINES or folded.lines >= MOST_FOLDED:
                break
            folded.grow_up(self.spool.lines(numbers), numbers[0])
            looked += len(numbers)
        last = known[-1] if known else None
        if isinstance(last, Entry):
            yield msgspec.structs.replace(last, open=bool(numbers) and last.count > 1)
        elif last is not None:
            yield last

    def _folded_to_bottom(self, side: Side) -> Folded:
        """What was folded before, grown to the bottom; begun anew where that is not to be had from it."""
        passing = self.passing(side)
        bottom = min(
            self.bottom, max(passing.high, self.spool.floor)
        )  # what was not looked at yet comes with the next look
        folded = self._folded.get(side)
        if folded is not None and (folded.high > bottom or not folded.set_marks(self.marks)):
            folded = None
        if folded is not None and folded.high < bottom:
            numbers = passing.after(folded.high, MOST_LINES + 1)
            numbers = numbers[: bisect_left(numbers, bottom)]
            if len(numbers) > MOST_LINES:
                folded = None  # a flood: what is in sight now has nothing to do with what was
            else:
                folded.grow_down(self.spool.lines(numbers), bottom)
        if folded is None or folded.high < self.spool.floor:
            folded = Folded(bottom, self.fold)
            folded.set_marks(self.marks)
        self._folded[side] = folded
        return folded

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
        numbers = self.passing(Side.NONE).after(self.bottom, min(MOST_MOVED, max(by * 8, AT_ONCE)))
        if not numbers:
            return
        below = Folded(self.bottom, self.fold)
        below.set_marks(self.marks)
        below.grow_down(self.spool.lines(numbers), numbers[-1] + 1)
        items = list(below.items_back([mark for mark in self.marks if (mark.at or 0) > self.bottom]))[::-1]
        if items:
            self.bottom = max(self.bottom + 1, _end_of(items[min(by, len(items)) - 1]))

    def to_beginning(self, fills: Callable[[], bool]) -> None:
        """The oldest line on top: the bottom goes down from there until the window is full."""
        self.follow = False
        start = max(self.least, self.spool.floor)
        numbers = self.passing(Side.NONE).after(start, MOST_MOVED)
        if not numbers:
            self.bottom = self.spool.head
            return
        low, high = 1, len(numbers)  # the fewest lines that fill the window
        while low < high:
            middle = (low + high) // 2
            self.bottom = numbers[middle - 1] + 1
            if fills():
                high = middle
            else:
                low = middle + 1
        self.bottom = numbers[low - 1] + 1


def _end_of(item: Item) -> int:
    return (item.at or 0) if isinstance(item, Mark) else item.last + 1
