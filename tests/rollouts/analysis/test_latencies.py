"""A slower canary fails, a slightly slower one does not, and too few samples say nothing."""

import math
import random

import pytest

from quarterdeck.rollouts.analysis.latencies import LEAST_SAMPLES, MOST_SAMPLES, Limits, compare, in_words, thinned


def drawn(count: int, seed: int, factor: float = 1.0, spread: float = 0.5) -> list[float]:
    draw = random.Random(seed)
    return [draw.lognormvariate(math.log(0.1), spread) * factor for _ in range(count)]


def test_thirty_percent_slower_fails_and_says_by_how_much() -> None:
    found = compare(drawn(400, 1, 1.3), drawn(400, 2))
    assert found.failed is True
    assert found.tolerated < found.low < found.shift < found.high
    assert found.ratio > 1.2
    assert found.p_value < 0.01
    assert 0.1 < found.delta < 0.5
    assert found.likelihood == pytest.approx((found.delta + 1) / 2)
    assert "slower by" in in_words(found)
    assert "allowed" not in in_words(found)


def test_the_same_release_does_not_fail_and_says_what_would_have_been_seen() -> None:
    found = compare(drawn(400, 3), drawn(400, 4))
    assert found.failed is False
    assert 0.2 < found.could_have_seen / found.medians[1] < 0.4
    assert "more (+" in in_words(found)
    assert "would have been seen nine times of ten" in in_words(found)


def test_quicker_is_no_failure() -> None:
    assert compare(drawn(400, 1, 0.5), drawn(400, 2)).failed is False


def test_what_is_significant_but_within_the_tolerance_passes() -> None:
    found = compare(drawn(2000, 1, 1.08), drawn(2000, 2))
    assert found.p_value < 0.01
    assert found.low > 0
    assert found.failed is False
    assert "ms that are allowed" in in_words(found)
    assert compare(drawn(2000, 1, 1.08), drawn(2000, 2), Limits(tolerance=0, allowed_ratio=1.01)).failed is True


def test_a_quarter_of_the_usual_range_is_borne_even_where_the_mean_is_higher() -> None:
    found = compare(drawn(2000, 1, 1.14), drawn(2000, 2))
    assert found.ratio >= 1.1
    assert 0 < found.low < found.tolerated
    assert found.failed is False
    assert compare(drawn(2000, 1, 1.14), drawn(2000, 2), Limits(tolerance=0)).failed is True


def test_a_steady_service_may_be_a_little_slower_although_its_range_is_small() -> None:
    found = compare(drawn(400, 1, 1.05, 0.02), drawn(400, 2, 1.0, 0.02))
    assert found.low > found.tolerated
    assert found.failed is False
    assert "in the mean by 5% only" in in_words(found)
    assert compare(drawn(400, 1, 1.15, 0.02), drawn(400, 2, 1.0, 0.02)).failed is True


@pytest.mark.parametrize(("own", "other"), [(LEAST_SAMPLES - 1, 500), (500, LEAST_SAMPLES - 1), (0, 0)])
def test_too_few_samples_say_nothing(own: int, other: int) -> None:
    found = compare(drawn(own, 1, 5.0), drawn(other, 2))
    assert found.failed is None
    assert in_words(found).startswith(f"{own} samples of the canary and {other} of the baseline: 20 of each are needed")


def test_nan_is_no_sample() -> None:
    assert compare([math.nan] * 20 + drawn(19, 1), drawn(30, 2)).failed is None
    assert compare([math.nan] * 20 + drawn(20, 1), drawn(30, 2)).samples == (20, 30)


def test_values_that_are_all_the_same_do_not_fail() -> None:
    found = compare([1.0] * 30, [1.0] * 30)
    assert (found.failed, found.p_value, found.ratio) == (False, 1, 1)
    assert compare([0.0] * 30, [0.0] * 30).failed is False
    zero = compare([1.0] * 30, [0.0] * 30)
    assert (zero.failed, zero.ratio) == (True, math.inf)
    assert "0 on the baseline" in in_words(zero, seconds=False)


def test_what_it_says_it_could_have_seen_is_seen_nine_times_of_ten() -> None:
    tries, seen = 40, 0
    for seed in range(tries):
        visible = compare(drawn(120, 3 * seed), drawn(120, 3 * seed + 1)).could_have_seen
        slower = [one + visible for one in drawn(120, 3 * seed + 2)]
        seen += compare(slower, drawn(120, 3 * seed + 1)).failed is True
    assert 0.78 <= seen / tries <= 1


def test_many_samples_are_thinned_evenly() -> None:
    assert thinned(range(10)) == list(range(10))
    kept = thinned(range(10 * MOST_SAMPLES + 7))
    assert len(kept) == MOST_SAMPLES
    assert kept == sorted(set(kept))
    assert kept[-1] >= 10 * MOST_SAMPLES - 10
    assert compare(drawn(3 * MOST_SAMPLES, 1), drawn(25, 2)).samples == (3 * MOST_SAMPLES, 25)
