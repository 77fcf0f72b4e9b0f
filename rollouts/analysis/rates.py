"""Whether a canary has more bad requests than the release beside it: a sequential test that may be looked at after every poll.

When both are the same, a bad event falls on the canary with probability r = its share of the requests, whatever the rate is: a fault that
hits both cancels out. The test is a mixture of likelihood ratios (a test martingale, Ville 1939; "e-process" in Ramdas et al. 2023,
arXiv:2210.01948), and the way out is Wald's sequential probability ratio test (1945).
"""

import math
from collections.abc import Sequence
from enum import Enum
from itertools import pairwise
from typing import Final

import msgspec

from quarterdeck.backends.metrics.contract import Counters

RATIOS: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 30.0)  # of the canary's rate to the baseline's that are looked for
PASS_RATIO: Final = 2.0  # that a pass rules out
ALPHA: Final = 0.01  # how often a release that is no worse may fail
BETA: Final = 0.05  # how often one of ``PASS_RATIO`` may pass
LEAST_BAD: Final = 5  # bad events of the canary below which nothing fails
LEAST_DIFFERENCE: Final = 0.005  # of the rates: half a point is no reason to go back
LEAST_REQUESTS: Final = 300  # of the canary below which nothing passes
MUST_SEE: Final = 0.05  # a sample that could not have seen five points more is none to pass by
_SURE: Final = 1.2816  # standard deviations: nine times of ten
_POLLS_FOR_DISPERSION: Final = 10


class Decision(Enum):
    WAIT = "wait"
    PASS = "pass"  # noqa: S105 - a decision, no secret
    FAIL = "fail"


class Rates(msgspec.Struct, frozen=True):
    """What has been counted of both since the comparison began. ``logs``: of each of ``RATIOS`` the logarithm of its likelihood ratio.

    ``waiting`` are increments of polls in which only one of them had requests: they say nothing of a share yet, and go with the next.
    """

    dispersion: float = 1.0  # of the baseline's bad events per poll, see ``dispersion``
    least_difference: float = LEAST_DIFFERENCE
    least_ratio: float = 1.0  # of the rates, below which nothing fails
    tolerated: float = 1.0  # times worse that the canary may be: what is tested is whether it is worse than that
    canary: Counters | None = None  # as last read
    baseline: Counters | None = None
    requests: tuple[int, int] = (0, 0)  # canary, baseline
    bad: tuple[int, int] = (0, 0)
    waiting: tuple[int, int, int, int] = (0, 0, 0, 0)  # requests and bad events of the canary, then of the baseline
    logs: tuple[float, ...] = (0.0,) * len(RATIOS)
    polls: int = 0

    @property
    def rates(self) -> tuple[float, float]:
        """Bad events per request, of the canary and of the baseline; 0 without requests."""
        canary, baseline = (
            bad / requests if requests else 0.0 for bad, requests in zip(self.bad, self.requests, strict=True)
        )
        return canary, baseline

    @property
    def evidence(self) -> float:
        """The e-value: how many times likelier what was counted is when the canary is worse. It fails at 1/``ALPHA``."""
        return math.exp(min(700.0, _mixture(self.logs, self.dispersion)))


def polled(rates: Rates, canary: Counters, baseline: Counters) -> Rates:
    """With the counters of one more poll, both read at the same moment. The first poll is where counting begins."""
    if rates.canary is None or rates.baseline is None:
        return msgspec.structs.replace(rates, canary=canary, baseline=baseline)
    added = (*_added(rates.canary, canary), *_added(rates.baseline, baseline))
    requests_c, bad_c, requests_b, bad_b = (old + new for old, new in zip(rates.waiting, added, strict=True))
    read = msgspec.structs.replace(rates, canary=canary, baseline=baseline, polls=rates.polls + 1)
    if not requests_c or not requests_b:
        return msgspec.structs.replace(read, waiting=(requests_c, bad_c, requests_b, bad_b))
    grown = _grown(requests_c, bad_c, requests_b, bad_b, rates.tolerated)
    return msgspec.structs.replace(
        read,
        waiting=(0, 0, 0, 0),
        requests=(rates.requests[0] + requests_c, rates.requests[1] + requests_b),
        bad=(rates.bad[0] + bad_c, rates.bad[1] + bad_b),
        logs=tuple(log + more for log, more in zip(rates.logs, grown, strict=True)),
    )


def decided(rates: Rates) -> Decision:
    """What is known by now. Looking after every poll makes no more false alarms than looking once."""
    if _fails(rates, rates.bad, rates.logs):
        return Decision.FAIL
    against = rates.logs[RATIOS.index(PASS_RATIO)] / rates.dispersion
    # An outage of both is so much evidence of being alike that a canary which is worse at all other times would pass by it.
    alike = rates.rates[0] - rates.rates[1] < rates.least_difference
    if rates.requests[0] >= LEAST_REQUESTS and alike and against <= math.log(BETA / (1 - ALPHA)):
        return Decision.PASS
    return Decision.WAIT


def enough_to_pass(rates: Rates) -> bool:
    """Whether a canary that has not failed by the end of its measurements has been seen well enough to go on."""
    visible = could_have_seen(rates)
    return rates.requests[0] >= LEAST_REQUESTS and visible is not None and visible - rates.rates[1] <= MUST_SEE


