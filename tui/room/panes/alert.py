"""The alert band: the worst thing there is, its cause and the key for it; or what the last action came to."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.picture import Mark, Picture, TargetSeen
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, ellipsis, row

_WORST = (Mark.FAILED, Mark.DRIFT, Mark.STALE)


def worst(picture: Picture) -> TargetSeen | None:
    """What wants attention first: failed, then drift, then not reachable; the last environment (production) before others."""
    order = {name: -number for number, name in enumerate(picture.environments)}
    wrong = [seen for seen in picture.targets.values() if seen.mark in _WORST and seen.release is not None]
    return min(wrong, key=lambda seen: (_WORST.index(seen.mark), order[seen.environment], seen.service), default=None)


def alert_row(seen: TargetSeen | None, said: str, width: int) -> Row:
    if said:
        return row(Span(ellipsis(f" {said}", width), Role.WARN))
    if seen is None:
        return EMPTY
    return row(Span(ellipsis(f"!! {seen.target} {seen.version or ''}: {cause(seen)}", width), Role.ALERT))


def cause(seen: TargetSeen) -> str:
    """What is wrong with it and which key helps, in one sentence."""
    if seen.moving is not None and seen.moving.rollout.state is RolloutState.ORPHANED:
        return "its worker died. p resume, A take it back"
    if seen.last is not None and seen.last.state is RolloutState.FAILED:
        return f"{seen.last.outcome} (R roll back)"
    ill = [host.host for host in seen.hosts if host.health == "unhealthy"]
    if ill:
        return f"{len(ill)} of {len(seen.hosts)} hosts unhealthy: {' '.join(ill)} (R roll back, l logs)"
    if seen.mark is Mark.DRIFT:
        return f"drift on {' '.join(host.host for host in seen.hosts if host.drift)} (6 drift)"
    lost = [host.host for host in seen.hosts if host.error is not None]
    return f"can't be reached: {' '.join(lost)} (6 drift)" if lost else "not seen yet"


class AlertBand(Pane, can_focus=False):
    name_of: ClassVar[str] = "alert"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        seen = worst(self.room.picture)
        return [alert_row(seen, self.room.word(quiet=seen is None), size.width)]
