"""The service's runbook: Markdown beside the rollback card on wide terminals, or in a card of its own. Its links lead nowhere:
it is read here, at night, by somebody who must not be led away."""

import asyncio
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Markdown

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.locations import read_text
from quarterdeck.tui.room.boxes import Box
from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.rows import EMPTY

READING = 5.0  # seconds for a file


class Runbook(VerticalScroll, can_focus=False):
    """``path`` is read when this is shown: what was edited since is there."""

    DEFAULT_CSS = """
    Runbook { position: absolute; background: $background; color: $foreground; padding: 0 1; scrollbar-size-vertical: 1; }
    Runbook Markdown { background: $background; padding: 0; margin: 0; }
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._markdown = Markdown("", open_links=False)

    def compose(self) -> ComposeResult:
        yield self._markdown

    async def on_mount(self) -> None:
        self.run_worker(self._read(), group="runbook", exit_on_error=True)

    async def _read(self) -> None:
        try:
            async with asyncio.timeout(READING):
                text = await asyncio.to_thread(read_text, self._path)
        except TimeoutError:
            text = f"{self._path} could not be read within {READING:g} s"
        await self._markdown.update(clean(text if isinstance(text, str) else str(text)))

    def put(self, box: Box) -> None:
        self.styles.offset = (box.x, box.y)
        self.styles.width, self.styles.height = box.width, box.height

    def scroll_by(self, pages: float) -> None:
        self.scroll_relative(y=int(self.size.height * pages) or 1, animate=False)


class RunbookCard(Card):
    """The runbook over the whole screen."""

    changes = False

    def __init__(self, service: str, path: Path) -> None:
        super().__init__()
        self.service = service
        self.runbook = Runbook(path)

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield self.runbook

    def sheet(self, width: int) -> Sheet:
        lines = max(self.app.size.height - 8, 1)
        foot = [EMPTY, *keys_rows(width, ("j k", "scroll"), ("esc", "back"))]
        return Sheet(f"runbook of {self.service}", [EMPTY] * lines, foot, width=max(width, 78))

    def lay_out(self) -> None:
        super().lay_out()
        columns, lines = self.app.size
        box = self.place_of(columns, lines)
        self.runbook.put(Box(box.x + 2, box.y + 1, max(box.width - 4, 1), max(box.height - 4, 1)))

    def move(self, by: int) -> None:
        self.runbook.scroll_relative(y=by, animate=False)

    def pressed(self, key: str) -> None:
        match key:
            case "escape" | "q":
                self.leave()
            case "ctrl+d" | "pagedown" | "space":
                self.runbook.scroll_by(0.5)
            case "ctrl+u" | "pageup":
                self.runbook.scroll_by(-0.5)
            case "g" | "home":
                self.runbook.scroll_home(animate=False)
            case "G" | "end":
                self.runbook.scroll_end(animate=False)
