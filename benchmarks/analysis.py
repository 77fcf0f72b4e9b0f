"""How often an analysis is wrong: thousands of simulated canaries, of a release beside itself and of bad ones beside a good one, judged
by the very state machine that judges real ones. ``python -m benchmarks.analysis [--runs N] [--seed N] [--write docs/analysis.md]``.

It measures verdicts, no time; whatever is drawn comes from the seed.
"""

import argparse
import math
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quarterdeck.backends.metrics.contract import Counters, Measurement
from quarterdeck.config.analyses import Analysis, CommandMetric, Compare, Metric
from quarterdeck.rollouts.analysis.course import Course, Ended, begin, step, taken
from quarterdeck.rollouts.analysis.rates import dispersion_between
from quarterdeck.rollouts.analysis.samples import Sample
from quarterdeck.rollouts.analysis.verdicts import Verdict

POLLS = 30  # and one at the beginning, from which counting begins
BEFORE = 60  # polls of the stable release alone, of which the dispersion is made
SERVERS = 4  # that it has
INTERVAL = 10.0
OUTAGE = 0.3  # of all requests fail in it
TYPICAL = 0.1  # seconds that a request takes, in the median
SPREAD = 0.5  # of the logarithms
SIGNIFICANT = 2.326  # standard deviations of a one-sided z-test whose false alarms are said to be one in a hundred
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class World:
    """What is simulated. ``requests`` of the canary and of the baseline come in a poll; ``errors`` are shares of them."""

    name: str
    requests: tuple[int, int]
    errors: tuple[float, float] = (0.0, 0.0)
    burst: int = 1  # so many errors come together, and hit one side together
    outages: float = 0.0  # share of the polls in which everything fails on both
    slower: float = 1.0
    times: int = 0  # single requests of each side whose times are known, of a poll; 0: errors are counted only
    probes: bool = False  # nothing but ``times`` is known

    @property
    def bad(self) -> bool:
        return self.errors[0] > self.errors[1] or self.slower > 1.1


@dataclass(frozen=True)
class Found:
    """Of all runs of a world. ``polls``: in the median, until a verdict. ``peeking``: share in which a z-test after every poll would have
    failed the canary; None: nothing was counted."""

    world: World
    runs: int
    verdicts: Counter[Verdict]
    polls: float
    peeking: float | None

    def share(self, verdict: Verdict) -> float:
        return self.verdicts[verdict] / self.runs


def same(
    requests: tuple[int, int],
    errors: float,
    name: str = "the same",
    *,
    burst: int = 1,
    outages: float = 0.0,
    slower: float = 1.0,
    times: int = 0,
    probes: bool = False,
) -> World:
    """A release that is as good as the one beside it."""
    return World(name, requests, (errors, errors), burst, outages, slower, times, probes)


LEVELS = ((5, 95), (50, 950), (500, 9500), (500, 500))
SAME = (
    *(same(requests, errors) for requests in LEVELS for errors in (0.001, 0.01, 0.05)),
    same((50, 950), 0.0),
    *(same(requests, 0.01, "the same, errors in bursts of 8", burst=8) for requests in LEVELS[1:]),
    *(same(requests, 0.01, "the same, outages of both", outages=0.1) for requests in LEVELS[1:]),
    same((50, 950), 0.01, "the same, with times", times=40),
    same((50, 950), 0.01, "the same, with times and outages", times=40, outages=0.1),
    same((500, 500), 0.01, "5 % slower, which is allowed", times=100, slower=1.05),
    same((1, 1), 0.0, "the same, probes only", times=1, probes=True),
)
BAD = (
    *(World("5 % errors", requests, (0.05, 0.005)) for requests in LEVELS),
    World("5 % errors, where 1 % come in bursts of 8", (50, 950), (0.05, 0.01), burst=8),
    World("5 % errors, and outages of both", (50, 950), (0.05, 0.005), outages=0.1),
    World("2 % errors", (50, 950), (0.02, 0.005)),
    World("2 % errors", (500, 9500), (0.02, 0.005)),
    *(World("30 % slower", (each, 19 * each), (0.001, 0.001), slower=1.3, times=each) for each in (5, 20, 50)),
    World("30 % slower, with outages of both", (50, 950), (0.01, 0.01), slower=1.3, times=50, outages=0.1),
    World("twice as slow, probes only", (1, 1), slower=2.0, times=1, probes=True),
)


