"""What a rollout measures, as the journal tells it. What is needed to make an analysis of it again is loaded where there is one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED, Rollout, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.plan import Action

if TYPE_CHECKING:
    from quarterdeck.rollouts.measured import MetricSeen

OVER = ENDED | {RolloutState.ABORTING, RolloutState.ROLLING_BACK}  # nothing is measured then
MOST_MEASUREMENTS = 5000  # of one rollout: more than any strategy makes in a day


def metrics_seen(journal: Journal, rollout: Rollout, steps: Sequence[Step]) -> tuple["MetricSeen", ...]:
    """Of the step that measures now, or that has failed; else of a flag's safeguards, which go on beside all others; else of the one that
    measured last. None where nothing was measured yet. Raises JournalError."""
    measuring = [step for step in steps if step.body.get("analyses") and step.state is not StepState.PENDING]
    if not measuring:
        return ()
    from quarterdeck.config.analyses import Analysis
    from quarterdeck.rollouts.measured import BEGUN, MEASURED, metrics_of

    events = [
        event
        for kind in (BEGUN, MEASURED)
        for event in journal.events(rollout=rollout.id, kind=kind, newest_first=True, limit=MOST_MEASUREMENTS)
    ]
    analyses = msgspec.convert(rollout.options["analyses"], dict[str, Analysis])
    return metrics_of(_shown(measuring), analyses, events, over=rollout.state in OVER)


def _shown(measuring: Sequence[Step]) -> Step:
    for state in (StepState.STARTED, StepState.FAILED):
        if found := [step for step in measuring if step.state is state]:
            return found[-1]
    return next((step for step in measuring if step.action == Action.FLAG), measuring[-1])
