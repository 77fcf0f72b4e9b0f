"""What runs beside the way back, for the chosen target: read when another pair of releases is chosen, never while painting."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Ended, Rollout, RolloutState
from quarterdeck.rollouts.differences.releases import Difference, compare
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.room.overview.diff import diff_rows
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span

Pair = tuple[str, str]
"""The way back, and what runs or is coming."""


def pair_of(seen: TargetSeen) -> Pair | None:
    """The way back and what runs; while a rollout is under way: what it leaves and what it brings, also of one that failed half-way."""
    moving: Rollout | Ended | None = seen.moving.rollout if seen.moving is not None else None
    if moving is None and seen.last is not None and seen.last.state is RolloutState.FAILED:
        moving = seen.last
    after = (moving.to_release if moving is not None else None) or seen.release
    before = (moving.from_release if moving is not None else None) or seen.back.release
    return (before, after) if before and after and before != after else None


class Diff(Pane):
    name_of: ClassVar[str] = "diff"

    def __init__(self) -> None:
        super().__init__()
        self._pair: Pair | None = None
        self._found: Difference | str = ""

    def pair(self) -> Pair | None:
        seen = self.room.target
        return pair_of(seen) if seen is not None else None

    def heading(self) -> str:
        pair = self.pair()
        return "diff" if pair is None else f"diff {version_of(pair[0])} -> {version_of(pair[1])}"

    def heading_right(self) -> str:
        return "d whole" if self._pair is not None else ""

    def renew(self) -> None:
        pair = self.pair()
        if pair != self._pair and self.is_mounted and self.size.height > 0:
            self._pair, self._found = pair, ""
            if pair is not None:
                self.fetch(self._read, "diff")
        super().renew()

    async def _read(self) -> None:
        pair = self._pair
        if pair is None:
            return

        def read(journal: Journal) -> Difference | str:
            before, after = journal.release(pair[0]), journal.release(pair[1])
            if before is None or after is None:
                return f"the journal does not know {pair[0] if before is None else pair[1]}; qd adopt reads it from the hosts"
            return compare(before.release, after.release)

        try:
            found = await self.room.desk.ask(read)
        except (JournalError, TimeoutError) as error:
            found = str(error) or "the journal did not answer in time"
        if pair == self._pair:
            self._found = found
            super().renew()

    def build(self, size: Size) -> Sequence[Row]:
        if isinstance(self._found, Difference):
            return diff_rows(self._found, size.width)
        text = self._found or ("reading .." if self._pair is not None else "nothing to go back to")
        return [(Span(f" {text}", Role.DIM),)]
