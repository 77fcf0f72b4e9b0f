"""The worst thing there is: which target, its cause and the key for it, in one line. Pure.

Keys act on the chosen target: those that help are named where it is the one that is wrong, else the one that chooses it.
"""

from collections.abc import Callable
from typing import Final

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import Mark, TargetSeen
from quarterdeck.rollouts.promoting import asks_people, is_held, stands_at, waits_in
from quarterdeck.rollouts.queueing import waits_for_turn
from quarterdeck.rollouts.way_back.watch import in_the_way, unready
from quarterdeck.tui.room.overview.cells import ill, ill_words, in_trouble, stands_still
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


def least_ready(picture: Picture) -> tuple[TargetSeen | None, int]:
    """The target whose way back has closed, and how many more there are: production before others. What ``worst`` finds is not among them:
    it says so itself."""
    order = {name: -number for number, name in enumerate(picture.environments)}
    shut = [seen for seen in unready(picture.targets.values()) if seen.mark is Mark.OK]
    first = min(shut, key=lambda seen: (order.get(seen.environment, 1), seen.service), default=None)
    return first, max(len(shut) - 1, 0)


def waits_for_words(seen: RolloutSeen) -> bool:
    """Whether it waits for people to agree to it, or at a step of it."""
    if seen.rollout.state is RolloutState.PAUSED:
        return asks_people(seen.steps) is not None
    waits = seen.rollout.state is RolloutState.QUEUED and bool(seen.rollout.options.get("approvals"))
    return waits and not waits_for_turn(seen.rollout)


def waits_to_go_on(seen: RolloutSeen) -> bool:
    """Whether it stands at a step of its own plan until somebody promotes it, or is held by an operator: nothing has failed."""
    return (
        seen.rollout.state is RolloutState.PAUSED and asks_people(seen.steps) is None and stands_at(seen.steps) is None
    )


def words_wanted(picture: Picture, target: str | None = None, rollout: int | None = None) -> RolloutSeen | None:
    """The rollout whose plan one agrees to: the one that is named, else the target's, else the one that has waited longest."""
    waiting = [seen for seen in picture.moving if waits_for_words(seen)]  # the newest first
    named = [seen for seen in waiting if seen.id == rollout] or [
        seen for seen in waiting if seen.rollout.target == target
    ]
    return next(iter([*named, *reversed(waiting)]), None)


def waiting(picture: Picture) -> tuple[RolloutSeen | None, int]:
    """What has waited longest for somebody, and how many others do."""
    there = [seen for seen in picture.moving if waits_for_words(seen) or waits_to_go_on(seen)]
    return (there[-1] if there else None), max(len(there) - 1, 0)


Ways = tuple[tuple[str, str], ...]
"""What helps: the id of an action, and what it would do."""


def waiting_ways(seen: RolloutSeen) -> Ways:
    """What lets it go on."""
    if waits_for_words(seen):
        return (("approve", "approve"),)
    own = waits_in(seen.steps) is not None and not is_held(seen.rollout)
    return (("promote", "promote" if own else "resume"),)


def waiting_row(seen: RolloutSeen, more: int, production: str, width: int, keys: str) -> Row:
    """``? PRODUCTION api v143 waits for 1 approval by @leads …   a approve``."""
    environment, _, service = seen.rollout.target.partition("/")
    where = environment.upper() if environment == production else environment
    tail = f"  {keys} " + (f"(+{more} more) " if more else "")
    head = f"? {where} {service} {seen.to_version or ''} {' '.join(clean(seen.rollout.outcome).split())}"
    room = max(width - cells(tail), 0)
    return Span(ellipsis(head, room).ljust(room), Role.WARN), Span(tail[:width], Role.KEY)


TO_IT: Final[Ways] = (("worst", "choose it"),)
WHY_UNREADY: Final[Ways] = (("view-7", "why"),)


def unready_row(seen: TargetSeen, more: int, production: str, width: int, keys: str) -> Row:
    """``~ PRODUCTION api v143 way back to v142 not whole: web-2: no copy of v142   7 why``."""
    where = seen.environment.upper() if seen.environment == production else seen.environment
    tail = f"  {keys} " + (f"(+{more} more) " if more else "")
    why = "; ".join(clean(reason) for reason in in_the_way(seen) or ())
    head = f"~ {where} {seen.service} {seen.version or ''} way back to {seen.back.version} not whole: {why}"
    room = max(width - cells(tail), 0)
    return Span(ellipsis(head, room).ljust(room), Role.WARN), Span(tail[:width], Role.KEY)


def alert_row(seen: TargetSeen | None, more: int, production: str, width: int, keys: str = "") -> Row:
    """Nothing where nothing is wrong. ``keys``: those that help, from ``hints``; none before there are keys."""
    if seen is None:
        return ()
    where = seen.environment.upper() if seen.environment == production else seen.environment
    if width < 100 and where == "PRODUCTION":
        where = "PROD"  # as in the matrix: what is wrong is worth the room
    version = seen.moving.to_version if seen.moving is not None else seen.version
    tail = f"  {keys} " + (f"(+{more} more) " if more else "")
    head = f"!! {where} {seen.service} {version or ''}: "
    room = width - cells(tail)
    return (
        Span(ellipsis(head + cause(seen)[0], max(room, 0)).ljust(max(room, 0)), Role.ALERT),
        Span(tail[: max(width, 0)], Role.ALERT),
    )


def hints(ways: Ways, key_of: Callable[[str], str]) -> str:
    """``R roll back  l logs``, with the operator's own keys."""
    return "  ".join(f"{key} {words}" for id, words in ways if (key := key_of(id)))


def cause(seen: TargetSeen) -> tuple[str, Ways]:
    """What is wrong with it, and what helps."""
    back = seen.back.release is not None
    if seen.moving is not None and seen.moving.rollout.state is RolloutState.ORPHANED:
        return f"rollout {seen.moving.id}: its worker died", (("promote", "resume"), ("abort", "take it back"))
    if seen.moving is not None and stands_still(seen.moving):
        words = " ".join(clean(seen.moving.rollout.outcome).split())
        return f"rollout {seen.moving.id} stands still: {words}", (("abort", "take it back"), ("promote", "go on"))
    bad = ill(seen)
    if bad and seen.moving is not None:
        away = ("rollback", "back") if back else ("abort", "take it back")
        return f"{ill_words(seen, bad)}, rollout {seen.moving.id}", (away, ("pause", "hold"))
    if seen.moving is None and seen.last is not None and seen.last.state is RolloutState.FAILED:
        return f"rollout {seen.last.id} failed: {seen.last.outcome}", _roll_back(back)
    if bad:
        return ill_words(seen, bad), (*_roll_back(back), ("logs", "logs"))
    if seen.mark is Mark.DRIFT:
        return _drift(seen), (("view-6", "drift"),)
    lost = [host.host for host in seen.hosts if host.error is not None]
    return (f"can't be reached: {' '.join(lost)}" if lost else "not seen yet"), (("refresh", "look again"),)


def _drift(seen: TargetSeen) -> str:
    if seen.router is not None and seen.router.changed:
        return f"drift: {seen.router.name}: {'; '.join(seen.router.changed)}"
    if seen.on_swarm and (words := [f"{host.host}: {host.changed[0]}" for host in seen.hosts if host.changed]):
        return f"drift: {'; '.join(words)}"
    return f"drift on {' '.join(host.host for host in seen.hosts if host.drift)}"


def _roll_back(back: bool) -> Ways:
    return (("rollback", "roll back"),) if back else ()
