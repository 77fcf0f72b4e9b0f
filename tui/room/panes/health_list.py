"""Health of all targets, the riskiest first. The chosen target follows the cursor."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final, NamedTuple

from quarterdeck.rollouts.health import Probes
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.target import Mark, TargetSeen
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.figures import NOTHING, milliseconds, percent
from quarterdeck.tui.room.matching import Matcher
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.once import Once
from quarterdeck.tui.room.rows import Joined, Lazily, Role, Row, Span, pad, row

RISK: Final = (Mark.FAILED, Mark.ROLLING, Mark.DRIFT, Mark.STALE, Mark.FROZEN, Mark.OK, Mark.NOTHING)
WITH_AGE: Final = 60  # columns from which the age has its own; a host that is lost shows in its mark all the same
WORDS: Final = {"healthy": Role.OK, "degraded": Role.WARN, "down": Role.BAD}


def by_risk(picture: Picture) -> list[TargetSeen]:
    """What is wrong first; the last environment (production) before the others, then by name."""
    order = {name: -number for number, name in enumerate(picture.environments)}
    risk = {mark: number for number, mark in enumerate(RISK)}
    return sorted(
        picture.targets.values(),
        key=lambda seen: (risk[seen.mark], order.get(seen.environment, 0), seen.service),
    )


def list_rows(
    targets: Sequence[TargetSeen], probes: Mapping[str, Probes], chosen: str | None, now: datetime, width: int
) -> Sequence[Row]:
    """The head row, and one row a target."""
    with_age = width >= WITH_AGE
    names = min(
        max([len("TARGET"), *(len(seen.target) for seen in targets)]), max(width - (39 if with_age else 33), 10)
    )
    head = f"   {pad('TARGET', names)} {pad('HEALTH', 9)} {'HOSTS':>6} {'FAIL':>5} {'P95':>6}"
    first = row(Span(head + ("  SEEN" if with_age else ""), Role.DIM))

    def made(at: int) -> Row:
        seen = targets[at]
        return _row(seen, probes.get(seen.target), names, now if with_age else None, here=seen.target == chosen)

    return Joined([first], Lazily(len(targets), made))


def _row(seen: TargetSeen, found: Probes | None, names: int, now: datetime | None, *, here: bool) -> Row:
    healthy, total = seen.counted if seen.on_swarm else (seen.healthy, len(seen.hosts))
    word = "-" if seen.mark is Mark.NOTHING else seen.health
    failing = percent(found.error_rate) if found is not None else NOTHING
    latency = milliseconds(found.p95) if found is not None else NOTHING
    return row(
        Span(">" if here else " ", Role.STRONG),
        Span(f"{seen.mark} ", WORDS.get(seen.health, Role.STALE) if seen.mark is not Mark.NOTHING else Role.DIM),
        Span(pad(seen.target, names), Role.CURSOR if here else Role.PLAIN),
        Span(f" {pad(word, 9)}", WORDS.get(word, Role.STALE if word == "unknown" else Role.DIM)),
        Span(f" {f'{healthy}/{total}':>6}"),
        Span(f" {failing:>5}", Role.BAD if found is not None and found.failed else Role.PLAIN),
        Span(f" {latency:>6}"),
        Span(
            f" {_seen(seen, now):>5}" if now is not None else "",
            Role.STALE if seen.unasked else Role.DIM,
        ),
    )


def _seen(seen: TargetSeen, now: datetime) -> str:
    """How long ago the host was seen that was seen longest ago; what is younger than a minute does not count seconds."""
    old = age(seen.oldest, now)
    return "never" if old == "-" else "<1m" if old.endswith("s") or old == "now" else old


class _Listed(NamedTuple):
    """The targets in their order, and where in it each one is."""

    targets: list[TargetSeen]
    places: Mapping[str, int]


def _ordered(picture: Picture, find: Matcher) -> _Listed:
    targets = [seen for seen in by_risk(picture) if find.matches(seen.target)]
    return _Listed(targets, {seen.target: at for at, seen in enumerate(targets)})


class HealthList(Pane):
    name_of: ClassVar[str] = "health-list"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._once = Once(_ordered)

    def heading(self) -> str:
        return "health of all targets"

    def _listed(self) -> _Listed:
        return self._once.of(self.room.picture, self.matcher)

    def build(self, size: Size) -> Sequence[Row]:
        targets = self._listed().targets
        if not targets and self.matcher.active:
            return [row(Span(" no target passes the filter", Role.DIM))]
        return list_rows(targets, self.room.measures.all, self.room.place.target, self.room.now(), size.width)

    def _at(self) -> int | None:
        return self._listed().places.get(self.room.place.target or "")

    def chosen_row(self) -> int | None:
        at = self._at()
        return None if at is None else at + 1

    def move(self, by: int) -> None:
        targets = self._listed().targets
        if targets:
            at = self._at()
            at = (0 if by > 0 else len(targets) - 1) if at is None else at + by
            self.room.choose(targets[max(0, min(at, len(targets) - 1))].target)

    def open_chosen(self) -> None:
        self.room.focus_pane(1)
