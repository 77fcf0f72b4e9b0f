"""``compare: baseline``: a canary and the stable release, measured together, poll after poll. What is counted goes to the sequential test,
which may end it early; times and other numbers are compared by ranks, once, at the end.

Nothing of it needs a limit that somebody has to know: the stable release is the limit, with whatever hits both.
"""

import math
import statistics
from typing import Final

import msgspec

from quarterdeck.backends.metrics.contract import Counters, Measurement
from quarterdeck.rollouts.analysis import latencies
from quarterdeck.rollouts.analysis.latencies import LEAST_SAMPLES, compare
from quarterdeck.rollouts.analysis.rates import Decision, Rates, decided, enough_to_pass, in_words, polled
from quarterdeck.rollouts.analysis.verdicts import Judgement, Verdict

SLOW_DIFFERENCE: Final = 0.025  # of the shares of slow requests: as many again as half of the baseline's 5 %
SLOW_RATIO: Final = 1.5  # likewise, where the limit turns out to be another percentile than the 95th
SLOW_TOLERATED: Final = 1.2  # two machines are never quite alike
TIMES_FOR_LIMIT: Final = 100  # of the baseline, of which the 95th percentile is what is slow …
POLLS_FOR_LIMIT: Final = 5  # … in so many polls: one alone may have come in a busy or a quiet moment
KEPT_TIMES: Final = 4000  # a side; then every other one goes
SUSPICIOUS: Final = 10.0  # evidence that does not fail a canary, but lets no sample pass it


class Comparison(msgspec.Struct, frozen=True):
    """What is known of both so far; it begins with ``begun``. ``slow_limit``: seconds, once the baseline has had enough times for one."""

    bad: Rates = Rates()
    slow: Rates = Rates()
    slow_limit: float | None = None
    counted: tuple[int, int, int, int] = (
        0,
        0,
        0,
        0,
    )  # of sources that give requests one by one: requests, bad, of both
    slow_counted: tuple[int, int, int, int] = (0, 0, 0, 0)
    times: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())  # canary, baseline; thinned
    every: tuple[int, int] = (1, 1)  # of the times that come, one in so many is kept
    seen: tuple[int, int] = (0, 0)  # times that came
    timed: int = 0  # polls in which any came of the baseline
    numbers: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())  # of sources that give one number a poll


def begun(dispersion: float = 1.0) -> Comparison:
    """``dispersion``: of the baseline's bad events per poll before the canary, see ``rates.dispersion``."""
    slow = Rates(
        dispersion=dispersion,
        least_difference=SLOW_DIFFERENCE,
        least_ratio=SLOW_RATIO,
        tolerated=SLOW_TOLERATED,
    )
    return Comparison(bad=Rates(dispersion=dispersion), slow=slow)


def compared(comparison: Comparison, canary: Measurement, baseline: Measurement) -> Comparison:
    """With one more poll of both."""
    if canary.counters is not None and baseline.counters is not None:
        comparison = _with_counters(comparison, canary.counters, baseline.counters)
    if canary.times is not None and baseline.times is not None:
        comparison = _with_times(comparison, canary, baseline)
    elif canary.counters is None and canary.value is not None and baseline.value is not None:
        own, other = comparison.numbers
        comparison = msgspec.structs.replace(comparison, numbers=((*own, canary.value), (*other, baseline.value)))
    return comparison


def judged(comparison: Comparison, *, last: bool) -> Judgement:
    """What is known by now. ``last``: nothing more will be measured, so that "not yet" becomes what it is worth."""
    parts = [(comparison.bad, "bad"), (comparison.slow, "slow")]
    counted = [(rates, what) for rates, what in parts if rates.polls]
    words = [in_words(rates, what) for rates, what in counted]
    decisions = [decided(rates) for rates, _ in counted]
    if Decision.FAIL in decisions:
        return Judgement(Verdict.FAILED, words[decisions.index(Decision.FAIL)], final=True)
    passed = bool(decisions) and all(one is Decision.PASS for one in decisions)
    if not last and not passed:
        return Judgement(None, "; ".join(words) or "nothing to compare yet")
    values = comparison.times if any(comparison.seen) else comparison.numbers
    ranked = compare(*values) if any(values) else None
    if ranked is not None:
        words.append(latencies.in_words(ranked, seconds=any(comparison.seen)))
        if ranked.failed:
            return Judgement(Verdict.FAILED, words[-1], final=True)
    if passed:
        return Judgement(Verdict.SUCCESSFUL, "; ".join(words), final=True)
    told = "; ".join(words) or "nothing to compare: the source gave neither counts nor times nor numbers of both"
    return Judgement(Verdict.SUCCESSFUL if _seen_well(comparison, ranked) else Verdict.INCONCLUSIVE, told, final=True)


