"""A single measurement and what the fleet file says is well: successful, failed, inconclusive, or an error of the metric itself."""

from quarterdeck.backends.metrics.contract import Measurement
from quarterdeck.config.analyses import Metric
from quarterdeck.rollouts.analysis.conditions import holds, names_value
from quarterdeck.rollouts.analysis.verdicts import Judgement, Verdict


def judge(metric: Metric, measurement: Measurement) -> Judgement:
    """By its conditions; without any, by the source's own word. A source that says that the release is unwell is always believed."""
    shown = number(measurement)
    if measurement.well is False:
        return Judgement(Verdict.FAILED, measurement.detail or shown)
    conditions = [one for one in (metric.success, metric.failure) if one is not None]
    if not conditions:
        if measurement.well is None:
            why = f"{shown}, and nothing says what is well: `success` or `failure` is missing"
            return Judgement(Verdict.INCONCLUSIVE, why)
        return Judgement(Verdict.SUCCESSFUL, measurement.detail or shown)
    several = len(measurement.values)
    if measurement.value is None and several > 1 and any(names_value(one) for one in conditions):
        why = f"{several} numbers were measured where the condition is about one: use sum(values) or all(values < …), or a query for one"
        return Judgement(Verdict.ERROR, why)
    success, failure = (
        None if one is None else holds(one, measurement.value, measurement.values)
        for one in (metric.success, metric.failure)
    )
    if failure is True:
        also = " and success" if success is True else ""
        return Judgement(Verdict.FAILED, f"{shown}: the condition of failure{also} holds, {metric.failure}")
    if success is True:
        return Judgement(Verdict.SUCCESSFUL, f"{shown}: {metric.success}")
    if metric.failure is None and success is False:
        return Judgement(Verdict.FAILED, f"{shown}: not {metric.success}")
    if metric.success is None and failure is False:
        return Judgement(Verdict.SUCCESSFUL, f"{shown}: not {metric.failure}")
    if success is False and failure is False:
        return Judgement(Verdict.INCONCLUSIVE, f"{shown}: neither {metric.success} nor {metric.failure}")
    told = " and ".join(str(one) for one in conditions)
    return Judgement(Verdict.INCONCLUSIVE, f"{shown}: that can't tell {told}")


def number(measurement: Measurement) -> str:
    """What was measured, for people."""
    if measurement.value is not None:
        return f"{measurement.value:.6g}"
    if measurement.values:
        shown = ", ".join(f"{one:.6g}" for one in measurement.values[:5])
        return f"[{shown}{', …' if len(measurement.values) > 5 else ''}]"
    return "no data"
