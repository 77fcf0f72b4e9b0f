"""The course of a whole analysis: which metrics are to be measured when, what each has come to, and when it is over and how.

A pure state machine. ``began`` and what was measured make the state, so that a worker that takes over from another one goes on where that
one was, with no timer longer; ``now`` is on the same clock, which never jumps.
"""

from collections.abc import Iterable, Mapping

import msgspec

from quarterdeck.config.analyses import Analysis, Metric
from quarterdeck.rollouts.analysis import comparing
from quarterdeck.rollouts.analysis.comparing import Comparison
from quarterdeck.rollouts.analysis.judging import judge
from quarterdeck.rollouts.analysis.samples import Sample
from quarterdeck.rollouts.analysis.verdicts import (
    Judgement,
    MetricState,
    Verdict,
    added,
    begun,
    concluded,
    due,
    is_last,
    worst,
)


class Course(msgspec.Struct, frozen=True):
    """``metrics`` and ``comparisons`` by name. ``ended``: seconds, when the measurement began that ended it; None: it goes on."""

    analysis: Analysis
    began: float
    metrics: Mapping[str, MetricState]
    comparisons: Mapping[str, Comparison]
    ended: float | None = None


class Measure(msgspec.Struct, frozen=True):
    """Measure these metrics now, side by side, and hand all of it in together."""

    metrics: tuple[Metric, ...]


class Wait(msgspec.Struct, frozen=True):
    until: float


class Ended(msgspec.Struct, frozen=True):
    """``why`` names the metric that decided."""

    verdict: Verdict
    why: str


Step = Measure | Wait | Ended


def begin(analysis: Analysis, began: float, *, dispersion: float = 1.0) -> Course:
    """``dispersion``: of the baseline's bad events per poll before the canary, see ``rates.dispersion``."""
    return Course(
        analysis,
        began,
        {metric.name: MetricState(began) for metric in analysis.metrics},
        {metric.name: comparing.begun(dispersion) for metric in analysis.metrics if metric.compare is not None},
    )


def restored(analysis: Analysis, began: float, samples: Iterable[Sample], *, dispersion: float = 1.0) -> Course:
    """From what was stored, in the order in which it was."""
    course = begin(analysis, began, dispersion=dispersion)
    for sample in samples:
        course = taken(course, [sample])
    return course


def taken(course: Course, samples: Iterable[Sample]) -> Course:
    """With these measurements. What began after the one that ended the analysis changes nothing; what began with it may make it worse."""
    metrics, comparisons = dict(course.metrics), dict(course.comparisons)
    latest = course.began
    known = {metric.name: metric for metric in course.analysis.metrics}
    for sample in samples:
        metric = known.get(sample.metric)
        if metric is None or (course.ended is not None and sample.at > course.ended):
            continue
        state = metrics[metric.name]
        if state.verdict is not None:
            continue
        latest = max(latest, sample.at)
        if _begins(sample):
            # What came before is nobody's: the next one, an interval later, is the first that is judged.
            metrics[metric.name] = begun(state, sample.at)
            if metric.compare is not None and sample.canary is not None and sample.baseline is not None:
                comparisons[metric.name] = comparing.compared(comparisons[metric.name], sample.canary, sample.baseline)
            continue
        judgement = _judged(metric, state, comparisons, sample)
        metrics[metric.name] = added(metric, state, sample.at, judgement)
    course = msgspec.structs.replace(course, metrics=metrics, comparisons=comparisons)
    if course.ended is None and _over(course):
        course = msgspec.structs.replace(course, ended=latest)
    return course


def step(course: Course, now: float) -> Step:
    """What is to be done now."""
    if _over(course):
        return _end(course)
    waiting = [
        (at, metric)
        for metric in course.analysis.metrics
        if (at := due(metric, course.metrics[metric.name])) is not None
    ]
    ready = tuple(metric for at, metric in waiting if at <= now)
    return Measure(ready) if ready else Wait(min(at for at, _ in waiting))


def conclude(course: Course) -> Ended:
    """When the time is over, in a bake whose metrics are measured without end: by what is known."""
    if _over(course):
        return _end(course)
    metrics = {
        name: concluded(
            state, comparing.judged(course.comparisons[name], last=True) if name in course.comparisons else None
        )
        for name, state in course.metrics.items()
    }
    return _end(msgspec.structs.replace(course, metrics=metrics))


def _begins(sample: Sample) -> bool:
    """A source that measures what came since the last time knows from now on since when."""
    sides = (sample.canary, sample.baseline)
    return not sample.error and any(side is not None and side.beginning for side in sides)


def _judged(metric: Metric, state: MetricState, comparisons: dict[str, Comparison], sample: Sample) -> Judgement:
    if sample.error or sample.canary is None:
        return Judgement(Verdict.ERROR, sample.error or "nothing was measured")
    if metric.compare is None:
        return judge(metric, sample.canary)
    if sample.baseline is None:
        return Judgement(Verdict.ERROR, "the baseline was not measured")
    comparisons[metric.name] = comparing.compared(comparisons[metric.name], sample.canary, sample.baseline)
    return comparing.judged(comparisons[metric.name], last=is_last(metric, state))


def _deciding(course: Course) -> list[Metric]:
    """All that are no dry runs. An analysis of nothing else waits for those, and holds nothing against the release."""
    metrics = course.analysis.metrics
    return [metric for metric in metrics if not metric.dry_run] or list(metrics)


def _over(course: Course) -> bool:
    verdicts = [course.metrics[metric.name].verdict for metric in _deciding(course)]
    bad = any(verdict not in (None, Verdict.SUCCESSFUL) for verdict in verdicts)
    only_dry_runs = all(metric.dry_run for metric in course.analysis.metrics)
    return (bad and not only_dry_runs) or None not in verdicts


def _end(course: Course) -> Ended:
    found = [
        (verdict, f"{metric.name}: {state.why}")
        for metric in course.analysis.metrics
        if not metric.dry_run and (verdict := (state := course.metrics[metric.name]).verdict) is not None
    ]
    verdict = worst(verdict for verdict, _ in found)
    told = [why for one, why in found if one is verdict]
    return Ended(verdict, "; ".join(told) or "dry runs only")
