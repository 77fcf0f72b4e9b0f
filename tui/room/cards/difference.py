"""What differs between two releases, in a card that scrolls: config, env, files, secrets by reference."""

from quarterdeck.rollouts.releases_diff import Difference, lines
from quarterdeck.tui.room.card import Card, Sheet, keys_row
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, row

_ROLES = {"=": Role.STRONG, "+": Role.OK, "-": Role.BAD}


class DifferenceCard(Card):
    """Looks only."""

    def __init__(self, target: str, difference: Difference | None) -> None:
        super().__init__()
        self.target = target
        self.rows: list[Row] = (
            [row(Span("nothing to compare with: the journal knows only one of the two", Role.WARN))]
            if difference is None
            else [
                row(Span(text.replace("\t", "    "), _ROLES.get(mark, Role.PLAIN))) for text, mark in lines(difference)
            ]
        )

    def sheet(self, width: int) -> Sheet:
        foot = [EMPTY, keys_row(("j k", "scroll"), ("esc", "back"))]
        return Sheet(f"diff  {self.target}", self.rows, foot, width=max(width, 78))

    async def pressed(self, key: str) -> None:
        page = max(self.app.size.height - 8, 1)
        match key:
            case "escape" | "q" | "d":
                self.leave()
            case "ctrl+d" | "pagedown" | "space":
                self.top += page
            case "ctrl+u" | "pageup":
                self.top = max(0, self.top - page)
            case "g" | "home":
                self.top = 0
            case "G" | "end":
                self.top = len(self.rows)