def _seen_well(comparison: Comparison, ranked: latencies.Compared | None) -> bool:
    """Whether what did not fail was looked at well enough to pass."""
    if max(comparison.bad.evidence, comparison.slow.evidence) >= SUSPICIOUS:
        return False
    counts_all = comparison.bad.polls and not any(comparison.counted)
    if counts_all and decided(comparison.bad) is not Decision.PASS and not enough_to_pass(comparison.bad):
        return False
    if ranked is not None:
        return min(ranked.samples) >= LEAST_SAMPLES
    return bool(counts_all)


def _with_counters(comparison: Comparison, canary: Counters, baseline: Counters) -> Comparison:
    comparison = msgspec.structs.replace(comparison, bad=polled(comparison.bad, canary, baseline))
    if canary.slow is None or baseline.slow is None:
        return comparison
    slow = polled(
        comparison.slow,
        Counters(canary.requests, canary.slow, began=canary.began),
        Counters(baseline.requests, baseline.slow, began=baseline.began),
    )
    return msgspec.structs.replace(comparison, slow=slow)


def _with_times(comparison: Comparison, canary: Measurement, baseline: Measurement) -> Comparison:
    own, other = ([one for one in side.times or () if not math.isnan(one)] for side in (canary, baseline))
    changes: dict[str, object] = {}
    if canary.counters is None or baseline.counters is None:
        # Nobody counts them but we.
        total = _sum(comparison.counted, (len(own) + canary.bad, canary.bad, len(other) + baseline.bad, baseline.bad))
        changes |= {"counted": total, "bad": _polled(comparison.bad, total)}
    limit = comparison.slow_limit
    if limit is not None:
        slow = [sum(one > limit for one in side) for side in (own, other)]
        total = _sum(comparison.slow_counted, (len(own), slow[0], len(other), slow[1]))
        changes |= {"slow_counted": total, "slow": _polled(comparison.slow, total)}
    kept = [
        _kept(times, more, every, seen)
        for times, more, every, seen in zip(
            comparison.times, (own, other), comparison.every, comparison.seen, strict=True
        )
    ]
    timed = comparison.timed + bool(other)
    if limit is None and timed >= POLLS_FOR_LIMIT and len(kept[1][0]) >= TIMES_FOR_LIMIT:
        # From the next poll on: those that it was made of would count for it.
        changes["slow_limit"] = statistics.quantiles(kept[1][0], n=20, method="inclusive")[-1]
    seen = (comparison.seen[0] + len(own), comparison.seen[1] + len(other))
    times, every = (kept[0][0], kept[1][0]), (kept[0][1], kept[1][1])
    return msgspec.structs.replace(comparison, times=times, every=every, seen=seen, timed=timed, **changes)


def _polled(rates: Rates, total: tuple[int, int, int, int]) -> Rates:
    if rates.canary is None:
        # The first poll is no beginning, as it is of counters: all of it came since.
        rates = polled(rates, Counters(0, 0), Counters(0, 0))
    return polled(rates, Counters(total[0], total[1]), Counters(total[2], total[3]))


def _kept(times: tuple[float, ...], more: list[float], every: int, seen: int) -> tuple[tuple[float, ...], int]:
    """Evenly spread over all that came, and never many: those whose number is a multiple of ``every``, which doubles."""
    found = [*times, *(one for at, one in enumerate(more, seen) if at % every == 0)]
    while len(found) > KEPT_TIMES:
        found, every = found[::2], every * 2
    return tuple(found), every


def _sum(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]
