"""The course of an analysis: how measurements add up to verdicts, when the next one is due, and that nothing is lost or made longer when a
worker dies in the middle."""

import itertools
import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.backends.metrics.contract import Counters, Measurement
from quarterdeck.config.analyses import Analysis, Metric
from quarterdeck.rollouts.analysis.course import Course, Ended, Measure, Wait, begin, conclude, restored, step, taken
from quarterdeck.rollouts.analysis.samples import Sample, from_stored, to_stored
from quarterdeck.rollouts.analysis.verdicts import Verdict, worst
from tests.rollouts.analysis.measuring import analysis, counts, error, metric, number

SUCCESSFUL, INCONCLUSIVE, ERROR, FAILED = Verdict
GOOD, BAD, UNKNOWN = 1.0, 9.0, None
BEGAN = 1000.0


def run(one: Analysis, values: Sequence[float | str | None], name: str = "p95") -> Course:
    """Each of ``values`` a measurement 10 s after the other; "error": the source has none."""
    course = begin(one, BEGAN)
    for index, value in enumerate(values):
        at = BEGAN + 10 * index
        sample = error(at, name) if isinstance(value, str) else number(at, value, name)
        course = taken(course, [sample])
    return course


def verdict_of(one: Metric, values: Sequence[float | str | None]) -> Verdict | None:
    return run(analysis(one), values).metrics[one.name].verdict


BELOW: dict[str, Any] = {"success": "value < 5"}
BOTH: dict[str, Any] = {"success": "value < 5", "failure": "value > 7"}


@pytest.mark.parametrize(
    ("words", "values", "verdict"),
    [
        ({"count": 3}, [GOOD] * 2, None),
        ({"count": 3}, [GOOD] * 3, SUCCESSFUL),
        ({"count": 3}, [GOOD, BAD], FAILED),
        ({"count": 5, "failure_limit": 2}, [BAD, GOOD, BAD, GOOD], None),
        ({"count": 5, "failure_limit": 2}, [BAD, GOOD, BAD, GOOD, GOOD], SUCCESSFUL),
        ({"count": 5, "failure_limit": 2}, [BAD, GOOD, BAD, BAD], FAILED),
        ({"count": 3}, [UNKNOWN], INCONCLUSIVE),
        ({"count": 3, "inconclusive_limit": 1}, [UNKNOWN, GOOD], None),
        ({"count": 3, "inconclusive_limit": 1}, [UNKNOWN, GOOD, GOOD], SUCCESSFUL),
        ({"count": 3, "inconclusive_limit": 1}, [UNKNOWN, GOOD, UNKNOWN], INCONCLUSIVE),
        # Four errors in a row are borne, a fifth is not, and none of them is a measurement.
        ({"count": 3}, ["error"] * 4, None),
        ({"count": 3}, ["error"] * 5, ERROR),
        ({"count": 3}, [*["error"] * 4, GOOD, *["error"] * 4, GOOD], None),
        ({"count": 3}, [*["error"] * 4, GOOD, *["error"] * 4, GOOD, GOOD], SUCCESSFUL),
        ({"count": 3, "consecutive_error_limit": 0}, ["error"], ERROR),
        ({"count": None}, [GOOD] * 500, None),
        ({"count": None}, [*[GOOD] * 500, BAD], FAILED),
    ],
)
def test_how_measurements_add_up(
    words: dict[str, Any], values: list[float | str | None], verdict: Verdict | None
) -> None:
    assert verdict_of(metric(**BELOW, **words), values) is verdict


def test_what_is_borne_is_told() -> None:
    course = run(analysis(metric(**BELOW, count=5, failure_limit=1)), [BAD, BAD])
    assert step(course, BEGAN) == Ended(FAILED, "p95: 9: not value < 5 (2 failed, 1 are borne)")
    course = run(analysis(metric(**BELOW, count=5)), ["error"] * 5)
    assert step(course, BEGAN) == Ended(ERROR, "p95: prometheus: no connection (5 errors in a row)")


