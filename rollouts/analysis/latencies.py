"""Whether a canary is slower than the release beside it, judged once, when all is measured: as Kayenta does, by Mann-Whitney and by how
much. A significant difference that nobody would notice is none.

Source: Netflix and Google's Kayenta, ``MannWhitneyClassifier`` (confidence 0.98, tolerance 0.25, limits of the ratio of means).
"""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from quarterdeck.rollouts.analysis.ranks import rank_test, shift

CONFIDENCE: Final = (
    0.98  # of the interval that holds the shift; a canary that is no slower fails in at most half of what is left
)
TOLERANCE: Final = 0.25  # of the baseline's range, by which a canary may be slower
ALLOWED_RATIO: Final = 1.1  # of the means, up to which a canary passes whatever the ranks say
LEAST_SAMPLES: Final = 20  # a side
MOST_SAMPLES: Final = (
    2000  # a side that are compared: more would show differences that nobody notices, and take seconds
)
_SURE: Final = 1.2816  # standard deviations: nine times of ten


class Limits(msgspec.Struct, frozen=True):
    confidence: float = CONFIDENCE
    tolerance: float = TOLERANCE
    allowed_ratio: float = ALLOWED_RATIO


class Compared(msgspec.Struct, frozen=True):
    """Values are in the samples' own unit. ``failed`` is None where there were too few samples to tell: everything else is then 0.

    ``could_have_seen`` is the shift that would have failed nine times of ten.
    """

    samples: tuple[int, int]  # canary, baseline, as they came
    failed: bool | None = None
    medians: tuple[float, float] = (0.0, 0.0)
    ratio: float = 1.0  # of the means
    shift: float = 0.0  # Hodges and Lehmann's
    low: float = 0.0
    high: float = 0.0
    tolerated: float = 0.0
    p_value: float = 1.0  # of the canary not being slower
    delta: float = 0.0  # Cliff's
    likelihood: float = 0.5  # that a value of the canary is larger than one of the baseline
    could_have_seen: float = 0.0


def compare(canary: Sequence[float], baseline: Sequence[float], limits: Limits | None = None) -> Compared:
    """Whether larger values of the canary are a failure. NaN is left out."""
    limits = limits or Limits()
    own, other = ([one for one in side if not math.isnan(one)] for side in (canary, baseline))
    samples = len(own), len(other)
    if min(samples) < LEAST_SAMPLES:
        return Compared(samples)
    own, other = thinned(own), thinned(other)
    test, moved = rank_test(other, own), shift(other, own, limits.confidence)
    low, _, high = statistics.quantiles(other, n=4, method="inclusive")
    tolerated = limits.tolerance * (high - low)
    mean_own, mean_other = statistics.fmean(own), statistics.fmean(other)
    ratio = mean_own / mean_other if mean_other > 0 else (1.0 if mean_own <= mean_other else math.inf)
    below = moved.estimate - moved.low  # how far the lower limit lies from what is estimated
    deviation = below / statistics.NormalDist().inv_cdf((1 + limits.confidence) / 2)
    visible = max(tolerated + below + _SURE * deviation, (limits.allowed_ratio - 1) * mean_other)
    return Compared(
        samples=samples,
        failed=moved.low > tolerated and ratio >= limits.allowed_ratio,
        medians=(statistics.median(own), statistics.median(other)),
        ratio=ratio,
        shift=moved.estimate,
        low=moved.low,
        high=moved.high,
        tolerated=tolerated,
        p_value=test.greater,
        delta=test.delta,
        likelihood=test.likelihood,
        could_have_seen=visible,
    )


def thinned(samples: Sequence[float]) -> list[float]:
    """At most ``MOST_SAMPLES`` of them, spread evenly over when they came."""
    count = len(samples)
    if count <= MOST_SAMPLES:
        return list(samples)
    return [samples[at * count // MOST_SAMPLES] for at in range(MOST_SAMPLES)]


def in_words(compared: Compared, *, seconds: bool = True) -> str:
    """``seconds``: the values are times; else numbers of no unit that is known."""
    own, other = compared.samples
    if compared.failed is None:
        return f"{own} samples of the canary and {other} of the baseline: {LEAST_SAMPLES} of each are needed to compare them"

    def shown(value: float) -> str:
        return _time(value) if seconds else f"{value:.3g}"

    median, base = compared.medians
    words = f"median {shown(median)} on the canary, {shown(base)} on the baseline ({own} and {other} samples)"
    if compared.low > 0:
        slower = "slower" if seconds else "higher"
        words += f": {slower} by {shown(compared.low)} to {shown(compared.high)}"
        if not compared.failed and compared.low <= compared.tolerated:
            words += f", which need not be more than the {shown(compared.tolerated)} that are allowed"
        elif not compared.failed:
            words += f", in the mean by {compared.ratio - 1:.0%} only, which is allowed"
    visible = f" ({compared.could_have_seen / base:+.0%})" if base > 0 else ""
    return f"{words}; {shown(compared.could_have_seen)} more{visible} would have been seen nine times of ten"


def _time(seconds: float) -> str:
    milliseconds = seconds * 1000
    return f"{milliseconds:.3g} ms" if abs(milliseconds) < 999.5 else f"{seconds:.3g} s"
