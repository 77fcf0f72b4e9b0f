"""The last line: the keys for what can be done here, made from the registry."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.tui.room.actions import ACTIONS, Action
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.permission import Standing, refusal
from quarterdeck.tui.room.rows import Role, Row, Span

_SHOWN = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "tab": "Tab",
}


def key_text(key: str) -> str:
    """A key as it is written for people: Textual's names are long."""
    return _SHOWN.get(key, key.replace("ctrl+", "ctrl-"))


def footer_row(actions: Sequence[Action], standing: Standing, size: tuple[int, int], pane: str) -> Row:
    """What fits, the most important first; what is refused anyway is not offered."""
    spans: list[Span] = []
    left = size[0]
    wanted = sorted(
        (a for a in actions if (a.footer or (pane and a.pane == pane)) and a.keys),
        key=lambda a: (a.pane != pane, a.footer),
    )
    for action in wanted:
        if refusal(action, standing, size):
            continue
        key, text = key_text(action.keys[0]), f" {action.title} "
        if len(key) + len(text) + 1 > left:
            break
        spans += [Span(f" {key}", Role.KEY), Span(text)]
        left -= len(key) + len(text) + 1
    return tuple(spans)


class Footer(Pane, can_focus=False):
    name_of: ClassVar[str] = "footer"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        pane = self.room.focused_pane
        screen = (size.width, self.room.size.height)
        return [footer_row(ACTIONS, self.room.standing, screen, pane.name_of if pane is not None else "")]
