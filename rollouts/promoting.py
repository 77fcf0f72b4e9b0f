"""What a rollout waits for by its own plan: the pause or the bake that it is in, and the pauses to come. Pure."""

from collections.abc import Iterable

from quarterdeck.history.records import Step, StepState
from quarterdeck.rollouts.plan import Action

WAITS = frozenset({Action.PAUSE, Action.BAKE, Action.ANALYSIS})


def waits_in(steps: Iterable[Step]) -> Step | None:
    """The pause or bake that has begun and not ended: what a promotion is about."""
    return next((step for step in steps if step.state is StepState.STARTED and step.action in WAITS), None)


def pauses_left(steps: Iterable[Step]) -> int:
    """How many pauses have not ended, the one that has begun among them."""
    left = (StepState.PENDING, StepState.STARTED)
    return sum(step.action == Action.PAUSE and step.state in left for step in steps)
