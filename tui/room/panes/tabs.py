"""The second line: the views with their numbers and what waits in each, and the filter."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from quarterdeck.rollouts.picture import Mark, Picture
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, fit, row, spread
from quarterdeck.tui.room.views import VIEWS


def counts(picture: Picture) -> Mapping[str, int]:
    """By view: how many things in it want attention."""
    return {
        "rollouts": len(picture.moving),
        "drift": sum(seen.mark is Mark.DRIFT for seen in picture.targets.values()),
    }


def tabs_row(current: str, waiting: Mapping[str, int], width: int, filter: str = "") -> Row:
    spans = []
    for view in VIEWS.values():
        count = f"({waiting[view.name]})" if waiting.get(view.name) else ""
        text = f"{view.number} {view.title}{count}"
        spans.append(Span(f"[{text}]", Role.STRONG) if view.name == current else Span(f" {text} ", Role.DIM))
    return (
        spread(spans, row(Span(f" filter: {ellipsis(filter, width // 3)} ", Role.WARN)), width)
        if filter
        else fit(spans, width)
    )


class Tabs(Pane, can_focus=False):
    name_of: ClassVar[str] = "tabs"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        return [tabs_row(self.room.place.view, counts(self.room.picture), size.width, self._filter())]

    def _filter(self) -> str:
        """Of the pane that has the keys."""
        pane = self.room.focused_pane
        return pane.matcher.words if pane is not None else ""
