"""The second line: the views with their numbers and what waits in each, and the filter."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.tui.room.overview.tabs import counts, tabs_row
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.once import Once
from quarterdeck.tui.room.rows import Row


class Tabs(Pane, can_focus=False):
    name_of: ClassVar[str] = "tabs"
    titled: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._counts = Once(lambda picture, _: counts(picture))

    def build(self, size: Size) -> Sequence[Row]:
        return [tabs_row(self.room.place.view, self._counts.of(self.room.picture), size.width, self._filter())]

    def _filter(self) -> str:
        """Of the pane that has the keys."""
        pane = self.room.focused_pane
        return pane.matcher.words if pane is not None else ""
