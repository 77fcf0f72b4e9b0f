"""The last line: the keys for what can be done here and now, made from the registry and the operator's keymap."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.history.records import ENDED
from quarterdeck.tui.room.actions import ACTIONS, BY_ID, Action, Subject
from quarterdeck.tui.room.keymap import Keymap
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.permission import Standing, refusal
from quarterdeck.tui.room.rows import Role, Row, Span, cells, fit, spread, width_of


def footer_row(
    actions: Sequence[Action], keymap: Keymap, standing: Standing, size: tuple[int, int], pane: str, *, moving: bool
) -> Row:
    """What fits, the pane's own first; what is refused anyway, or has no rollout to act on, is not offered. Help always is."""
    width = size[0]
    right = _spans(keymap, BY_ID["help"])
    spans: list[Span] = []
    left = width - width_of(right)
    wanted = sorted(
        (a for a in actions if a.pane in ("", pane) and (a.footer or a.pane) and keymap.keys(a) and a.id != "help"),
        key=lambda a: (a.pane != pane or not a.pane, a.footer),
    )
    for action in wanted:
        if refusal(action, standing, size) or (action.subject is Subject.ROLLOUT and not moving):
            continue
        item = _spans(keymap, action)
        if width_of(item) > left:
            break
        spans += item
        left -= width_of(item)
    return spread(spans, right, width) if right else fit(spans, width)


def _spans(keymap: Keymap, action: Action) -> list[Span]:
    key = keymap.shown(action)
    return [Span(f" {key}", Role.KEY), Span(f" {action.title} ")] if cells(key) else []


class Footer(Pane, can_focus=False):
    name_of: ClassVar[str] = "footer"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        pane = room.focused_pane
        chosen = room.picture.rollout(room.chosen_rollout) if room.chosen_rollout is not None else None
        if room.place.view == "rollouts":
            moving = chosen is not None and chosen.rollout.state not in ENDED
        else:
            moving = room.target is not None and room.target.moving is not None
        screen = (size.width, room.size.height)
        name = pane.name_of if pane is not None else ""
        return [footer_row(ACTIONS, room.keymap, room.standing, screen, name, moving=moving)]
