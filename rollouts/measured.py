"""What of an analysis stands in the journal: when it began and what was measured, as events, and the analysis as it is made of them again.
Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from quarterdeck.backends.metrics.contract import Measurement
from quarterdeck.config.analyses import Analysis
from quarterdeck.history.records import Event, Step
from quarterdeck.rollouts.analysis.course import restored
from quarterdeck.rollouts.analysis.judging import number
from quarterdeck.rollouts.analysis.samples import Sample, from_stored
from quarterdeck.rollouts.plans.plan import Action

BEGUN = "analysis.begun"
MEASURED = "analysis.measured"


class Begun(msgspec.Struct, frozen=True):
    """``at``: seconds of CLOCK_BOOTTIME in the boot ``boot``; ``op_id``: of the step's attempt."""

    seq: int
    op_id: str
    at: float
    boot: str


def begun_of(events: Iterable[Event], step: Step) -> Begun | None:
    """The last one of the step's attempt; ``events``: of the kind BEGUN, in any order."""
    mine = [event for event in events if event.body.get("op_id") == step.op_id and event.body.get("seq") == step.seq]
    newest = max(mine, key=lambda event: event.seq, default=None)
    return msgspec.convert(newest.body, Begun) if newest is not None else None


def samples_of(events: Sequence[Event], step: Step, since: float = 0.0) -> Iterator[Sample]:
    """What was measured in the step's attempt, the oldest first. ``since``: without what began before."""
    for event in sorted(events, key=lambda event: event.seq):
        if event.body.get("op_id") != step.op_id or event.body.get("seq") != step.seq:
            continue
        for body in event.body.get("samples") or ():
            sample = from_stored(body)
            if sample.at >= since:
                yield sample


def merged(analyses: Sequence[Analysis], *, endless: bool) -> Analysis:
    """Several as one, whose metrics are named after both. ``endless``: one without a count is measured as long as there is time (a
    bake); else once."""
    several = len(analyses) > 1
    metrics = [
        msgspec.structs.replace(
            metric,
            name=f"{analysis.name}/{metric.name}" if several else metric.name,
            count=metric.count if metric.count is not None or endless else 1,
        )
        for analysis in analyses
        for metric in analysis.metrics
    ]
    return Analysis(", ".join(analysis.name for analysis in analyses), tuple(metrics))


def analysis_of(step: Step, analyses: Mapping[str, Analysis]) -> Analysis:
    """What a step measures, of those by name. A flag's step names its safeguards, which are measured without an end."""
    found = [analyses[str(name)] for name in step.body.get("analyses") or ()]
    if step.action != Action.FLAG:
        return merged(found, endless=step.action == Action.BAKE)
    several = merged(found, endless=True)
    metrics = tuple(msgspec.structs.replace(metric, count=None) for metric in several.metrics)
    return msgspec.structs.replace(several, metrics=metrics)


class MetricSeen(msgspec.Struct, frozen=True):
    """A metric as it stands. ``state``: measuring, its verdict, or stopped (the rollout was ended before there was one); ``canary`` and
    ``baseline``: what was measured last, for people."""

    name: str
    state: str
    measured: int
    count: int | None
    failed: int
    errors: int
    canary: str
    baseline: str
    why: str
    dry_run: bool = False


def metrics_of(
    step: Step, analyses: Mapping[str, Analysis], events: Sequence[Event], *, over: bool = False
) -> tuple[MetricSeen, ...]:
    """What a step has measured. ``events``: of the kinds BEGUN and MEASURED, in any order; ``analyses``: by name, those of the rollout;
    ``over``: nobody measures any more."""
    begun = begun_of([event for event in events if event.kind == BEGUN], step)
    if begun is None:
        return ()
    analysis = analysis_of(step, analyses)
    samples = list(samples_of([event for event in events if event.kind == MEASURED], step, begun.at))
    course = restored(analysis, begun.at, samples)
    last = {sample.metric: sample for sample in samples}
    seen = []
    for metric in analysis.metrics:
        state, sample = course.metrics[metric.name], last.get(metric.name)
        seen.append(
            MetricSeen(
                metric.name,
                str(state.verdict or ("stopped" if over else "measuring")),
                state.measured,
                metric.count,
                state.failed,
                state.errors,
                _number(sample.canary) if sample is not None else "",
                _number(sample.baseline) if sample is not None else "",
                state.why,
                metric.dry_run,
            )
        )
    return tuple(seen)


def _number(measurement: Measurement | None) -> str:
    """Empty where a source gave none: then its words say what there is."""
    return (
        number(measurement) if measurement is not None and (measurement.value is not None or measurement.values) else ""
    )
