"""What a rollout measured: every metric of every step that has measured, with its samples in the order they were taken. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from quarterdeck.backends.metrics.contract import Measurement
from quarterdeck.config.analyses import Analysis, Metric
from quarterdeck.history.records import Event, Step, StepState
from quarterdeck.rollouts.analysis.samples import from_stored
from quarterdeck.rollouts.measured import BEGUN, MEASURED, MetricSeen, analysis_of, begun_of, metrics_of
from quarterdeck.rollouts.post_mortem.values import MetricEvidence, Point

MOST_POINTS: Final = 1000  # of one metric of one step, the newest


def measurements(
    steps: Sequence[Step], analyses: Mapping[str, Analysis], events: Sequence[Event]
) -> tuple[MetricEvidence, ...]:
    """``events``: of the kinds BEGUN and MEASURED, in any order; ``analyses``: those of the rollout, by name."""
    ordered = sorted(events, key=lambda event: event.seq)
    found = []
    for step in steps:
        if not step.body.get("analyses") or step.state is StepState.PENDING:
            continue
        seen = {metric.name: metric for metric in metrics_of(step, analyses, ordered)}
        points = _points(step, ordered)
        for metric in analysis_of(step, analyses).metrics:
            if (one := seen.get(metric.name)) is not None:
                found.append(_evidence(step, metric, one, points.get(metric.name, [])))
    return tuple(found)


def _evidence(step: Step, metric: Metric, seen: MetricSeen, points: list[Point]) -> MetricEvidence:
    return MetricEvidence(
        step.seq,
        metric.name,
        seen.state,
        seen.why,
        seen.measured,
        seen.count,
        seen.failed,
        seen.errors,
        metric.failure_limit,
        metric.interval,
        metric.dry_run,
        str(metric.compare) if metric.compare is not None else None,
        str(metric.success) if metric.success is not None else None,
        str(metric.failure) if metric.failure is not None else None,
        seen.canary,
        seen.baseline,
        tuple(points[-MOST_POINTS:]),
        max(0, len(points) - MOST_POINTS),
    )


def _points(step: Step, events: Sequence[Event]) -> dict[str, list[Point]]:
    """By metric, since the analysis of the step's last attempt began."""
    begun = begun_of([event for event in events if event.kind == BEGUN], step)
    found: dict[str, list[Point]] = {}
    for event in events:
        mine = event.body.get("op_id") == step.op_id and event.body.get("seq") == step.seq
        if event.kind != MEASURED or not mine:
            continue
        for body in event.body.get("samples") or ():
            sample = from_stored(body)
            if begun is None or sample.at >= begun.at:
                point = Point(event.time, _number(sample.canary), _number(sample.baseline), sample.error)
                found.setdefault(sample.metric, []).append(point)
    return found


def _number(measurement: Measurement | None) -> float | None:
    """The one number, else the mean of several, else that of the times of requests. None: there is none."""
    if measurement is None:
        return None
    if measurement.value is not None:
        return measurement.value if math.isfinite(measurement.value) else None
    for numbers in (measurement.values, measurement.times or ()):
        finite = [one for one in numbers if math.isfinite(one)]
        if finite:
            return sum(finite) / len(finite)
    return None
