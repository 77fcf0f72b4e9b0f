"""A canary with more bad requests fails after few of them, the same release as its own canary does not, and counters may begin anew."""

import math
import random
from collections.abc import Sequence

import msgspec
import pytest

from quarterdeck.backends.metrics.contract import Counters
from quarterdeck.rollouts.analysis.rates import (
    ALPHA,
    RATIOS,
    Decision,
    Rates,
    could_have_seen,
    decided,
    dispersion,
    dispersion_between,
    enough_to_pass,
    in_words,
    increments,
    percent,
    polled,
)


def counted(polls: Sequence[tuple[int, int, int, int]], start: Rates | None = None) -> Rates:
    """``polls``: what each one adds: requests and bad events of the canary, then of the baseline."""
    rates = polled(start or Rates(), Counters(0, 0), Counters(0, 0))
    total = (0, 0, 0, 0)
    for poll in polls:
        total = (total[0] + poll[0], total[1] + poll[1], total[2] + poll[2], total[3] + poll[3])
        rates = polled(rates, Counters(total[0], total[1]), Counters(total[2], total[3]))
    return rates


def by_hand(polls: Sequence[tuple[int, int, int, int]], divisor: float = 1.0) -> float:
    """The mixture as page 6 of the design writes it."""
    ratios = []
    for k in RATIOS:
        llr = 0.0
        for n_c, bad_c, n_b, bad_b in polls:
            r = n_c / (n_c + n_b)
            p = k * r / (k * r + 1 - r)
            llr += bad_c * math.log(p / r) + bad_b * math.log((1 - p) / (1 - r))
        ratios.append(math.exp(llr / divisor))
    return sum(ratios) / len(ratios)


POLLS = [(100, 2, 1900, 9), (120, 0, 1800, 12), (300, 5, 1500, 7), (0, 0, 10, 0)]


@pytest.mark.parametrize("divisor", [1.0, 2.5])
def test_the_evidence_is_the_mean_of_the_likelihood_ratios_of_every_poll(divisor: float) -> None:
    rates = counted(POLLS, Rates(dispersion=divisor))
    assert rates.evidence == pytest.approx(by_hand(POLLS[:3], divisor))
    assert rates.requests == (520, 5200)
    assert rates.bad == (7, 28)


def test_more_bad_requests_fail() -> None:
    rates = counted([(100, 5, 1900, 10)] * 5)
    assert decided(rates) is Decision.FAIL
    assert rates.evidence > 1 / ALPHA


def test_a_fault_that_hits_both_cancels_out() -> None:
    assert decided(counted([(200, 100, 1800, 900)] * 20)) is not Decision.FAIL


def test_four_bad_requests_fail_nothing_and_half_a_point_neither() -> None:
    assert decided(counted([(100, 4, 9900, 0)])) is Decision.WAIT
    assert decided(counted([(100, 5, 9900, 0)])) is Decision.FAIL
    small = counted([(20_000, 99, 200_000, 10)])
    assert small.evidence > 1e6
    assert decided(small) is not Decision.FAIL
    assert decided(counted([(20_000, 120, 200_000, 10)])) is Decision.FAIL


def test_it_passes_by_walds_test_once_there_were_three_hundred_requests() -> None:
    boundary, k2 = math.log(0.05 / 0.99), RATIOS.index(2.0)
    early = counted([(10, 1, 90, 9)] * 29)
    assert early.logs[k2] < boundary
    assert decided(early) is Decision.WAIT
    assert decided(counted([(10, 1, 90, 9)] * 30)) is Decision.PASS
    calm = counted([(400, 1, 3600, 9)])
    assert calm.logs[k2] > boundary
    assert decided(calm) is Decision.WAIT


def test_an_outage_of_both_does_not_pass_who_is_worse_otherwise() -> None:
    usual, outages = [(50, 3, 950, 5)], [(50, 15, 950, 285)] * 3
    rates = counted([*usual * 5, *outages])
    assert rates.logs[RATIOS.index(2.0)] < math.log(0.05 / 0.99)
    assert rates.requests[0] >= 300
    assert decided(rates) is Decision.WAIT
    assert decided(counted([*usual * 5, *outages, *usual * 10])) is Decision.FAIL


def test_a_ratio_can_be_asked_for_besides_a_difference() -> None:
    polls = [(1000, 200, 9000, 1400)] * 5
    assert decided(counted(polls, Rates(least_ratio=1.2))) is Decision.FAIL
    assert decided(counted(polls, Rates(least_ratio=1.5))) is not Decision.FAIL


def test_what_is_tolerated_is_no_evidence() -> None:
    polls = [(1000, 68, 9000, 450)] * 20  # 1.36 times as many
    assert counted(polls).evidence > 100
    assert counted(polls, Rates(tolerated=1.2)).evidence < 1
    assert counted([(1000, 130, 9000, 450)], Rates(tolerated=1.2)).evidence > 100


def test_bursts_count_for_less() -> None:
    polls = [(100, 4, 900, 4)] * 2
    assert decided(counted(polls)) is Decision.FAIL
    assert decided(counted(polls, Rates(dispersion=4.0))) is Decision.WAIT


def test_the_dispersion_is_variance_by_mean_and_at_least_one() -> None:
    assert dispersion([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8]) == pytest.approx(7.27, abs=0.01)
    assert dispersion([3] * 20) == 1
    assert dispersion([0] * 20) == 1
    assert dispersion([0, 90]) == 1, "too few polls to tell"


