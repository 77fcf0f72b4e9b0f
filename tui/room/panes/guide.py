"""The guide's words, over the lines above the footer, while the first incident is played."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.tui.room.guide import Stage, guide_rows, stage_of
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Row

HEIGHT = 3


class Guide(Pane, can_focus=False):
    """Shown while ``Room.incident`` is one that is played."""

    DEFAULT_CSS = "Guide { position: absolute; layer: over; width: 1; height: 1; }"
    name_of: ClassVar[str] = "guide"

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage.RELEASING

    def heading(self) -> str:
        return "guide: a first incident"

    def heading_right(self) -> str:
        return "esc skips"

    def build(self, size: Size) -> Sequence[Row]:  # noqa: ARG002  # the words are cut by the pane
        incident = self.room.incident
        if incident is None:
            return []
        self.stage = stage_of(incident, self.room.picture, self.stage, card_open=len(self.room.screen_stack) > 1)
        return guide_rows(self.stage, incident, self.room.keymap)
