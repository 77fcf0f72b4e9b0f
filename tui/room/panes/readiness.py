"""Readiness: for every target, whether the way back is open, where it leads, what is in its way, how long it took before, and how long
ago it was practised."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, NamedTuple

from quarterdeck.config.model import Fleet
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.cli.times import age, ago, duration
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.once import Once
from quarterdeck.tui.room.rows import Joined, Lazily, Role, Row, Span, ellipsis, pad

OLD = 30 * 86400.0  # seconds: then a drill is old where nothing is said about it
DRILL = 5  # columns
WIDE = 110  # columns from which names have all the room they want
_WORST = {"closed": 0, "degraded": 1, "ready": 2}
_ROLES = {"closed": Role.BAD, "degraded": Role.WARN, "ready": Role.OK}
_MARKS = {"closed": "x", "degraded": "~", "ready": "="}


def by_readiness(picture: Picture, find: Matcher = EVERYTHING) -> list[TargetSeen]:
    """Targets on which something runs, the least ready first; the last environment (production) before the others."""
    order = {name: -number for number, name in enumerate(picture.environments)}
    found = [
        seen
        for seen in picture.targets.values()
        if seen.release is not None and (not find.active or find.matches(_searched(seen)))
    ]
    return sorted(
        found, key=lambda seen: (_WORST.get(seen.back.state, 0), order.get(seen.environment, 0), seen.service)
    )


def _searched(seen: TargetSeen) -> str:
    """All that a filter looks at: what the row says."""
    return f"{seen.target} {seen.version} {seen.back.version} {seen.back.state} {'; '.join(seen.back.reasons)}"


def readiness_rows(
    targets: Sequence[TargetSeen],
    chosen: str | None,
    width: int,
    *,
    filtered: bool = False,
    old: Mapping[str, float] | None = None,
    now: datetime | None = None,
) -> Sequence[Row]:
    """``old``: by environment, the seconds after which a drill is old there."""
    if not targets:
        words = "no target passes the filter" if filtered else "nothing has been released yet"
        return [(Span(f" {words}", Role.DIM),)]
    wide, short, back_wide, took_wide, title = (
        (22, 12, 14, 8, "ROLL BACK TO") if width >= WIDE else (18, 6, 6, 5, "BACK")
    )
    head: list[Row] = [
        (
            Span(
                f"   {pad('TARGET', wide)} {pad('RUNS', short)} {pad(title, back_wide)} READY     {pad('TOOK', took_wide)} "
                f"{pad('DRILL', DRILL)} WHY NOT",
                Role.DIM,
            ),
        )
    ]

    def made(at: int) -> Row:
        seen = targets[at]
        here = seen.target == chosen
        back, role = seen.back, _ROLES.get(seen.back.state, Role.BAD)
        took = duration(back.seconds) if back.seconds is not None else "never"
        line = f"{pad(seen.target, wide)} {pad(seen.version or '-', short)} {pad(back.version or '-', back_wide)} "
        asked = "" if back.reasons else _asked(seen, now)
        why = "; ".join(back.reasons) or asked
        drill, drill_role = _drill(seen, (old or {}).get(seen.environment, OLD), now)
        return (
            Span(f"{'>' if here else ' '}{_MARKS.get(back.state, 'x')} ", role),
            Span(line, Role.STRONG if here else Role.PLAIN),
            Span(f"{pad(back.state, 9)} ", role),
            Span(f"{pad(took, took_wide)} ", Role.DIM),
            Span(f"{pad(drill, DRILL)} ", drill_role),
            Span(ellipsis(why, max(width - len(line) - 15 - took_wide - DRILL, 0)), Role.DIM if asked else role),
        )

    foot: list[Row] = [
        (),
        (Span(" TOOK: the median of real rollbacks; DRILL: age of the last good one (:drill)", Role.DIM),),
    ]
    return Joined(head, Lazily(len(targets), made), foot)


def _asked(seen: TargetSeen, now: datetime | None) -> str:
    """How old the registry's word is by which a Swarm counts as ready: it is not asked at each look."""
    return f"registry asked {ago(seen.back.asked, now)}" if seen.back.asked is not None else ""


def _drill(seen: TargetSeen, old: float, now: datetime | None) -> tuple[str, Role]:
    """How long ago, and whether that is too long. In the words for a time that never came: none could be had, or nobody tried."""
    if seen.drill is None:
        return ("never", Role.WARN) if seen.back.release is not None else ("-", Role.DIM)
    at = now or datetime.now(UTC)
    seconds = (at - datetime.fromisoformat(seen.drill.ended)).total_seconds()
    return age(seen.drill.ended, at), Role.WARN if seconds > old else Role.DIM


def drills_old(fleet: Fleet) -> Mapping[str, float]:
    """By environment: as its rule says, or half as long again as the fleet file has them practised."""
    return {
        name: one.require.max_drill_age or (one.drills.every * 1.5 if one.drills.every else OLD)
        for name, one in fleet.environments.items()
    }


class _Listed(NamedTuple):
    """The targets in their order, and where in it each one is."""

    targets: list[TargetSeen]
    places: Mapping[str, int]


def _ordered(picture: Picture, find: Matcher) -> _Listed:
    targets = by_readiness(picture, find)
    return _Listed(targets, {seen.target: at for at, seen in enumerate(targets)})


class Readiness(Pane):
    name_of: ClassVar[str] = "readiness"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._once = Once(_ordered)

    def heading(self) -> str:
        return "readiness: is the way back open"

    def build(self, size: Size) -> Sequence[Row]:
        return readiness_rows(
            self._listed().targets,
            self.room.place.target,
            size.width,
            filtered=self.matcher.active,
            old=drills_old(self.room.fleet),
            now=self.room.now(),
        )

    def _listed(self) -> _Listed:
        return self._once.of(self.room.picture, self.matcher)

    def chosen_row(self) -> int | None:
        at = self._listed().places.get(self.room.place.target or "")
        return None if at is None else at + 1

    def move(self, by: int) -> None:
        targets = self._listed().targets
        if targets:
            at = self._listed().places.get(self.room.place.target or "")
            at = 0 if at is None else at + by
            self.room.choose(targets[max(0, min(at, len(targets) - 1))].target)
