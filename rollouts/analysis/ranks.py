"""Two samples compared by their ranks: Mann-Whitney's U, its p-value, Cliff's delta, the Hodges-Lehmann shift with its confidence interval.

No number here depends on how the values are distributed. The results are those of R's ``wilcox.test`` and SciPy's ``mannwhitneyu``
(tests/rollouts/analysis/rank_vectors.json); both would be a hundred megabytes on a bastion.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, takewhile
from statistics import NormalDist
from typing import Final

import msgspec

EXACT_BELOW: Final = 50  # values a side, without ties: R's rule
_FEW_PAIRS: Final = 20_000  # that are sorted rather than searched


class RankTest(msgspec.Struct, frozen=True):
    """``u``: of the second sample: in how many pairs its value is the larger one, ties as halves. ``greater``: the p-value of the second
    one not being larger; ``two_sided`` likewise of both being alike. ``exact``: both are by counting, not by the normal distribution."""

    u: float
    greater: float
    two_sided: float
    exact: bool
    delta: float  # Cliff's: -1 (the second one is below the first throughout) .. 1
    likelihood: float  # "common language": that a value of the second is larger than one of the first, ties as halves


class Shift(msgspec.Struct, frozen=True):
    """By how much the second sample lies above the first (Hodges and Lehmann 1963): the median of all differences, with limits that hold it
    with the confidence asked for."""

    estimate: float
    low: float
    high: float


def rank_test(first: Sequence[float], second: Sequence[float]) -> RankTest:
    """Both have at least one value and no NaN. With continuity correction and correction for ties where it is not exact."""
    n, m = len(first), len(second)
    if not n or not m:
        raise ValueError("nothing to compare")
    ordered = sorted(first)
    u = math.fsum((bisect_left(ordered, one) + bisect_right(ordered, one)) / 2 for one in second)
    ties = _ties([*first, *second])
    delta = 2 * u / (n * m) - 1
    if not ties and n < EXACT_BELOW and m < EXACT_BELOW:
        below = math.fsum(_distribution(n, m)[: int(u)])
        greater, less = 1 - below, below + _distribution(n, m)[int(u)]
        return RankTest(u, _bounded(greater), _bounded(2 * min(greater, less)), True, delta, u / (n * m))
    deviation = _deviation(n, m, ties)
    if deviation == 0:  # one and the same value throughout
        return RankTest(u, 1.0, 1.0, False, 0.0, 0.5)
    centre = u - n * m / 2
    normal = NormalDist()
    greater = normal.cdf(-(centre - 0.5) / deviation)
    two_sided = 2 * normal.cdf(-(abs(centre) - 0.5) / deviation)
    return RankTest(u, _bounded(greater), _bounded(two_sided), False, delta, u / (n * m))


def shift(first: Sequence[float], second: Sequence[float], confidence: float) -> Shift:
    """The limits are differences of two values, as R takes them where it counts exactly; elsewhere their places come from the normal
    approximation. With very few values the interval is all there is, and holds less than ``confidence``."""
    n, m = len(first), len(second)
    if not n or not m:
        raise ValueError("nothing to compare")
    rows, columns = sorted(first), sorted(second)
    ties = _ties([*rows, *columns])
    if not ties and n < EXACT_BELOW and m < EXACT_BELOW:
        # The least u that is reached or stayed below with a probability of alpha/2 or more.
        reached = accumulate(_distribution(n, m))
        place = sum(1 for _ in takewhile(lambda probability: probability < (1 - confidence) / 2, reached))
    else:
        place = math.floor(n * m / 2 + 0.5 - NormalDist().inv_cdf((1 + confidence) / 2) * _deviation(n, m, ties))
    place = min(max(1, place), (n * m + 1) // 2)
    low, high = _difference(rows, columns, place), _difference(rows, columns, n * m + 1 - place)
    middle = (n * m + 1) // 2
    estimate = _difference(rows, columns, middle)
    if n * m % 2 == 0:
        estimate = (estimate + _difference(rows, columns, middle + 1)) / 2
    return Shift(estimate, low, high)


def _deviation(n: int, m: int, ties: Sequence[int]) -> float:
    total = n + m
    tied = math.fsum(count**3 - count for count in ties)
    return math.sqrt(n * m / 12 * (total + 1 - tied / (total * (total - 1))))


def _ties(values: Sequence[float]) -> list[int]:
    """How often each value is there that is there more than once."""
    counts: dict[float, int] = {}
    for one in values:
        counts[one] = counts.get(one, 0) + 1
    return [count for count in counts.values() if count > 1]


@lru_cache(maxsize=8)
def _distribution(n: int, m: int) -> tuple[float, ...]:
    """The probabilities of U = 0..n·m when both are alike: the coefficients of the Gaussian binomial, in whole numbers until the end."""
    counts = [1] + [0] * (n * m)
    for factor in range(1, n + 1):
        # times (1 - q^(m + factor)), then by (1 - q^factor)
        for place in range(n * m, m + factor - 1, -1):
            counts[place] -= counts[place - m - factor]
        for place in range(factor, n * m + 1):
            counts[place] += counts[place - factor]
    total = math.comb(n + m, n)
    return tuple(count / total for count in counts)


def _difference(rows: Sequence[float], columns: Sequence[float], place: int) -> float:
    """The difference (a column less a row) at ``place`` (from 1) in the order of all of them; both are sorted. Their number is the product
    of the two: where they are many, most are never made (Johnson and Mizoguchi 1978)."""
    low, high = [0] * len(rows), [len(columns)] * len(rows)
    while (left := sum(high) - sum(low)) > _FEW_PAIRS:
        middles = sorted(
            (columns[(a + b) // 2] - row, b - a) for row, a, b in zip(rows, low, high, strict=True) if a < b
        )
        weights = list(accumulate(weight for _, weight in middles))
        pivot = middles[bisect_left(weights, left / 2)][0]
        below = [bisect_left(columns, pivot, a, b, key=_less(row)) for row, a, b in zip(rows, low, high, strict=True)]
        if sum(below) >= place:
            high = below
            continue
        upto = [bisect_right(columns, pivot, a, b, key=_less(row)) for row, a, b in zip(rows, low, high, strict=True)]
        if sum(upto) >= place:
            return pivot
        low = upto
    rest = sorted(columns[at] - row for row, a, b in zip(rows, low, high, strict=True) for at in range(a, b))
    return rest[place - sum(low) - 1]


def _less(row: float) -> Callable[[float], float]:
    return lambda column: column - row


def _bounded(probability: float) -> float:
    return min(1.0, max(0.0, probability))
