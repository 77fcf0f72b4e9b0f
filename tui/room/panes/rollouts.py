"""Rollouts in the overview: those under way as trees, then the newest ended ones. Enter opens the chosen one."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.tui.room.overview.rollouts import Line, rollout_lines
from quarterdeck.tui.room.pane import Pane, Size, unread_rows
from quarterdeck.tui.room.rows import Role, Row, Span, fit


class Rollouts(Pane):
    name_of: ClassVar[str] = "rollouts"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Line] = []

    def heading_right(self) -> str:
        count = len(self.room.picture.moving)
        return f"{count} under way" if count else ""

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        if room.unread:
            return unread_rows()
        self._lines = rollout_lines(room.picture, size.width, size.height, room.now(), self.matcher)
        if not self._lines:
            words = "no rollout passes the filter" if room.picture.rollouts else "no rollout yet: D deploys"
            return [(Span(f" {words}", Role.DIM),)]
        chosen = self.chosen_row()
        rows = [line.row for line in self._lines]
        if chosen is not None:
            plain = "".join(span.text for span in rows[chosen])
            rows[chosen] = fit((Span(f">{plain[1:]}", Role.CURSOR),), size.width)
        return rows

    def chosen_row(self) -> int | None:
        """The first line of the chosen rollout, while this pane has the keys."""
        chosen = self.room.place.rollout
        if not self.has_focus or not self._lines:
            return None
        return next((at for at, line in enumerate(self._lines) if line.rollout == chosen), None)

    def move(self, by: int) -> None:
        ids = list(dict.fromkeys(line.rollout for line in self._lines))
        if not ids:
            return
        chosen = self.room.place.rollout
        at = ids.index(chosen) + by if chosen in ids else 0
        id = ids[max(0, min(at, len(ids) - 1))]
        seen = self.room.picture.rollout(id)
        self.room.choose(seen.rollout.target if seen is not None else None, rollout=id)

    def open_chosen(self) -> None:
        ids = {line.rollout for line in self._lines}
        chosen = self.room.place.rollout
        if chosen in ids:
            self.room.visit("rollouts", rollout=chosen)
        elif self._lines:
            self.move(0)
            self.room.visit("rollouts")
