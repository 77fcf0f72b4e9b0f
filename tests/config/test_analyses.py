"""Metrics as values of the fleet file: what can't be meant, and that they survive being stored."""

import msgspec
import pytest

from quarterdeck.config.analyses import (
    Analysis,
    CommandMetric,
    Compare,
    HostFigure,
    HostMetric,
    LogsMetric,
    Metric,
    MetricSource,
    ProbeMetric,
    PrometheusMetric,
    RouterFigure,
    RouterMetric,
    contradictions,
)
from quarterdeck.config.condition_parsing import condition
from quarterdeck.config.model import Health, SecretReference, TcpCheck
from quarterdeck.config.release import to_json

SECRET = SecretReference("env", "TOKEN")
WELL = condition("value < 5")


def prometheus(
    *, token: SecretReference | None = None, username: str = "", password: SecretReference | None = None
) -> Metric:
    return Metric("p95", PrometheusMetric("https://prom", "1", token, username, password), success=WELL)


def test_what_can_be_meant_is_no_contradiction() -> None:
    sources: list[MetricSource] = [
        ProbeMetric(),
        CommandMetric("true"),
        PrometheusMetric("https://prom", "1"),
        LogsMetric(),
        RouterMetric(RouterFigure.ERROR_RATE),
        RouterMetric(RouterFigure.P95),
    ]
    for source in sources:
        assert contradictions(Metric("a", source, success=WELL)) == ()
        assert contradictions(Metric("a", source, failure=WELL)) == ()
        assert contradictions(Metric("a", source, compare=Compare.BASELINE, count=30)) == ()
        assert contradictions(Metric("a", source, compare=Compare.BASELINE, count=None)) == ()
    assert contradictions(Metric("a", RouterMetric(RouterFigure.REQUESTS), success=WELL)) == ()
    assert contradictions(Metric("a", ProbeMetric())) == ()
    assert contradictions(Metric("a", CommandMetric("true"))) == ()
    assert contradictions(prometheus(token=SECRET)) == ()
    assert contradictions(prometheus(username="me", password=SECRET)) == ()


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (Metric("a", ProbeMetric(), compare=Compare.BASELINE, count=9, success=WELL), "`compare` takes no `success`"),
        (Metric("a", ProbeMetric(), compare=Compare.BASELINE), "one measurement is nothing to compare"),
        (Metric("a", PrometheusMetric("https://prom", "1")), "must say what is well"),
        (Metric("a", HostMetric(HostFigure.RESTARTS)), "must say what is well"),
        (Metric("a", LogsMetric("x")), "must say what is well"),
        (Metric("a", RouterMetric(RouterFigure.P95)), "must say what is well"),
        (Metric("a", RouterMetric(RouterFigure.REQUESTS)), "must say what is well"),
        (
            Metric("a", RouterMetric(RouterFigure.REQUESTS), compare=Compare.BASELINE, count=9),
            "what the router was told to give each release",
        ),
        (prometheus(token=SECRET, username="me", password=SECRET), "only one of `token` and `password`"),
        (prometheus(username="me"), "belong together"),
        (prometheus(password=SECRET), "belong together"),
    ],
)
def test_contradictions_are_told(metric: Metric, said: str) -> None:
    [found] = contradictions(metric)
    assert said in found


def test_an_analysis_is_stored_and_read_back_as_it_was() -> None:
    made = Analysis(
        "golden-signals",
        (
            Metric("errors", ProbeMetric(Health(tcp=TcpCheck(1))), compare=Compare.BASELINE, count=None),
            prometheus(token=SECRET),
            Metric("restarts", HostMetric(HostFigure.CPU_PERCENT), success=WELL),
            Metric("times", RouterMetric(RouterFigure.P95), compare=Compare.BASELINE, count=9),
            Metric("lines", LogsMetric("(?i)declined"), failure=condition("value > 1")),
            Metric(
                "smoke",
                CommandMetric("bin/smoke {{address}}", {"A": "b"}),
                failure=condition("any(values > 1)"),
                dry_run=True,
            ),
        ),
    )
    assert msgspec.convert(to_json(made), Analysis) == made
