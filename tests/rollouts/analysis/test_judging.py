"""One measurement, judged by conditions or by the source's own word."""

import math

import pytest

from quarterdeck.backends.metrics.contract import Measurement
from quarterdeck.rollouts.analysis.judging import judge
from quarterdeck.rollouts.analysis.verdicts import Verdict
from tests.rollouts.analysis.measuring import metric

SUCCESSFUL, INCONCLUSIVE, ERROR, FAILED = Verdict

CASES = [
    ("value < 5", "", 4, SUCCESSFUL, "4: value < 5"),
    ("value < 5", "", 5, FAILED, "5: not value < 5"),
    ("", "value >= 5", 4, SUCCESSFUL, "4: not value >= 5"),
    ("", "value >= 5", 5, FAILED, "5: the condition of failure holds, value >= 5"),
    ("value < 5", "value > 7", 4, SUCCESSFUL, "4: value < 5"),
    ("value < 5", "value > 7", 8, FAILED, "8: the condition of failure holds, value > 7"),
    ("value < 5", "value > 7", 6, INCONCLUSIVE, "6: neither value < 5 nor value > 7"),
    ("value < 5", "value > 3", 4, FAILED, "4: the condition of failure and success holds, value > 3"),
    # No data is not success.
    ("value < 5", "", None, INCONCLUSIVE, "no data: that can't tell value < 5"),
    ("", "value >= 5", None, INCONCLUSIVE, "no data: that can't tell value >= 5"),
    ("value < 5", "value > 7", None, INCONCLUSIVE, "no data: that can't tell value < 5 and value > 7"),
    ("", "value >= 5", math.nan, INCONCLUSIVE, "nan: that can't tell value >= 5"),
    ("not value >= 5", "", math.nan, INCONCLUSIVE, "nan: that can't tell not value >= 5"),
    ("missing(value)", "", None, SUCCESSFUL, "no data: missing(value)"),
    ("default(value, 0) < 5", "", math.nan, SUCCESSFUL, "nan: default(value, 0) < 5"),
    ("value < 5", "missing(value)", None, FAILED, "no data: the condition of failure holds, missing(value)"),
]


@pytest.mark.parametrize(("success", "failure", "value", "verdict", "why"), CASES)
def test_one_number(success: str, failure: str, value: float | None, verdict: Verdict, why: str) -> None:
    found = judge(metric(success=success, failure=failure), Measurement(value, () if value is None else (value,)))
    assert (found.verdict, found.why) == (verdict, why)
    assert not found.final


def test_several_numbers_where_one_is_meant_are_an_error_of_the_metric() -> None:
    several = Measurement(values=(1.0, 2.0, 3.0))
    found = judge(metric(success="value < 5"), several)
    assert found.verdict is ERROR
    assert found.why.startswith("3 numbers were measured where the condition is about one")
    assert judge(metric(success="all(values < 5)"), several).verdict is SUCCESSFUL
    found = judge(metric(failure="max(values) >= 3"), Measurement(values=tuple(map(float, range(9)))))
    assert (found.verdict, found.why) == (
        FAILED,
        "[0, 1, 2, 3, 4, …]: the condition of failure holds, max(values) >= 3",
    )


def test_a_source_that_says_that_the_release_is_unwell_is_believed() -> None:
    unwell = Measurement(0.1, (0.1,), well=False, detail="http 500 from :8080/healthz")
    for one in (metric(), metric(success="value < 5"), metric(failure="value > 5")):
        found = judge(one, unwell)
        assert (found.verdict, found.why) == (FAILED, "http 500 from :8080/healthz")


def test_without_conditions_the_source_must_say_whether_it_is_well() -> None:
    assert judge(metric(), Measurement(well=True, detail="http 200")).verdict is SUCCESSFUL
    found = judge(metric(), Measurement(3.0, (3.0,)))
    assert found.verdict is INCONCLUSIVE
    assert "`success` or `failure` is missing" in found.why


def test_well_is_not_enough_where_there_are_conditions() -> None:
    assert judge(metric(success="value < 5"), Measurement(9.0, (9.0,), well=True)).verdict is FAILED
