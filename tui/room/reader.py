"""A page over the whole screen to read and scroll: help, a runbook. It changes nothing and any of the usual keys leaves it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Row

RowsFor = Callable[[int], Sequence[Row]]
"""From the width to all rows of the page."""


class Page(Pane, can_focus=False):
    """The text that a reader shows."""

    DEFAULT_CSS = "Page { position: relative; width: 100%; height: 100%; }"
    name_of: ClassVar[str] = "page"

    def __init__(self, heading: str, rows: RowsFor) -> None:
        super().__init__()
        self._heading, self._rows_for = heading, rows
        self._made: tuple[int, Sequence[Row]] = (0, ())

    def heading(self) -> str:
        return self._heading

    def heading_right(self) -> str:
        self.build(self.size)  # the title is made before the text
        below = max(len(self._made[1]) - self.top - self.page, 0)
        return f"{below} lines below, j k scroll, esc leaves" if below else "esc leaves"

    def build(self, size: Size) -> Sequence[Row]:
        if self._made[0] != size.width:
            self._made = (size.width, self._rows_for(size.width))
        return self._made[1]


class Reader(ModalScreen[None], inherit_bindings=False):
    """``room.push_screen(Reader("help", rows))``."""

    DEFAULT_CSS = "Reader { background: $background; layers: base over; }"

    def __init__(self, heading: str, rows: RowsFor) -> None:
        super().__init__()
        self.page = Page(heading, rows)

    def compose(self) -> ComposeResult:
        yield self.page

    def on_key(self, event: events.Key) -> None:
        event.stop()
        page = self.page
        match event.key:
            case "escape" | "q" | "question_mark" | "enter":
                self.dismiss()
            case "j" | "down":
                page.move(1)
            case "k" | "up":
                page.move(-1)
            case "space" | "pagedown" | "ctrl+f":
                page.move(page.page)
            case "b" | "pageup" | "ctrl+b":
                page.move(-page.page)
            case "ctrl+d":
                page.move(page.page // 2)
            case "ctrl+u":
                page.move(-(page.page // 2))
            case "g" | "home":
                page.move_to_end(False)
            case "G" | "end":
                page.move_to_end(True)
            case _:
                pass
