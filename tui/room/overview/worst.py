"""The worst thing there is: which target, its cause and the key for it, in one line. Pure."""

from typing import Final

from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.picture import Mark, Picture, TargetSeen
from quarterdeck.tui.room.overview.cells import ill, in_trouble
from quarterdeck.tui.room.rows import Role, Row, Span, cells, ellipsis

_WORST: Final = (Mark.FAILED, Mark.DRIFT, Mark.STALE)


def worst(picture: Picture) -> tuple[TargetSeen | None, int]:
    """What wants attention first, and how many others do: failed, then drift, then not reachable; production before others."""
    order = {name: -number for number, name in enumerate(picture.environments)}

    def rank(seen: TargetSeen) -> tuple[int, int, str]:
        kind = 0 if in_trouble(seen) else _WORST.index(seen.mark)
        return kind, order.get(seen.environment, 1), seen.service

    wrong = [
        seen
        for seen in picture.targets.values()
        if in_trouble(seen) or (seen.mark in _WORST and seen.release is not None)
    ]
    return min(wrong, key=rank, default=None), max(len(wrong) - 1, 0)


def alert_row(seen: TargetSeen | None, more: int, production: str, width: int) -> Row:
    """Nothing where nothing is wrong."""
    if seen is None:
        return ()
    where = seen.environment.upper() if seen.environment == production else seen.environment
    if width < 100 and where == "PRODUCTION":
        where = "PROD"  # as in the matrix: what is wrong is worth the room
    version = seen.moving.to_version if seen.moving is not None else seen.version
    text, keys = cause(seen)
    tail = f"  {keys} " + (f"(+{more} more) " if more else "")
    head = f"!! {where} {seen.service} {version or ''}: "
    room = width - cells(tail)
    return (
        Span(ellipsis(head + text, max(room, 0)).ljust(max(room, 0)), Role.ALERT),
        Span(tail[: max(width, 0)], Role.ALERT),
    )


def cause(seen: TargetSeen) -> tuple[str, str]:
    """What is wrong with it, and which keys help."""
    if seen.moving is not None and seen.moving.rollout.state is RolloutState.ORPHANED:
        return f"rollout {seen.moving.id}: its worker died", "p resume  A take it back"
    bad = ill(seen)
    if bad and seen.moving is not None:
        return f"{_hosts(seen, bad)}, rollout {seen.moving.id}", "R back  P hold"
    if seen.moving is None and seen.last is not None and seen.last.state is RolloutState.FAILED:
        return f"rollout {seen.last.id} failed: {seen.last.outcome}", "R roll back"
    if bad:
        return _hosts(seen, bad), "R roll back  l logs"
    if seen.mark is Mark.DRIFT:
        return f"drift on {' '.join(host.host for host in seen.hosts if host.drift)}", "6 drift"
    lost = [host.host for host in seen.hosts if host.error is not None]
    return (f"can't be reached: {' '.join(lost)}" if lost else "not seen yet"), "r look again"


def _hosts(seen: TargetSeen, bad: list[str]) -> str:
    return f"{len(bad)} of {len(seen.hosts)} hosts unhealthy: {' '.join(bad)}"
