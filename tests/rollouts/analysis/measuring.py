"""Metrics and samples as tests of analyses need them."""

from typing import Any

from quarterdeck.backends.metrics.contract import Counters, Measurement
from quarterdeck.config.analyses import Analysis, CommandMetric, Compare, Metric
from quarterdeck.config.condition_parsing import condition
from quarterdeck.rollouts.analysis.samples import Sample


def metric(name: str = "p95", *, success: str = "", failure: str = "", compare: bool = False, **words: Any) -> Metric:
    return Metric(
        name,
        CommandMetric("true"),
        success=condition(success) if success else None,
        failure=condition(failure) if failure else None,
        compare=Compare.BASELINE if compare else None,
        **words,
    )


def analysis(*metrics: Metric) -> Analysis:
    return Analysis("golden-signals", metrics)


def number(at: float, value: float | None, name: str = "p95") -> Sample:
    return Sample(name, at, Measurement(value, () if value is None else (value,)))


def error(at: float, name: str = "p95") -> Sample:
    return Sample(name, at, error="prometheus: no connection")


def counts(at: float, canary: tuple[int, int], baseline: tuple[int, int], name: str = "errors") -> Sample:
    return Sample(name, at, Measurement(counters=Counters(*canary)), Measurement(counters=Counters(*baseline)))
