"""One metric from its first measurement to its verdict: how measurements add up, and when the next one is due. Nothing here measures or
waits: a state and a measurement give the next state, so that whoever has the stored measurements has the state."""

import math
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from quarterdeck.config.analyses import Metric

_SLACK: Final = 0.05  # of an interval: a measurement that began so much early was the one that was due


class Verdict(StrEnum):
    SUCCESSFUL = "successful"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAILED = "failed"


_WORST_LAST: Final = tuple(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """successful < inconclusive < error < failed; successful of none."""
    return max(verdicts, key=_WORST_LAST.index, default=Verdict.SUCCESSFUL)


class Judgement(msgspec.Struct, frozen=True):
    """Of one measurement. ``verdict`` is None where a comparison can't tell yet. ``final``: no further measurement changes it.

    ERROR is no measurement: the source could not measure.
    """

    verdict: Verdict | None
    why: str
    final: bool = False


class MetricState(msgspec.Struct, frozen=True):
    """``began``: seconds, when the analysis began; ``last``: when the last measurement or error began, on the same clock."""

    began: float
    last: float | None = None
    measured: int = 0  # without errors
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    errors: int = 0
    consecutive_errors: int = 0
    verdict: Verdict | None = None  # None: it goes on, or was ended by another metric
    why: str = ""  # of the verdict, else of the last measurement


def is_last(metric: Metric, state: MetricState) -> bool:
    """Whether the next measurement is the last one that is made."""
    return metric.count is not None and state.measured + 1 >= metric.count


def added(metric: Metric, state: MetricState, at: float, judgement: Judgement) -> MetricState:
    """After a measurement that began ``at``. A metric that has its verdict keeps it."""
    if state.verdict is not None:
        return state
    verdict = judgement.verdict
    error = verdict is Verdict.ERROR
    state = msgspec.structs.replace(
        state,
        last=at,
        measured=state.measured + (not error),
        successful=state.successful + (verdict is Verdict.SUCCESSFUL),
        failed=state.failed + (verdict is Verdict.FAILED),
        inconclusive=state.inconclusive + (verdict is Verdict.INCONCLUSIVE),
        errors=state.errors + error,
        consecutive_errors=state.consecutive_errors + 1 if error else 0,
        why=judgement.why,
    )
    return msgspec.structs.replace(state, **_ended(metric, state, judgement))


def begun(state: MetricState, at: float) -> MetricState:
    """After a look ``at`` that counts for nothing but where the next measurement begins."""
    return msgspec.structs.replace(state, last=at, consecutive_errors=0, why="counted from now on")


def concluded(state: MetricState, judgement: Judgement | None) -> MetricState:
    """When the time is over, before ``count`` or without one. ``judgement``: that of a comparison by then.

    What has borne its failures until now is successful; what was never measured is not.
    """
    if state.verdict is not None:
        return state
    if judgement is not None and judgement.verdict is not None and state.measured:
        return msgspec.structs.replace(state, verdict=judgement.verdict, why=judgement.why)
    if state.measured:
        verdict = Verdict.SUCCESSFUL if judgement is None else Verdict.INCONCLUSIVE
        return msgspec.structs.replace(state, verdict=verdict)
    if state.errors:
        return msgspec.structs.replace(state, verdict=Verdict.ERROR)
    return msgspec.structs.replace(state, verdict=Verdict.INCONCLUSIVE, why="nothing was measured in the time")


def due(metric: Metric, state: MetricState) -> float | None:
    """When the next measurement begins, on the clock of ``began``; None: there is none. It may be in the past: then at once.

    Measurements keep to the steps of the interval, wherever the first one was due: one that comes late, or a worker that was away, moves
    none of the later ones. What was missed meanwhile is not made up for.
    """
    if state.verdict is not None:
        return None
    first = state.began + metric.initial_delay
    if state.last is None:
        return first
    steps = math.floor((state.last - first) / metric.interval + _SLACK) + 1
    return first + max(1, steps) * metric.interval


def _ended(metric: Metric, state: MetricState, judgement: Judgement) -> dict[str, object]:
    if judgement.final and judgement.verdict is not None:
        return {"verdict": judgement.verdict}
    if state.failed > metric.failure_limit:
        borne = f" ({state.failed} failed, {metric.failure_limit} are borne)" if metric.failure_limit else ""
        return {"verdict": Verdict.FAILED, "why": f"{judgement.why}{borne}"}
    if state.inconclusive > metric.inconclusive_limit:
        limit = metric.inconclusive_limit
        borne = f" ({state.inconclusive} inconclusive, {limit} are borne)" if limit else ""
        return {"verdict": Verdict.INCONCLUSIVE, "why": f"{judgement.why}{borne}"}
    if state.consecutive_errors > metric.consecutive_error_limit:
        return {"verdict": Verdict.ERROR, "why": f"{judgement.why} ({state.consecutive_errors} errors in a row)"}
    if metric.count is not None and state.measured >= metric.count:
        # A comparison that is made says so itself; one that has not is not one that passed.
        verdict = Verdict.INCONCLUSIVE if judgement.verdict is None else Verdict.SUCCESSFUL
        return {"verdict": verdict}
    return {}
