"""What a rollout waits for by its own plan: the pause, the bake or the approval that it is in, and the pauses to come. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from quarterdeck.history.records import Request, Rollout, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.actions import Action

HELD: Final = "paused by"  # the sentence of a rollout that an operator holds begins so
WAITS = frozenset({Action.PAUSE, Action.BAKE, Action.ANALYSIS, Action.APPROVAL})
ALONE = WAITS | {Action.HOOK, Action.FLAG, Action.SHARE, Action.ROUTE}  # skipped, they leave no host behind


def where_words(body: Mapping[str, Any]) -> str:
    """Where a waiting step stands: ``25 % (1 of 4 hosts)``, ``5 % of flag checkout``."""
    percent = float(body.get("weight") or 0)
    if body.get("flag"):
        return f"{percent:g} % of flag {body['flag']}"
    return f"{percent:g} % ({body.get('hosts')} of {body.get('of')} hosts)"


def held_words(request: Request) -> str:
    """``paused by lena@bastion, because: INC-77``: the sentence of a rollout that was held by that wish."""
    because = request.arguments.get("reason")
    return f"{HELD} {request.by}{f', because: {because}' if because else ''}"


def is_held(rollout: Rollout) -> bool:
    """Whether an operator holds it, by its own sentence: it goes on when somebody resumes it, whatever step it is in."""
    return rollout.state is RolloutState.PAUSED and rollout.outcome.startswith(HELD)


def waits_in(steps: Iterable[Step]) -> Step | None:
    """The step of those kinds that has begun and not ended: what a promotion is about, unless people must agree there."""
    return next((step for step in steps if step.state is StepState.STARTED and step.action in WAITS), None)


def asks_people(steps: Iterable[Step]) -> Step | None:
    """The approval that has begun and not ended: only those who may agree end it."""
    waits = waits_in(steps)
    return waits if waits is not None and waits.action == Action.APPROVAL else None


def stands_at(steps: Iterable[Step]) -> Step | None:
    """The first step that failed and was not passed over: what a rollout that asks is asking about."""
    return next((s for s in steps if s.state is StepState.FAILED and s.action != Action.FINISH), None)


def pauses_left(steps: Iterable[Step]) -> int:
    """How many pauses have not ended, the one that has begun among them."""
    left = (StepState.PENDING, StepState.STARTED)
    return sum(step.action == Action.PAUSE and step.state in left for step in steps)
