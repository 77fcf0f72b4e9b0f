"""Readiness: for every target, whether the way back is open, where it leads, what is in its way, how long it took before, and how long
ago it was practised."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from quarterdeck.config.model import Fleet
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.cli.times import age, ago, duration
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad

OLD = 30 * 86400.0  # seconds: then a drill is old where nothing is said about it
DRILL = 5  # columns
WIDE = 110  # columns from which names have all the room they want
_WORST = {"closed": 0, "degraded": 1, "ready": 2}
_ROLES = {"closed": Role.BAD, "degraded": Role.WARN, "ready": Role.OK}
_MARKS = {"closed": "x", "degraded": "~", "ready": "="}


def by_readiness(picture: Picture, find: Matcher = EVERYTHING) -> list[TargetSeen]:
    """Targets on which something runs, the least ready first; the last environment (production) before the others."""
    order = {name: -number for number, name in enumerate(picture.environments)}
    found = [seen for seen in picture.targets.values() if seen.release is not None and find.matches(_searched(seen))]
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
) -> list[Row]:
    """``old``: by environment, the seconds after which a drill is old there."""
    if not targets:
        words = "no target passes the filter" if filtered else "nothing has been released yet"
        return [(Span(f" {words}", Role.DIM),)]
    wide, short, back_wide, took_wide, title = (
        (22, 12, 14, 8, "ROLL BACK TO") if width >= WIDE else (18, 6, 6, 5, "BACK")
    )
    rows: list[Row] = [
        (
            Span(
                f"   {pad('TARGET', wide)} {pad('RUNS', short)} {pad(title, back_wide)} READY     {pad('TOOK', took_wide)} "
                f"{pad('DRILL', DRILL)} WHY NOT",
                Role.DIM,
            ),
        )
    ]
    for seen in targets:
        here = seen.target == chosen
        back, role = seen.back, _ROLES.get(seen.back.state, Role.BAD)
        took = duration(back.seconds) if back.seconds is not None else "never"
        line = f"{pad(seen.target, wide)} {pad(seen.version or '-', short)} {pad(back.version or '-', back_wide)} "
        asked = "" if back.reasons else _asked(seen, now)
        why = "; ".join(back.reasons) or asked
        drill, drill_role = _drill(seen, (old or {}).get(seen.environment, OLD), now)
        rows.append(
            (
                Span(f"{'>' if here else ' '}{_MARKS.get(back.state, 'x')} ", role),
                Span(line, Role.STRONG if here else Role.PLAIN),
                Span(f"{pad(back.state, 9)} ", role),
                Span(f"{pad(took, took_wide)} ", Role.DIM),
                Span(f"{pad(drill, DRILL)} ", drill_role),
                Span(ellipsis(why, max(width - len(line) - 15 - took_wide - DRILL, 0)), Role.DIM if asked else role),
            )
        )
    rows += [
        (),
        (Span(" TOOK: the median of real rollbacks; DRILL: age of the last good one (:drill)", Role.DIM),),
    ]
    return rows


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


class Readiness(Pane):
    name_of: ClassVar[str] = "readiness"
    filterable: ClassVar[bool] = True

    def heading(self) -> str:
        return "readiness: is the way back open"

    def build(self, size: Size) -> Sequence[Row]:
        targets = by_readiness(self.room.picture, self.matcher)
        return readiness_rows(
            targets,
            self.room.place.target,
            size.width,
            filtered=self.matcher.active,
            old=drills_old(self.room.fleet),
            now=self.room.now(),
        )

    def _names(self) -> list[str]:
        return [seen.target for seen in by_readiness(self.room.picture, self.matcher)]

    def chosen_row(self) -> int | None:
        names, chosen = self._names(), self.room.place.target
        return names.index(chosen) + 1 if chosen in names else None

    def move(self, by: int) -> None:
        names, chosen = self._names(), self.room.place.target
        if names:
            at = names.index(chosen) + by if chosen in names else 0
            self.room.choose(names[max(0, min(at, len(names) - 1))])
