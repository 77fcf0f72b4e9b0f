"""Readiness: for every target, whether the way back is open, where it leads, what is in its way, how long it took before."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.rollouts.picture import Picture
from quarterdeck.rollouts.target_seen import TargetSeen
from quarterdeck.tui.cli.times import duration
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad

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
    targets: Sequence[TargetSeen], chosen: str | None, width: int, *, filtered: bool = False
) -> list[Row]:
    if not targets:
        words = "no target passes the filter" if filtered else "nothing has been released yet"
        return [(Span(f" {words}", Role.DIM),)]
    wide, short, back_wide, took_wide, title = (
        (22, 12, 14, 8, "ROLL BACK TO") if width >= WIDE else (18, 6, 6, 5, "BACK")
    )
    rows: list[Row] = [
        (
            Span(
                f"   {pad('TARGET', wide)} {pad('RUNS', short)} {pad(title, back_wide)} READY     {pad('TOOK', took_wide)} WHY NOT",
                Role.DIM,
            ),
        )
    ]
    for seen in targets:
        here = seen.target == chosen
        back, role = seen.back, _ROLES.get(seen.back.state, Role.BAD)
        took = duration(back.seconds) if back.seconds is not None else "never"
        line = f"{pad(seen.target, wide)} {pad(seen.version or '-', short)} {pad(back.version or '-', back_wide)} "
        why = "; ".join(back.reasons)
        rows.append(
            (
                Span(f"{'>' if here else ' '}{_MARKS.get(back.state, 'x')} ", role),
                Span(line, Role.STRONG if here else Role.PLAIN),
                Span(f"{pad(back.state, 9)} ", role),
                Span(f"{pad(took, took_wide)} ", Role.DIM),
                Span(ellipsis(why, max(width - len(line) - 14 - took_wide, 0)), role),
            )
        )
    rows += [(), (Span(" drills: there is no `qd drill` yet; TOOK is the median of real rollbacks", Role.DIM),)]
    return rows


class Readiness(Pane):
    name_of: ClassVar[str] = "readiness"
    filterable: ClassVar[bool] = True

    def heading(self) -> str:
        return "readiness: is the way back open"

    def build(self, size: Size) -> Sequence[Row]:
        targets = by_readiness(self.room.picture, self.matcher)
        return readiness_rows(targets, self.room.place.target, size.width, filtered=self.matcher.active)

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