def run(world: World, draw: random.Random) -> tuple[Verdict, int, bool]:
    """One canary: the verdict, the polls until then, and whether a z-test after every poll would have failed it."""
    metric = Metric("golden", CommandMetric("true"), interval=INTERVAL, count=POLLS + 1, compare=Compare.BASELINE)
    before = [_stable(world, draw) for _ in range(BEFORE)]
    course = begin(Analysis("simulated", (metric,)), 0.0, dispersion=dispersion_between(before))
    total = [0, 0, 0, 0]
    alarmed = False
    polls, ended = 0, _ended(course, 0.0)
    while ended is None:
        at = INTERVAL * polls
        if polls and not world.probes:
            (requests_c, bad_c), (requests_b, bad_b) = _poll(world, draw)
            total = [old + new for old, new in zip(total, (requests_c, bad_c, requests_b, bad_b), strict=True)]
            alarmed = alarmed or _significant(total)
        canary, baseline = _measured(world, draw, total)
        course = taken(course, [Sample(metric.name, at, canary, baseline)])
        polls, ended = polls + 1, _ended(course, at)
    while polls <= POLLS and not alarmed and not world.probes:  # who peeks goes on
        (requests_c, bad_c), (requests_b, bad_b) = _poll(world, draw)
        total = [old + new for old, new in zip(total, (requests_c, bad_c, requests_b, bad_b), strict=True)]
        alarmed, polls = _significant(total), polls + 1
    return ended.verdict, course.metrics[metric.name].measured - 1, alarmed


def _ended(course: Course, now: float) -> Ended | None:
    found = step(course, now)
    return found if isinstance(found, Ended) else None


def _stable(world: World, draw: random.Random) -> list[tuple[int, int]]:
    """Requests and bad events of each server, before there is a canary."""
    out = bool(world.outages) and draw.random() < world.outages
    share = max(OUTAGE, world.errors[1]) if out else world.errors[1]
    size = 1 if out else world.burst
    each = sum(world.requests) // SERVERS
    return [(each, size * _binomial(draw, each, share / size)) for _ in range(SERVERS)]


def _poll(world: World, draw: random.Random) -> tuple[tuple[int, int], tuple[int, int]]:
    """Requests and bad events of the canary and of the baseline."""
    requests = [_about(draw, one) for one in world.requests]
    errors, size = world.errors, world.burst
    if world.outages and draw.random() < world.outages:
        errors, size = (max(OUTAGE, errors[0]), max(OUTAGE, errors[1])), 1
    # What both have comes in bursts that one client has; what the canary has on top of it comes one by one.
    bad = [size * _binomial(draw, one, min(errors) / size) for one in requests]
    own = _binomial(draw, requests[0], errors[0] - min(errors))
    return (requests[0], bad[0] + own), (requests[1], bad[1])


def _measured(world: World, draw: random.Random, total: Sequence[int]) -> tuple[Measurement, Measurement]:
    """``total``: requests and bad events of the canary, then of the baseline, since the beginning."""
    both = math.exp(draw.gauss(0, 0.2))  # a busy time is busy for both

    def times(slower: float) -> tuple[float, ...] | None:
        if not world.times:
            return None
        return tuple(
            draw.lognormvariate(math.log(TYPICAL), SPREAD) * both * slower for _ in range(_about(draw, world.times))
        )

    counted = [None, None] if world.probes else [Counters(total[0], total[1]), Counters(total[2], total[3])]
    return Measurement(times=times(world.slower), counters=counted[0]), Measurement(
        times=times(1.0), counters=counted[1]
    )


