"""``compare: baseline``, from measurements to a verdict: what ends it early, what is said at the end, and what too little is."""

import math
import random
from collections.abc import Callable, Iterable

import pytest

from quarterdeck.backends.metrics.contract import Counters, Measurement
from quarterdeck.rollouts.analysis.comparing import KEPT_TIMES, Comparison, begun, compared, judged
from quarterdeck.rollouts.analysis.course import Ended, Wait, begin, conclude, step, taken
from quarterdeck.rollouts.analysis.samples import Sample
from quarterdeck.rollouts.analysis.verdicts import Judgement, Verdict
from tests.rollouts.analysis.measuring import analysis, counts, error, metric

SUCCESSFUL, INCONCLUSIVE, ERROR, FAILED = Verdict
Poll = tuple[Measurement, Measurement]


def after(polls: Iterable[Poll], *, dispersion: float = 1.0) -> Comparison:
    comparison = begun(dispersion)
    for canary, baseline in polls:
        comparison = compared(comparison, canary, baseline)
    return comparison


def counters(polls: int, canary: tuple[int, int, int], baseline: tuple[int, int, int]) -> list[Poll]:
    """Of each side what every poll adds: requests, bad ones, slow ones. The first poll is where counting begins."""
    sides = [
        [Measurement(counters=Counters(n * at, bad * at, slow * at)) for at in range(polls + 1)]
        for n, bad, slow in (canary, baseline)
    ]
    return list(zip(*sides, strict=True))


def times(seed: int, polls: int, each: int, slower: float = 1.0, *, bad: tuple[int, int] = (0, 0)) -> list[Poll]:
    draw = random.Random(seed)

    def side(factor: float, failed: int) -> Measurement:
        return Measurement(times=tuple(draw.lognormvariate(-2.3, 0.5) * factor for _ in range(each)), bad=failed)

    return [(side(slower, bad[0]), side(1.0, bad[1])) for _ in range(polls)]


def outcome(judgement: Judgement) -> tuple[Verdict | None, bool]:
    return judgement.verdict, judgement.final


def test_more_bad_requests_end_it_early() -> None:
    found = judged(after(counters(4, (100, 6, 5), (1900, 10, 95))), last=False)
    assert outcome(found) == (FAILED, True)
    assert found.why.startswith("6.0 % of 400 requests bad on the canary, 0.5 % of 7600 on the baseline; ")


def test_more_slow_requests_end_it_early() -> None:
    found = judged(after(counters(4, (100, 1, 20), (1900, 10, 95))), last=False)
    assert outcome(found) == (FAILED, True)
    assert found.why.startswith("20 % of 400 requests slow on the canary, 5.0 % of 7600 on the baseline; ")


def test_a_few_more_slow_requests_are_borne() -> None:
    assert judged(after(counters(30, (1000, 10, 65), (9000, 90, 450))), last=True).verdict is SUCCESSFUL


def test_the_same_passes_early_once_walds_test_says_so() -> None:
    polls = counters(30, (200, 8, 10), (1800, 72, 90))
    passed = next(count for count in range(1, 31) if judged(after(polls[: count + 1]), last=False).final)
    assert judged(after(polls[: passed + 1]), last=False).verdict is SUCCESSFUL
    assert outcome(judged(after(polls[:passed]), last=False)) == (None, False)


def test_without_any_bad_request_it_passes_at_the_end_if_enough_was_seen() -> None:
    polls = counters(30, (20, 0, 1), (380, 0, 19))
    assert outcome(judged(after(polls), last=False)) == (None, False)
    found = judged(after(polls), last=True)
    assert outcome(found) == (SUCCESSFUL, True)
    assert "or more on the canary would have been seen nine times of ten" in found.why


@pytest.mark.parametrize(
    "polls",
    [
        counters(30, (5, 0, 0), (95, 1, 5)),
        counters(30, (0, 0, 0), (100, 1, 5)),
        counters(30, (100, 1, 5), (0, 0, 0)),
        counters(0, (0, 0, 0), (0, 0, 0)),
        [],
    ],
)
def test_too_little_is_inconclusive(polls: list[Poll]) -> None:
    found = judged(after(polls), last=True)
    assert outcome(found) == (INCONCLUSIVE, True)
    assert found.why


def test_what_looks_worse_and_is_not_proved_does_not_pass() -> None:
    looks = after(counters(1, (400, 9, 20), (3600, 20, 180)))
    assert 10 < looks.bad.evidence < 100
    assert judged(looks, last=True).verdict is INCONCLUSIVE
    assert judged(after(counters(1, (400, 3, 20), (3600, 20, 180))), last=True).verdict is SUCCESSFUL


def test_slower_single_requests_fail_by_their_tail_and_early() -> None:
    polls = times(1, 10, 40, 2.0)
    comparison = after(polls)
    assert comparison.slow_limit is not None
    assert comparison.slow.polls == 5, "the hundred times that made the limit count for nothing"
    assert outcome(judged(comparison, last=False)) == (FAILED, True)
    assert "requests slow on the canary" in judged(comparison, last=False).why


def test_slower_probes_fail_by_their_ranks_at_the_end() -> None:
    polls = times(2, 60, 1, 2.0)
    assert judged(after(polls), last=False).verdict is None
    found = judged(after(polls), last=True)
    assert outcome(found) == (FAILED, True)
    assert "slower by" in found.why


