"""The card of a drill: the rollback card's look at the way back, and then that way for real, there and back again."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from quarterdeck.history.records import Rollout, RolloutKind
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.drills.asking import arm_drill
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.room.cards.checks import Check, Level, drill_checks
from quarterdeck.tui.room.cards.reading import difference_card
from quarterdeck.tui.room.cards.rollback import RollbackCard
from quarterdeck.tui.room.rollout_rows import one_line

SKIPS_HOOKS = "--skip-hooks"


class DrillCard(RollbackCard):
    """Where a rollback would run hooks, it asks first whether the rest is to be practised without them."""

    kind: ClassVar[RolloutKind] = RolloutKind.DRILL
    verb: ClassVar[str] = "DRILL"
    doing: ClassVar[str] = "practise it"
    skip_hooks = False

    def wish(self) -> Callable[[Control], Rollout]:
        target, skip_hooks = self.target, self.skip_hooks
        return lambda control: arm_drill(control, target, skip_hooks=skip_hooks)

    def checks(self) -> Sequence[Check]:
        plan = self.seen.plan if self.seen is not None else {}
        stays = version_of(plan.get("from"))
        more = [Check(Level.OK, f"then {stays} comes again, whatever happens")] if stays else []
        more += [Check(Level.WARN, "hooks are not run, here nor back")] if self.skip_hooks else []
        me = self.room.standing.operator.label
        return [*drill_checks(plan, self.facts, me, looked=self.looked), *more]

    def more_keys(self) -> tuple[tuple[str, str], ...]:
        return (("d", "diff"),)

    def pressed_while_armed(self, key: str) -> None:
        if key == "d":
            facts = self.facts
            self.room.push_screen(difference_card(self.target, facts.difference if facts is not None else None))

    @property
    def _could_skip(self) -> bool:
        return SKIPS_HOOKS in self.not_begun and not self.skip_hooks

    def refusal_words(self) -> str:
        words = one_line(self.not_begun)
        return f"{words.rpartition('; ')[0]}. Without them: o" if self._could_skip else words

    def refused_keys(self) -> tuple[tuple[str, str], ...]:
        skip = (("o", "practise all the rest"),) if self._could_skip else ()
        return (*skip, ("r", "look again"))

    def pressed_when_refused(self, key: str) -> None:
        if key == "o" and self._could_skip:
            self.skip_hooks = True
            self.arm()
        elif key in ("r", "2"):
            super().pressed_when_refused(key)