def _about(draw: random.Random, mean: int) -> int:
    """A number of requests, which is never quite the same; single ones are."""
    return mean if mean < 5 else max(1, round(draw.gauss(mean, math.sqrt(mean))))


def _binomial(draw: random.Random, count: int, chance: float) -> int:
    if chance <= 0 or count <= 0:
        return 0
    if count * chance > 50 and count * (1 - chance) > 50:
        return min(count, max(0, round(draw.gauss(count * chance, math.sqrt(count * chance * (1 - chance))))))
    found, at = 0, 0
    while (at := at + 1 + int(math.log(1 - draw.random()) / math.log(1 - chance))) <= count:
        found += 1
    return found


def _significant(total: Sequence[int]) -> bool:
    """What a two-proportion z-test says of the canary being worse."""
    requests_c, bad_c, requests_b, bad_b = total
    pooled = (bad_c + bad_b) / (requests_c + requests_b)
    deviation = math.sqrt(pooled * max(0.0, 1 - pooled) * (1 / requests_c + 1 / requests_b))
    return deviation > 0 and (bad_c / requests_c - bad_b / requests_b) / deviation > SIGNIFICANT


def simulate(world: World, runs: int, seed: int) -> Found:
    verdicts: Counter[Verdict] = Counter()
    polls, alarms = [], 0
    for number in range(runs):
        verdict, took, alarmed = run(world, random.Random(f"{seed} {number} {world}"))
        verdicts[verdict] += 1
        polls.append(took)
        alarms += alarmed
    return Found(world, runs, verdicts, statistics.median(polls), None if world.probes else alarms / runs)


def table(found: Sequence[Found]) -> Iterator[str]:
    """Rows of Markdown."""
    head = ("canary", "requests a poll", "errors", "taken back", "paused", "passed", "polls", "z-test at every poll")
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for one in found:
        world = one.world
        told = f"{world.requests[0]} + {world.requests[1]}"
        if world.times and not world.probes:
            told += f", {world.times} times each"
        row = (
            world.name,
            "1 probe each" if world.probes else told,
            f"{world.errors[1]:.1%}",
            f"**{one.share(Verdict.FAILED):.1%}**",
            f"{one.share(Verdict.INCONCLUSIVE):.1%}",
            f"{one.share(Verdict.SUCCESSFUL):.1%}",
            f"{one.polls:.0f}",
            "" if one.peeking is None else f"{one.peeking:.1%}",
        )
        yield "| " + " | ".join(row) + " |"


def text(found: Sequence[Found], runs: int, seed: int) -> str:
    good, bad = ([one for one in found if one.world.bad is wanted] for wanted in (False, True))
    lines = [
        f"{runs} runs each of {POLLS} polls, seed {seed}.",
        "",
        "A release that is as good as the one beside it:",
        "",
    ]
    lines += [*table(good), "", "A bad release:", "", *table(bad)]
    total = sum(one.runs for one in good)
    alarms = sum(one.verdicts[Verdict.FAILED] for one in good)
    lines += ["", f"False alarms in all: {alarms} of {total} runs ({alarms / total:.2%})."]
    return "\n".join(lines)


def write_into(page: Path, figures: str) -> None:
    """Puts the text between the page's two marks. Raises ``ValueError`` where they are missing."""
    whole = page.read_text()
    begin_at, end_at = whole.index(BEGIN) + len(BEGIN), whole.index(END)
    page.write_text(f"{whole[:begin_at]}\n{figures}\n{whole[end_at:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="a page with the two marks, into which the tables go")
    chosen = parser.parse_args()
    found = []
    for world in (*SAME, *BAD):
        found.append(simulate(world, max(1, chosen.runs), chosen.seed))
        print(f"{world.name}, {world.requests}: {dict(found[-1].verdicts)}", flush=True)
    figures = text(found, max(1, chosen.runs), chosen.seed)
    print(f"\n{figures}")
    if chosen.write:
        write_into(chosen.write, figures)


if __name__ == "__main__":
    main()