def test_the_worst_verdict_wins() -> None:
    assert worst([]) is SUCCESSFUL
    for chosen in itertools.permutations(Verdict):
        assert worst(chosen) is FAILED
        assert worst(one for one in chosen if one is not FAILED) is ERROR
    assert worst([SUCCESSFUL, INCONCLUSIVE]) is INCONCLUSIVE


def test_an_analysis_is_over_when_every_metric_is() -> None:
    course = begin(analysis(metric("a", **BELOW, count=1), metric("b", **BELOW, count=2)), BEGAN)
    course = taken(course, [number(BEGAN, GOOD, "a"), number(BEGAN, GOOD, "b")])
    assert step(course, BEGAN) == Wait(BEGAN + 10)
    course = taken(course, [number(BEGAN + 10, GOOD, "b")])
    assert step(course, BEGAN + 10) == Ended(SUCCESSFUL, "a: 1: value < 5; b: 1: value < 5")


@pytest.mark.parametrize("bad", [BAD, UNKNOWN])
def test_one_bad_metric_ends_the_others(bad: float | None) -> None:
    course = begin(analysis(metric("a", **BELOW, count=9), metric("b", **BELOW, count=9)), BEGAN)
    course = taken(course, [number(BEGAN, GOOD, "a"), number(BEGAN, bad, "b")])
    ended = step(course, BEGAN)
    assert isinstance(ended, Ended)
    assert ended.verdict is (FAILED if bad is BAD else INCONCLUSIVE)
    assert ended.why.startswith("b: ")
    assert course.metrics["a"].verdict is None
    later = taken(course, [number(BEGAN + 10, BAD, "a")])
    assert later == course, "what began after the end counts no more"


def test_what_began_together_counts_together_in_any_order() -> None:
    one = analysis(metric("a", **BELOW, count=9), metric("b", **BELOW, count=9))
    samples = [number(BEGAN, UNKNOWN, "a"), number(BEGAN, BAD, "b")]
    for order in itertools.permutations(samples):
        together = taken(begin(one, BEGAN), order)
        apart = restored(one, BEGAN, order)
        for course in (together, apart):
            ended = step(course, BEGAN)
            assert isinstance(ended, Ended)
            assert ended.verdict is FAILED


def test_a_dry_run_never_decides_and_holds_nothing_up() -> None:
    one = analysis(metric("a", **BELOW, count=2), metric("dry", **BELOW, count=50, dry_run=True))
    course = taken(begin(one, BEGAN), [number(BEGAN, GOOD, "a"), number(BEGAN, BAD, "dry")])
    assert course.metrics["dry"].verdict is FAILED, "it is told"
    assert step(course, BEGAN) == Wait(BEGAN + 10)
    course = taken(course, [number(BEGAN + 10, GOOD, "a")])
    assert step(course, BEGAN + 10) == Ended(SUCCESSFUL, "a: 1: value < 5")


def test_dry_runs_alone_are_waited_for_and_decide_nothing() -> None:
    one = analysis(metric("a", **BELOW, count=1, dry_run=True), metric("b", **BELOW, count=2, dry_run=True))
    course = taken(begin(one, BEGAN), [number(BEGAN, BAD, "a"), number(BEGAN, GOOD, "b")])
    assert step(course, BEGAN) == Wait(BEGAN + 10)
    course = taken(course, [number(BEGAN + 10, GOOD, "b")])
    assert step(course, BEGAN + 10) == Ended(SUCCESSFUL, "dry runs only")


