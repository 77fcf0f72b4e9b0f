"""The deploy card: a version is chosen, its plan is shown with what it touches and in which order, `y` lets it go."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from quarterdeck.history.records import Rollout, RolloutKind
from quarterdeck.rollouts.approvals import people, wanted_of
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.plans.flags import flag_words
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.policy import WayRound, way_round
from quarterdeck.rollouts.promoting import WAITS
from quarterdeck.tui.cli.routing_words import ROUTED, step_words
from quarterdeck.tui.cli.times import duration
from quarterdeck.tui.cli.waits import notice_words, wait_words
from quarterdeck.tui.room.cards.armed import ArmedCard
from quarterdeck.tui.room.cards.checks import Check, deploy_checks
from quarterdeck.tui.room.cards.from_build import Wanted, ask_for_build, names_build
from quarterdeck.tui.room.cards.picker import VersionPicker
from quarterdeck.tui.room.cards.reading import difference_card
from quarterdeck.tui.room.cards.words import WordsCard
from quarterdeck.tui.room.rollout_rows import one_line
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, row

MOST_WAVES = 8  # lines of the plan


class DeployCard(ArmedCard):
    """``wanted`` as it was chosen or typed. What policy refuses is set aside only with a reason that is typed here."""

    kind: ClassVar[RolloutKind] = RolloutKind.DEPLOY
    verb: ClassVar[str] = "DEPLOY"
    doing: ClassVar[str] = "deploy"

    def __init__(self, target: str, before: TargetSeen | None, wanted: Wanted) -> None:
        super().__init__(target)
        self.before = before
        self.wanted = wanted
        self.reason = ""
        self.force = False
        self.override: tuple[str, ...] = ()
        self.supersede = False

    @property
    def version(self) -> str:
        return self.wanted.version

    def wish(self) -> Callable[[Control], Rollout]:
        target, wanted, reason = self.target, self.wanted, self.reason
        force, override, supersede = self.force, self.override, self.supersede
        return lambda control: control.arm_deploy(
            target,
            wanted.version,
            build=wanted.build,
            reason=reason,
            force=force,
            override=override,
            supersede=supersede,
        )

    def checks(self) -> Sequence[Check]:
        plan = self.seen.plan if self.seen is not None else {}
        aside = [*(["the mark «bad»"] if self.force else []), *(f"policy «{name}»" for name in self.override)]
        wanted = wanted_of(self.seen.rollout) if self.seen is not None else None
        return deploy_checks(
            plan,
            self.facts,
            self.room.standing.operator.label,
            aside,
            looked=self.looked,
            frozen=self.frozen,
            approvals=f"begins when {wanted.count} of {people(wanted)} agreed to it (a)" if wanted is not None else "",
        )

    # keys

    def more_keys(self) -> tuple[tuple[str, str], ...]:
        passing = (("o", "pass them, with a reason"),) if self._waits_for_others else ()
        return *passing, ("v", "other version"), ("d", "diff")

    def pressed_while_armed(self, key: str) -> None:
        if key == "v":
            self._pick()
        elif key == "o" and self._waits_for_others:
            self._set_aside(WayRound.QUEUE)
        elif key == "d":
            self.room.push_screen(
                difference_card(self.target, self.facts.difference if self.facts is not None else None, self.commits)
            )

    def _pick(self) -> None:
        self.room.push_screen(VersionPicker(self.target, self._take, typed=True))

    def _take(self, version: str) -> None:
        if names_build(version):
            # What is armed is another version: this card goes, so that no key can let that one go while the CI system is asked.
            self.leave()
            ask_for_build(self.room, self.target, version, self._of_build)
            return
        self.wanted = Wanted(version)
        self.force, self.override, self.supersede, self.reason = False, (), False, ""
        self.arm()

    def _of_build(self, wanted: Wanted) -> None:
        self.room.push_screen(DeployCard(self.target, self.before, wanted))

    @property
    def _way_round(self) -> WayRound | None:
        """How the refusal could be set aside."""
        return way_round(self.not_begun) if self.seen is not None and self.seen.cause == "policy" else None

    @property
    def _waits_for_others(self) -> bool:
        """Whether it would wait for its turn if it were let go now."""
        queue = self.facts.queue if self.facts is not None else None
        return queue is not None and not queue.has_room

    @property
    def _in_the_way(self) -> bool:
        """Whether a deploy that is under way is all that stands in the way."""
        seen = self.room.picture.targets.get(self.target)
        moving = seen.moving if seen is not None else None
        return bool(self.refused) and moving is not None and moving.rollout.kind is RolloutKind.DEPLOY

    def refusal_words(self) -> str:
        words = one_line(self.not_begun)
        if self._way_round is None:
            return words
        return f"{words.rpartition('; ')[0]}. It can be set aside, with a reason: o"  # a card has keys, not options

    def refused_keys(self) -> tuple[tuple[str, str], ...]:
        keys: list[tuple[str, str]] = []
        if self._way_round is not None:
            keys.append(("o", "set it aside, with a reason"))
        if self._in_the_way:
            keys.append(("s", "take its place"))
        return (*keys, ("v", "other version"), ("r", "look again"))

    def pressed_when_refused(self, key: str) -> None:
        if key == "o" and (way := self._way_round) is not None:
            self._set_aside(way)
        elif key == "s" and self._in_the_way:
            self.supersede = True
            self.arm()
        elif key == "v":
            self._pick()
        else:
            super().pressed_when_refused(key)

    def _set_aside(self, way: WayRound) -> None:
        async def aside(reason: str) -> None:
            self.reason = reason
            self.force = self.force or way is WayRound.FORCE
            if way.policy is not None and way.policy not in self.override:
                self.override = (*self.override, way.policy)
            self.arm()

        self.room.push_screen(
            WordsCard(f"reason  {self.target} {self.version}", f"{way.words} is set aside. Why?", aside)
        )

    # what is shown

    def ends(self, width: int) -> list[Row]:
        seen = self.seen
        plan = seen.plan if seen is not None else {}
        now = (seen.from_version if seen is not None else None) or (
            self.before.version if self.before is not None else None
        )
        digest = f" sha256:{str(plan['digest'])[:8]}.." if plan.get("digest") else " ?"
        good = f", {self.facts.to.row.verdict} here" if self.facts is not None and self.facts.to is not None else ""
        strategy = (
            f"{plan.get('strategy')}: {plan.get('summary')}"
            if plan
            else "? resolving the artifact, looking at the hosts"
        )
        took = self.facts.took if self.facts is not None else None
        time = f"; took {duration(took)} before" if took is not None and plan else ""
        rows = [
            row(Span("from  ", Role.DIM), Span(now or "nothing", Role.OLD)),
            row(
                Span("to    ", Role.DIM),
                Span(one_line(self.version), Role.NEW),
                Span(
                    ellipsis(
                        f"{digest}{f', build {self.wanted.number}' if self.wanted.number else ''}{good}", width - 20
                    )
                ),
            ),
            row(Span("how   ", Role.DIM), Span(ellipsis(one_line(strategy) + time, width - 6))),
        ]
        return [*rows, *wave_rows(plan.get("steps") or (), width)]


def wave_rows(steps: Sequence[dict[str, Any]], width: int) -> list[Row]:
    """The order in which hosts move: ``  1  prod-1``, one line a wave; many waves are counted."""
    waves: list[tuple[str, list[str]]] = []
    batch: object = None
    for step in steps:
        action = step.get("action")
        if action == Action.SWITCH:
            if step.get("batch") != batch:
                batch = step.get("batch")
                waves.append(("", []))
            waves[-1][1].append(one_line(step.get("host")))
        elif action == Action.SHARE and waves and waves[-1][1] and waves[-1][0] == "":
            waves[-1] = (f"{' '.join(waves[-1][1])}, then {step_words(action, step)}", [])
            batch = step.get("batch")
        elif action in ROUTED or (action == Action.RETIRE and step.get("batch") != batch):
            batch = step.get("batch")
            words = step_words(str(action), step)
            waves.append((f"{words} on each host" if action == Action.RETIRE else words, []))
        elif action in WAITS:
            batch = step.get("batch")
            waves.append((wait_words(str(action), step), []))
        elif action == Action.FLAG and not (step.get("verify") or step.get("again")):
            batch = step.get("batch")
            waves.append((f"flag {one_line(flag_words(step))}", []))
        elif action == Action.NOTIFY:
            batch = step.get("batch")
            waves.append((one_line(notice_words(step.get("notify") or {})), []))
        elif action == Action.HOOK and step.get("phase") == "steps" and step.get("batch") != batch:
            batch = step.get("batch")
            waves.append((f"run {one_line(step.get('run'))}", []))
    rows: list[Row] = []
    for number, (words, hosts) in enumerate(waves[:MOST_WAVES], 1):
        rows.append(row(Span(f"{number:>4}  ", Role.DIM), Span(ellipsis(words or " ".join(hosts), width - 6))))
    if len(waves) > MOST_WAVES:
        rows.append(row(Span(f"      and {len(waves) - MOST_WAVES} more", Role.DIM)))
    return rows
