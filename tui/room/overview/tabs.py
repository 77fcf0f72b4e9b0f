"""The second line: the views with their numbers and what waits in each, and the filter. Pure."""

from collections.abc import Mapping

from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.target import Mark, TargetSeen
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, fit, row, spread, width_of
from quarterdeck.tui.room.views import VIEWS


def counts(picture: Picture) -> Mapping[str, int]:
    """By view: how many things in it want attention."""
    return {
        "rollouts": len(picture.moving),
        "drift": sum(seen.mark is Mark.DRIFT or by_hand(seen) for seen in picture.targets.values()),
        "readiness": sum(
            seen.back.release is not None and seen.back.state != "ready" for seen in picture.targets.values()
        ),
    }


def by_hand(seen: TargetSeen) -> bool:
    """Whether somebody changed its router: also while a rollout waits, when the target's mark is that of the rollout."""
    return seen.router is not None and bool(seen.router.changed)


def tabs_row(current: str, waiting: Mapping[str, int], width: int, filter: str = "") -> Row:
    """Where there is no room for all titles, those that are not open are cut, and their numbers stay."""
    right = row(Span(f" filter: {ellipsis(filter, width // 4)} ", Role.WARN)) if filter else ()
    for longest in (99, 7, 4, 0):
        spans = []
        for view in VIEWS.values():
            count = f"({waiting[view.name]})" if waiting.get(view.name) else ""
            here = view.name == current
            text = f"{view.number} {view.title if here else view.title[:longest]}".rstrip() + count
            apart = " " if longest else ""
            spans.append(Span(f"[{text}]", Role.STRONG) if here else Span(f" {text}{apart}", Role.DIM))
        if width_of(spans) + width_of(right) <= width:
            break
    return spread(spans, right, width) if right else fit(spans, width)