def test_measurements_come_at_the_steps_of_the_interval_after_the_delay() -> None:
    one = metric(**BELOW, count=9, interval=10.0, initial_delay=25.0)
    course = begin(analysis(one), BEGAN)
    assert step(course, BEGAN) == Wait(BEGAN + 25)
    assert step(course, BEGAN + 24.9) == Wait(BEGAN + 25)
    assert step(course, BEGAN + 25) == Measure((one,))
    course = taken(course, [number(BEGAN + 25, GOOD)])
    assert step(course, BEGAN + 25) == Wait(BEGAN + 35)
    course = taken(course, [number(BEGAN + 37, GOOD)])  # late: the next one is not
    assert step(course, BEGAN + 37) == Wait(BEGAN + 45)
    course = taken(course, [number(BEGAN + 44.9, GOOD)])  # a clock may be a little early
    assert step(course, BEGAN + 45) == Wait(BEGAN + 55)
    course = taken(course, [error(BEGAN + 55)])  # an error has had its turn, too
    assert step(course, BEGAN + 55) == Wait(BEGAN + 65)


def test_metrics_of_their_own_intervals_are_measured_together_where_they_meet() -> None:
    quick, slow = metric("quick", **BELOW, count=9, interval=10), metric("slow", **BELOW, count=9, interval=30)
    course, now, asked = begin(analysis(quick, slow), BEGAN), BEGAN, []
    while now <= BEGAN + 60:
        found = step(course, now)
        if isinstance(found, Wait):
            now = found.until
            continue
        assert isinstance(found, Measure)
        asked.append((now - BEGAN, [one.name for one in found.metrics]))
        course = taken(course, [number(now, GOOD, one.name) for one in found.metrics])
    both, alone = ["quick", "slow"], ["quick"]
    assert asked == [(0, both), (10, alone), (20, alone), (30, both), (40, alone), (50, alone), (60, both)]


def test_a_worker_that_was_away_measures_at_once_and_once_only() -> None:
    one = metric(**BELOW, count=9, interval=10.0)
    before = taken(begin(analysis(one), BEGAN), [number(BEGAN, GOOD)])
    stored = [number(BEGAN, GOOD)]
    again = restored(analysis(one), BEGAN, stored)
    assert again == before
    assert step(again, BEGAN + 4) == Wait(BEGAN + 10), "the interval does not begin anew"
    assert step(again, BEGAN + 333) == Measure((one,))
    assert step(taken(again, [number(BEGAN + 333, GOOD)]), BEGAN + 333) == Wait(BEGAN + 340)


def test_a_delay_counts_from_the_beginning_whoever_waits() -> None:
    one = metric(**BELOW, initial_delay=60)
    again = restored(analysis(one), BEGAN, [])
    assert step(again, BEGAN + 59) == Wait(BEGAN + 60)
    assert step(again, BEGAN + 61) == Measure((one,))