def test_probes_of_the_same_pass_and_say_what_they_could_have_seen() -> None:
    found = judged(after(times(3, 30, 1)), last=True)
    assert outcome(found) == (SUCCESSFUL, True)
    assert "0.0 % of 30 requests bad on the canary" in found.why
    assert "(30 and 30 samples)" in found.why
    assert judged(after(times(3, 19, 1)), last=True).verdict is INCONCLUSIVE


def test_probes_that_fail_on_the_canary_alone_fail_it() -> None:
    assert judged(after(times(4, 10, 0, bad=(1, 0))), last=False).verdict is None, "no answer, no baseline"
    steady = [(canary, Measurement(times=(0.1,))) for canary, _ in times(4, 30, 0, bad=(1, 0))]
    assert outcome(judged(after(steady), last=False)) == (FAILED, True)
    some = [*times(5, 20, 1), *steady[:4]]
    assert judged(after(some), last=True).verdict is not FAILED
    both = [*times(5, 20, 1), *times(6, 20, 1, bad=(1, 1))]
    assert judged(after(both), last=True).verdict is SUCCESSFUL


def one_number(seed: int, factor: float) -> list[Poll]:
    draw = random.Random(seed)

    def side(times: float) -> Measurement:
        value = draw.gauss(0.25, 0.02) * times
        return Measurement(value, (value,))

    return [(side(factor), side(1.0)) for _ in range(30)]


@pytest.mark.parametrize(("factor", "verdict"), [(1.3, FAILED), (1.0, SUCCESSFUL), (0.5, SUCCESSFUL)])
def test_one_number_a_poll_is_compared_by_ranks(factor: float, verdict: Verdict) -> None:
    polls = one_number(7, factor)
    assert outcome(judged(after(polls), last=False)) == (None, False)
    found = judged(after(polls), last=True)
    assert outcome(found) == (verdict, True)
    assert "ms" not in found.why, "nobody knows its unit"


def test_numbers_that_are_missing_or_nan_are_no_samples() -> None:
    nothing = Measurement()
    nan = Measurement(math.nan, (math.nan,))
    polls = one_number(8, 1.3)
    gaps = [(canary, nothing) for canary, _ in polls]
    assert judged(after(gaps), last=True).verdict is INCONCLUSIVE
    assert judged(after([(nan, nan)] * 30), last=True).verdict is INCONCLUSIVE
    assert judged(after([*polls, *gaps, (nan, nan)]), last=True).verdict is FAILED


def test_many_times_are_kept_in_bounds_and_spread_over_all() -> None:
    each = 700
    polls = [(Measurement(times=(float(at),) * each), Measurement(times=(float(at),) * each)) for at in range(40)]
    kept = after(polls).times
    for side in kept:
        assert KEPT_TIMES / 2 <= len(side) <= KEPT_TIMES
        assert set(side) == set(map(float, range(40)))
        shares = [side.count(float(at)) for at in range(40)]
        assert max(shares) - min(shares) <= 1


MakeSample = Callable[[int], Sample]


def same(at: int) -> Sample:
    return counts(10.0 * at, (20 * at, at // 5), (380 * at, 4 * at))


def worse(at: int) -> Sample:
    return counts(10.0 * at, (20 * at, 2 * at), (380 * at, 4 * at))


@pytest.mark.parametrize(("make", "verdict"), [(same, SUCCESSFUL), (worse, FAILED)])
def test_a_whole_analysis_by_comparison(make: MakeSample, verdict: Verdict) -> None:
    course = begin(analysis(metric("errors", compare=True, count=30)), 0.0)
    polls = 0
    while isinstance(step(course, 10.0 * polls - 1), Wait):
        course = taken(course, [error(10.0 * polls, "errors")] if polls == 3 else [make(polls)])
        polls += 1
    ended = step(course, 10.0 * polls)
    assert isinstance(ended, Ended)
    assert ended.verdict is verdict
    assert ended.why.startswith("errors: ")
    assert (polls == 31) == (verdict is SUCCESSFUL), "29 polls after the first, and an error that is no measurement"


def test_a_comparison_whose_time_is_over_is_judged_by_what_is_known() -> None:
    course = begin(analysis(metric("errors", compare=True, count=None)), 0.0)
    assert conclude(course).verdict is INCONCLUSIVE
    assert conclude(taken(course, [error(0.0, "errors")])).verdict is ERROR
    for polls, verdict in ((5, INCONCLUSIVE), (25, SUCCESSFUL)):
        course = begin(analysis(metric("errors", compare=True, count=None)), 0.0)
        for at in range(polls):
            course = taken(course, [same(at)])
        assert isinstance(step(course, 10.0 * polls - 1), Wait)
        assert conclude(course).verdict is verdict


def test_a_measurement_without_its_baseline_is_an_error() -> None:
    course = begin(analysis(metric("errors", compare=True, count=3)), 0.0)
    course = taken(course, [Sample("errors", 0.0, Measurement(counters=Counters(1, 0)))])
    assert course.metrics["errors"].errors == 1
    assert course.metrics["errors"].why == "the baseline was not measured"