def test_between_servers_an_outage_of_all_is_no_burst_and_a_burst_on_one_is() -> None:
    outages = [[(100, 1), (100, 1)], [(100, 30), (100, 30)]] * 20
    assert dispersion([sum(bad for _, bad in poll) for poll in outages]) > 20
    assert dispersion_between(outages) == 1
    bursts = [[(100, 8), (100, 0)], [(100, 0), (100, 0)], [(50, 0), (150, 8)]] * 10
    # By hand: 8 where 4 and 4 are expected is 8, 8 where 2 and 6 are expected is 8/3; of one degree of freedom each.
    assert dispersion_between(bursts) == pytest.approx((8 + 8 / 3) / 2)
    assert dispersion_between([[(100, 8), (100, 0)]] * 9) == 1, "too few polls to tell"
    assert dispersion_between([[(200, 8), (0, 0)]] * 60) == 1, "one server tells nothing"


def test_no_requests_on_one_side_say_nothing_and_are_not_lost() -> None:
    assert counted([(0, 0, 500, 5)]).evidence == 1
    late = counted([(0, 3, 500, 5), (10, 0, 500, 5)])
    assert late.evidence == pytest.approx(by_hand([(10, 3, 1000, 10)]))
    assert (late.requests, late.bad) == ((10, 1000), (3, 10))


def read(*readings: tuple[Counters, Counters]) -> Rates:
    rates = Rates()
    for canary, baseline in readings:
        rates = polled(rates, canary, baseline)
    return rates


def test_counting_begins_with_the_first_poll() -> None:
    rates = read((Counters(500, 90), Counters(9000, 1)), (Counters(600, 91), Counters(9900, 2)))
    assert (rates.requests, rates.bad) == ((100, 900), (1, 1))


@pytest.mark.parametrize("began", ["", "another start"])
def test_a_restarted_router_adds_what_it_counted_since(began: str) -> None:
    rates = read(
        (Counters(500, 5, began="a start" if began else ""), Counters(9000, 50, began="a start" if began else "")),
        (Counters(20, 1, began=began), Counters(200, 3, began=began)),
        (Counters(50, 1, began=began), Counters(300, 4, began=began)),
    )
    assert (rates.requests, rates.bad) == ((50, 300), (1, 4))


def test_one_that_has_counted_more_than_before_by_the_next_poll_is_told_by_when_it_began() -> None:
    before, after = Counters(100, 0, began="one"), Counters(150, 2, began="two")
    assert increments([before, after]) == [(150, 2)]
    assert increments([before, Counters(150, 2, began="one")]) == [(50, 2)]
    assert increments([Counters(100, 3), Counters(150, 2)]) == [(150, 2)], (
        "a count of bad ones that goes down tells, too"
    )


def test_it_says_what_the_sample_could_have_seen() -> None:
    few = counted([(20, 0, 380, 1)])
    assert "0.0 % of 20 requests bad on the canary, 0.3 % of 380 on the baseline" in in_words(few)
    many = counted([(2000, 10, 38_000, 190)])
    visible = could_have_seen(many)
    assert visible is not None
    assert 0.012 < visible < 0.017
    assert in_words(many).endswith(f"{percent(visible)} or more on the canary would have been seen nine times of ten")
    assert in_words(many, "slow").startswith("0.5 % of 2000 requests slow on the canary")
    assert in_words(counted([])) == "nothing to compare: the canary had no requests"
    assert could_have_seen(counted([(4, 0, 4000, 0)])) is None
    assert "could not have shown any difference" in in_words(counted([(4, 0, 4000, 0)]))


def test_who_has_seen_enough_may_pass_without_walds_word() -> None:
    assert not enough_to_pass(counted([(299, 0, 2000, 0)]))
    assert enough_to_pass(counted([(300, 0, 2000, 0)]))
    assert not enough_to_pass(counted([(300, 0, 10, 0)])), "there is hardly a baseline"
    assert not enough_to_pass(counted([(300, 0, 2000, 0)], Rates(dispersion=6.0)))


def test_what_it_says_it_could_have_seen_is_seen_nine_times_of_ten() -> None:
    draw = random.Random(11)
    calm = counted([(1000, 10, 9000, 90)])
    visible = could_have_seen(calm)
    assert visible is not None
    tries, seen = 100, 0
    for _ in range(tries):
        bad = sum(draw.random() < visible for _ in range(1000))
        seen += decided(counted([(1000, bad, 9000, 90)])) is Decision.FAIL
    assert 0.8 <= seen / tries <= 0.98


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0, "0.0 %"), (0.0001, "< 0.1 %"), (0.012, "1.2 %"), (0.25, "25 %"), (0.0999, "10 %"), (1, "100 %")],
)
def test_rates_in_words(rate: float, words: str) -> None:
    assert percent(rate) == words


def test_it_goes_on_from_what_was_stored() -> None:
    whole = counted(POLLS * 3)
    half = counted(POLLS)
    stored = msgspec.json.decode(msgspec.json.encode(half), type=Rates)
    assert stored == half
    assert whole.canary is not None
    assert whole.baseline is not None
    assert polled(stored, whole.canary, whole.baseline).bad == whole.bad
