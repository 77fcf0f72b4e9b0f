"""The timeline in the overview: what happened last, the newest on top."""

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span
from quarterdeck.tui.room.timeline import is_detail, searched, short_row


class Timeline(Pane):
    name_of: ClassVar[str] = "timeline"
    filterable: ClassVar[bool] = True

    def heading(self) -> str:
        return "timeline"

    def build(self, size: Size) -> Sequence[Row]:
        find = self.matcher
        wanted = (
            event
            for event in reversed(self.room.recent)
            if not is_detail(event) and (not find.active or find.matches(searched(event)))
        )
        events = list(islice(wanted, size.height))
        if not events:
            words = "nothing passes the filter" if find.active else "nothing has happened yet"
            return [(Span(f" {words}", Role.DIM),)]
        return [short_row(event, size.width) for event in events]

    def open_chosen(self) -> None:
        self.room.visit("history")
