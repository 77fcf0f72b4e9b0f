"""The rollback card: `R`, look, `y`. Where it leads, what differs, and whether anything stands in the way."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from quarterdeck.history.records import Rollout, RolloutKind
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.rollouts.way_back.facts import ReleaseFacts
from quarterdeck.tui.cli.times import age, duration
from quarterdeck.tui.room.boxes import Box
from quarterdeck.tui.room.cards.armed import ArmedCard
from quarterdeck.tui.room.cards.checks import Check, rollback_checks
from quarterdeck.tui.room.cards.picker import VersionPicker
from quarterdeck.tui.room.cards.reading import difference_card
from quarterdeck.tui.room.cards.words import WordsCard
from quarterdeck.tui.room.rollout_rows import one_line
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, row

if TYPE_CHECKING:
    from quarterdeck.tui.room.cards.runbook import Runbook

LEAST_RUNBOOK = 60  # columns that it needs beside the card
MOST_RUNBOOK = 90  # columns: longer lines are hard to read


class RollbackCard(ArmedCard):
    """``to``: a release's id or a version; None: the last good one. ``before``: the target as it was shown when `R` was pressed."""

    kind: ClassVar[RolloutKind] = RolloutKind.ROLLBACK
    verb: ClassVar[str] = "ROLL BACK"
    doing: ClassVar[str] = "roll back"

    def __init__(self, target: str, before: TargetSeen | None, to: str | None = None) -> None:
        super().__init__(target)
        self.before = before
        self.to = to
        self.reason = ""  # why a release that was marked bad is wanted all the same; asked for nothing else
        self._runbook: Runbook | None = None

    def wish(self) -> Callable[[Control], Rollout]:
        target, to, reason = self.target, self.to, self.reason
        return lambda control: control.arm_rollback(target, to=to, reason=reason, force=bool(reason))

    def checks(self) -> Sequence[Check]:
        plan = self.seen.plan if self.seen is not None else {}
        return rollback_checks(
            plan, self.facts, self.room.standing.operator.label, looked=self.looked, frozen=self.frozen
        )

    def more_keys(self) -> tuple[tuple[str, str], ...]:
        runbook = (("b", "runbook"),) if self.service in self.room.fleet.runbooks and not self._runbook_beside else ()
        return ("v", "other version"), ("d", "diff"), *runbook

    def refused_keys(self) -> tuple[tuple[str, str], ...]:
        aside = (("o", "go there all the same, with a reason"),) if self.way_round is not None else ()
        return (*aside, ("v", "other version"), ("r", "look again"))

    def pressed_when_refused(self, key: str) -> None:
        if key == "v":
            self._pick()
        elif key == "o" and self.way_round is not None:
            hint = f"{self.way_round.words} is set aside. Why?"
            self.room.push_screen(WordsCard(f"reason  roll back {self.target}", hint, self._aside))
        else:
            super().pressed_when_refused(key)

    def _pick(self) -> None:
        self.room.push_screen(VersionPicker(self.target, self._take, typed=False))

    def pressed_while_armed(self, key: str) -> None:
        if key == "v":
            self._pick()
        elif key == "b" and (path := self.room.fleet.runbooks.get(self.service)) is not None:
            from quarterdeck.tui.room.cards.runbook import RunbookCard

            self.room.push_screen(RunbookCard(self.service, path))
        elif key == "d":
            self.room.push_screen(
                difference_card(self.target, self.facts.difference if self.facts is not None else None, self.commits)
            )

    async def _aside(self, reason: str) -> None:
        self.reason = reason
        self.arm()

    def _take(self, version: str) -> None:
        self.to, self.reason = version, ""
        self.arm()

    # the runbook beside it

    @property
    def _runbook_beside(self) -> bool:
        return self._runbook is not None and self._runbook.display

    def place_of(self, columns: int, lines: int) -> Box:
        """With a runbook, and room for it: on the left, and the runbook on the right."""
        box = super().place_of(columns, lines)
        path = self.room.fleet.runbooks.get(self.service)
        wide = path is not None and columns - box.width - 3 >= LEAST_RUNBOOK
        if path is not None and wide and self._runbook is None and self.is_mounted:
            from quarterdeck.tui.room.cards.runbook import Runbook  # Markdown is slow to import

            self._runbook = Runbook(path)
            self.mount(self._runbook)
        if self._runbook is None:
            return box
        self._runbook.display = wide
        if not wide:
            return box
        left = max((columns - box.width - MOST_RUNBOOK) // 2, 1)
        width = min(columns - left - box.width - 2, MOST_RUNBOOK)
        self._runbook.put(Box(left + box.width + 1, box.y, width, max(box.height, min(lines - box.y - 1, 30))))
        return Box(left, box.y, box.width, box.height)

    # what is shown

    def ends(self, width: int) -> list[Row]:
        facts, seen = self.facts, self.before
        plan = self.seen.plan if self.seen is not None else {}
        hosts = plan.get("hosts") or ()
        coming = seen.moving if seen is not None and seen.moving is not None else None
        under_way = coming.to_version if coming is not None and coming.rollout.kind is RolloutKind.DEPLOY else None
        leaving = version_of(plan.get("from")) or under_way or (seen.version if seen is not None else None)
        runs = [h for h in hosts if plan.get("from") and h.get("current") == plan.get("from")]
        if facts is not None and facts.leaving is not None:
            about = f"{_digest(facts.leaving.digest)}  {_brought(facts.leaving)}"
        else:
            digest = seen.digest if seen is not None and not under_way else None
            about = _digest(digest) if digest else "?"
        if hosts:
            about += f", on {len(runs)} of {len(hosts)} hosts"
        back = (
            self.seen.to_version
            if self.seen is not None
            else (self.to or (seen.back.version if seen is not None else None))
        )
        to = (
            f"{_digest(facts.to.digest)}  {past_words(facts.to)}" if facts is not None and facts.to is not None else "?"
        )
        return [
            _line("from", leaving or "?", about, width, Role.NEW),
            _line("to", back or "?", to, width, Role.OLD),
            row(Span("how   ", Role.DIM), Span(ellipsis(self._how(), width - 6))),
        ]

    def _how(self) -> str:
        plan = self.seen.plan if self.seen is not None else {}
        if not plan:
            return (
                f"? looking at {len(self.before.hosts)} hosts" if self.before is not None and self.before.hosts else "?"
            )
        moves = [step for step in plan.get("steps") or () if step.get("action") == Action.SWITCH]
        waves = len({step.get("batch") for step in moves})
        names = " ".join(dict.fromkeys(one_line(step["host"]) for step in moves))
        order = "" if waves < 2 else f", in {waves} goes"
        took = self.facts.took if self.facts is not None else None
        time = f"; took {duration(took)} before" if took is not None else ""
        return f"{plan.get('summary') or ''}{': ' + names if names else ''}{order}{time}"


def _line(label: str, version: str, about: str, width: int, role: Role) -> Row:
    head = f"{label:<5} "
    return row(
        Span(head, Role.DIM), Span(version, role), Span(ellipsis(f" {about}", max(width - len(head) - len(version), 0)))
    )


def _digest(sha256: str) -> str:
    return f"sha256:{sha256[:8]}.."


def _brought(release: ReleaseFacts) -> str:
    """Since when it runs, and who brought it."""
    if release.since is None:
        return f"{release.row.verdict}, not proved here"
    return f"since {age(release.since)}" + (f", by {_person(release.by)}" if release.by else "")


def past_words(release: ReleaseFacts) -> str:
    """How good it was: ``last good 6d ago, ran 2d, by maya``."""
    if release.row.verdict == "bad":
        return "BAD"
    if release.row.last_good is None:
        return "never good"
    ran = f", ran {_lasted(release.ran)}" if release.ran is not None else ""
    by = f", by {_person(release.by)}" if release.by else ""
    return f"last good {age(release.row.last_good)} ago{ran}{by}"


def _lasted(seconds: float) -> str:
    """Until something else came: to the tenth of a second it would read as what a command took."""
    return duration(seconds) if seconds >= 60 else "under a minute"


def _person(label: str) -> str:
    return one_line(label).split("@", 1)[0]