def could_have_seen(rates: Rates) -> float | None:
    """The least rate of bad events (0..1) at which a canary would have failed nine times of ten, with the requests that were counted
    and the baseline as it was; None: not even one that fails every request."""
    requests_c, requests_b = rates.requests
    if not requests_c or not requests_b:
        return None
    base = rates.rates[1]

    def seen(rate: float) -> bool:
        expected = requests_c * rate
        # The canary with little luck in being caught; the baseline as it was counted.
        bad_c = expected - _SURE * math.sqrt(expected * (1 - rate) * rates.dispersion)
        logs = _grown(requests_c, bad_c, requests_b, rates.bad[1], rates.tolerated)
        return _fails(rates, (bad_c, rates.bad[1]), logs)

    low, high = min(base, 1.0), 1.0
    if not seen(high):
        return None
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def in_words(rates: Rates, what: str = "bad") -> str:
    """``what`` is what is counted: "bad", "slow". Says both rates, of how many requests, and what could have been seen."""
    (canary, baseline), (requests_c, requests_b) = rates.rates, rates.requests
    if not requests_c or not requests_b:
        without = "canary" if not requests_c else "baseline"
        return f"nothing to compare: the {without} had no requests"
    counted = f"{percent(canary)} of {requests_c} requests {what} on the canary, {percent(baseline)} of {requests_b} on the baseline"
    visible = could_have_seen(rates)
    if visible is None:
        return f"{counted}; so few requests could not have shown any difference"
    return f"{counted}; {percent(visible)} or more on the canary would have been seen nine times of ten"


def percent(rate: float) -> str:
    """0.012 is "1.2 %"; what is not quite nothing is not shown as nothing."""
    if 0 < rate < 0.0005:
        return "< 0.1 %"
    return f"{rate * 100:.1f} %" if rate < 0.0995 else f"{rate * 100:.0f} %"


def dispersion(bad_per_poll: Sequence[int]) -> float:
    """Variance by mean of the bad events of one release per poll, from before the canary: 1 when they come one by one, more when they come
    in bursts, of which one may hit the canary alone. At least 1, and 1 where there are too few polls to tell. Outages that hit everything
    count for bursts here: see ``dispersion_between``."""
    if len(bad_per_poll) < _POLLS_FOR_DISPERSION or not any(bad_per_poll):
        return 1.0
    mean = sum(bad_per_poll) / len(bad_per_poll)
    variance = sum((one - mean) ** 2 for one in bad_per_poll) / (len(bad_per_poll) - 1)
    return max(1.0, variance / mean)


def dispersion_between(polls: Sequence[Sequence[tuple[int, int]]]) -> float:
    """The same from the servers of one release, in whose polls (requests and bad events of each server) one may have had more than its
    share: Pearson's statistic by its degrees of freedom. An outage of all is no burst here, and blinds no test; so it is the better one
    where there are at least two servers."""
    statistic, freedom = 0.0, 0
    for servers in polls:
        asked = [(requests, bad) for requests, bad in servers if requests > 0]
        requests, bad = sum(one for one, _ in asked), sum(one for _, one in asked)
        if not bad or len(asked) < 2:
            continue
        statistic += sum((own - bad * part / requests) ** 2 / (bad * part / requests) for part, own in asked)
        freedom += len(asked) - 1
    return max(1.0, statistic / freedom) if freedom >= _POLLS_FOR_DISPERSION else 1.0


def increments(counters: Sequence[Counters]) -> list[tuple[int, int]]:
    """Requests and bad events between one reading and the next."""
    return [_added(before, after) for before, after in pairwise(counters)]


def _added(before: Counters, now: Counters) -> tuple[int, int]:
    """What came since; after a restart of what counts, what it has counted since then (the rest is lost with it)."""
    anew = now.began != before.began or now.requests < before.requests or now.bad < before.bad
    return (now.requests, now.bad) if anew else (now.requests - before.requests, now.bad - before.bad)


def _grown(requests_c: float, bad_c: float, requests_b: float, bad_b: float, tolerated: float) -> tuple[float, ...]:
    """By how much one poll moves the logarithm of each likelihood ratio."""
    share = requests_c / (requests_c + requests_b)
    share = tolerated * share / (tolerated * share + 1 - share)
    found = []
    for ratio in RATIOS:
        worse = ratio * share / (ratio * share + 1 - share)
        found.append(bad_c * math.log(worse / share) + bad_b * math.log((1 - worse) / (1 - share)))
    return tuple(found)


def _mixture(logs: Sequence[float], dispersion: float) -> float:
    """The logarithm of the mean of the likelihood ratios."""
    scaled = [log / dispersion for log in logs]
    most = max(scaled)
    return most + math.log(sum(math.exp(one - most) for one in scaled) / len(scaled))


def _fails(rates: Rates, bad: tuple[float, float], logs: Sequence[float]) -> bool:
    """With the numbers of bad events and the logarithms that are given, and all else as it was counted."""
    requests = rates.requests
    if bad[0] < LEAST_BAD or not requests[0] or not requests[1]:
        return False
    canary, baseline = bad[0] / requests[0], bad[1] / requests[1]
    if canary - baseline < rates.least_difference or canary < rates.least_ratio * baseline:
        return False
    return _mixture(logs, rates.dispersion) >= math.log(1 / ALPHA)