MEASURED = st.one_of(st.sampled_from([GOOD, 6.0, BAD, math.nan, math.inf, UNKNOWN]), st.just("error"))


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(
    values=st.lists(st.tuples(MEASURED, MEASURED, st.integers(0, 300)), max_size=12),
    limits=st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
    cut=st.integers(0, 12),
)
def test_whoever_has_the_samples_has_the_state(
    values: list[tuple[float | str | None, float | str | None, int]], limits: tuple[int, int, int], cut: int
) -> None:
    failures, unknown, errors = limits
    words: dict[str, Any] = {
        "failure_limit": failures,
        "inconclusive_limit": unknown,
        "consecutive_error_limit": errors,
    }
    one = analysis(
        metric("a", **BOTH, count=6, **words),
        metric("b", **BELOW, count=8, dry_run=bool(cut % 2)),
        metric("c", compare=True, count=5),
    )
    course, requests = begin(one, BEGAN), 0
    stored: list[dict[str, Any]] = []
    for index, (first, second, bad) in enumerate(values):
        if index == cut:  # the worker dies, another one reads what was stored
            course = restored(
                one, BEGAN, [from_stored(json.loads(json.dumps(body, allow_nan=False))) for body in stored]
            )
        at = BEGAN + 10 * index
        requests += 1000
        samples = [
            error(at, name) if isinstance(value, str) else number(at, value, name)
            for name, value in (("a", first), ("b", second))
        ]
        samples.append(counts(at, (requests, bad + requests // 100), (9 * requests, requests // 10), "c"))
        course = taken(course, samples)
        stored += [to_stored(sample) for sample in samples]
        assert repr(restored(one, BEGAN, map(from_stored, stored))) == repr(course)
        found = step(course, at)
        if isinstance(found, Ended):
            break
        assert isinstance(found, Wait)
        assert found.until > at


def test_a_sample_is_kept_as_it_was() -> None:
    measured = Measurement(
        math.nan, (math.nan, math.inf, 1.5), well=True, times=(0.25, 0.5), bad=2, detail="NaN", seconds=0.1
    )
    sample = Sample("p95", BEGAN, measured, Measurement())
    text = json.dumps(to_stored(sample), allow_nan=False)
    assert repr(from_stored(json.loads(text))) == repr(sample)


@pytest.mark.parametrize(
    "body",
    [[], {"metric": "p95"}, {"metric": "p95", "at": "now"}, {"metric": "p95", "at": 1, "canary": {"value": "x"}}],
)
def test_what_is_no_sample_is_not_taken_for_one(body: object) -> None:
    with pytest.raises(ValueError, match=r"mapping|Object|Expected|convert"):
        from_stored(body)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([GOOD] * 3, SUCCESSFUL), ([], INCONCLUSIVE), (["error"], ERROR), ([GOOD, "error"], SUCCESSFUL), ([BAD], FAILED)],
)
def test_a_bake_is_judged_by_what_is_known_when_its_time_is_over(
    values: list[float | str | None], verdict: Verdict
) -> None:
    assert conclude(run(analysis(metric(**BELOW, count=None)), values)).verdict is verdict


def test_samples_of_metrics_that_are_not_known_change_nothing() -> None:
    course = begin(analysis(metric(**BELOW)), BEGAN)
    assert taken(course, [number(BEGAN, BAD, "another")]) == course


def beginning(at: float, name: str = "p95") -> Sample:
    """Of a source that measures what came since the last time."""
    return Sample(name, at, Measurement(beginning=True, counters=Counters(0, 0), marks={"web-1": "here"}))


def test_a_look_that_only_begins_is_no_measurement_and_the_first_one_comes_an_interval_later() -> None:
    one = metric(**BELOW)
    course = taken(begin(analysis(one), BEGAN), [beginning(BEGAN)])
    assert (course.metrics["p95"].measured, step(course, BEGAN)) == (0, Wait(BEGAN + 10))
    course = taken(course, [number(BEGAN + 10, GOOD)])
    assert step(course, BEGAN + 10) == Ended(SUCCESSFUL, "p95: 1: value < 5")


def test_what_only_began_by_the_end_is_not_success() -> None:
    course = taken(begin(analysis(metric(count=None, **BELOW)), BEGAN), [beginning(BEGAN)])
    assert conclude(course).verdict is INCONCLUSIVE


def test_counts_of_the_first_measurement_after_a_beginning_are_compared() -> None:
    one = metric("errors", compare=True, count=2)
    course = begin(analysis(one), BEGAN)
    start = msgspec.structs.replace(
        beginning(BEGAN, "errors"), baseline=Measurement(beginning=True, counters=Counters(0, 0))
    )
    course = taken(course, [start])
    canary, baseline = Counters(500, 100, began="a"), Counters(500, 0, began="a")
    course = taken(course, [Sample("errors", BEGAN + 10, Measurement(counters=canary), Measurement(counters=baseline))])
    assert course.metrics["errors"].verdict is FAILED


def test_marks_are_stored_with_what_was_measured() -> None:
    sample = beginning(BEGAN)
    assert from_stored(json.loads(json.dumps(to_stored(sample)))) == sample
