"""Health as a screen shows it: figures of one target, the new release beside the old, made from samples. Pure; no data is never good."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from quarterdeck.history.records import Metric, Sample
from quarterdeck.history.samples import SECOND
from quarterdeck.rollouts.picture import TargetSeen, version_of

WINDOW: Final = 300.0  # seconds
BUCKET: Final = 5.0  # seconds: one value of a series
BUCKETS: Final = int(WINDOW / BUCKET)
LATELY: Final = 60.0  # seconds: what the list of all targets is about
VITALS: Final = (Metric.CPU, Metric.LOAD, Metric.MEMORY, Metric.DISK)

Series = tuple[float | None, ...]
"""One value a bucket, oldest first; None: nothing was measured."""


class Probes(msgspec.Struct, frozen=True):
    """Outcomes of health checks. ``p50`` and ``p95``: seconds of those that passed, None: none did."""

    total: int = 0
    failed: int = 0
    p50: float | None = None
    p95: float | None = None

    @property
    def error_rate(self) -> float | None:
        """Percent; None when nothing was measured."""
        return 100 * self.failed / self.total if self.total else None


class Side(msgspec.Struct, frozen=True):
    """What one release does. ``hosts``: on which it runs now; ``vitals``: the mean of those hosts' newest figures."""

    release: str | None
    version: str | None
    hosts: int
    probes: Probes
    vitals: Mapping[Metric, float] = msgspec.field(default_factory=dict)


class HostFigures(msgspec.Struct, frozen=True):
    """The newest figures of one host. ``latency``: seconds, None: its newest check failed or there was none."""

    host: str
    latency: float | None
    probes: Probes
    vitals: Mapping[Metric, float]
    newest: int = 0  # boot time in nanoseconds, 0: nothing was measured


class TargetHealth(msgspec.Struct, frozen=True):
    """``old`` is None when one release runs everywhere. ``series``: of the new side. ``newest``: boot time (nanoseconds) of the
    newest sample, 0: none. ``last_bucket``: the number of the newest bucket, so that columns stay where they are."""

    target: str
    new: Side
    old: Side | None
    series: Mapping[str, Series]
    hosts: tuple[HostFigures, ...]
    newest: int
    last_bucket: int = 0


class Measures(msgspec.Struct, frozen=True):
    """``chosen``: the target that somebody looks at, ``all``: lately, of every target that was measured."""

    chosen: TargetHealth | None = None
    all: Mapping[str, Probes] = msgspec.field(default_factory=dict)


def target_health(seen: TargetSeen, samples: Sequence[Sample], now: int) -> TargetHealth:
    """Of samples that are not older than ``WINDOW``. ``now``: boot time in nanoseconds."""
    new, old = sides(seen)
    by_host: dict[str, list[Sample]] = {host.host: [] for host in seen.hosts}
    for one in samples:
        if one.host in by_host:
            by_host[one.host].append(one)
    figures = tuple(_host(host, own) for host, own in by_host.items())
    runs = {host.host: host.release for host in seen.hosts}
    checks = [one for one in samples if one.target == seen.target]
    last = now // int(BUCKET * SECOND) - 1  # the newest whole one
    return TargetHealth(
        seen.target,
        _side(new, checks, figures, runs),
        _side(old, checks, figures, runs) if old is not None else None,
        _series(new, checks, samples, runs, last),
        figures,
        max((one.newest for one in figures), default=0),
        last,
    )


def sides(seen: TargetSeen) -> tuple[str | None, str | None]:
    """The releases to be compared: where a rollout leads and where it comes from, or what should run and what else does."""
    running = [host.release for host in seen.hosts if host.release is not None]
    if seen.moving is not None and seen.moving.rollout.to_release is not None:
        to, before = seen.moving.rollout.to_release, seen.moving.rollout.from_release
        return to, before if before != to else None
    new = seen.release if seen.release in running or not running else max(set(running), key=running.count)
    others = [release for release in running if release != new]
    return new, max(sorted(set(others)), key=others.count) if others else None


def probes_of(samples: Iterable[Sample]) -> Probes:
    passed, failed = [], 0
    for one in samples:
        if one.metric == Metric.LATENCY:
            passed.append(one.value)
        elif one.metric == Metric.FAILURE:
            failed += 1
    passed.sort()
    return Probes(len(passed) + failed, failed, percentile(passed, 50), percentile(passed, 95))


def all_probes(samples: Iterable[Sample]) -> Mapping[str, Probes]:
    """By target."""
    found: dict[str, list[Sample]] = {}
    for one in samples:
        found.setdefault(one.target, []).append(one)
    return {target: probes_of(own) for target, own in found.items()}


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """By nearest rank; None of nothing."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def _side(
    release: str | None, checks: Iterable[Sample], figures: Iterable[HostFigures], runs: Mapping[str, str | None]
) -> Side:
    here = [one for one in figures if runs.get(one.host) == release and release is not None]
    vitals = {}
    for metric in VITALS:
        values = [one.vitals[metric] for one in here if metric in one.vitals]
        if values:
            vitals[metric] = sum(values) / len(values)
    own = probes_of(one for one in checks if one.release == release)
    return Side(release, version_of(release), len(here), own, vitals)


def _host(host: str, samples: Sequence[Sample]) -> HostFigures:
    vitals = {Metric(one.metric): one.value for one in samples if not one.target}
    checks = [one for one in samples if one.target]
    last = checks[-1] if checks else None
    return HostFigures(
        host,
        last.value if last is not None and last.metric == Metric.LATENCY else None,
        probes_of(checks),
        vitals,
        max((one.boottime for one in samples), default=0),
    )


def _series(
    release: str | None,
    checks: Iterable[Sample],
    samples: Iterable[Sample],
    runs: Mapping[str, str | None],
    last: int,
) -> Mapping[str, Series]:
    """error (percent), p50 and p95 (seconds), and the vitals' means."""
    first = last - BUCKETS + 1
    outcomes: list[list[Sample]] = [[] for _ in range(BUCKETS)]
    vitals: dict[Metric, list[list[float]]] = {metric: [[] for _ in range(BUCKETS)] for metric in VITALS}
    for one in checks:
        at = one.boottime // int(BUCKET * SECOND) - first
        if one.release == release and 0 <= at < BUCKETS:
            outcomes[at].append(one)
    for one in samples:
        at = one.boottime // int(BUCKET * SECOND) - first
        if not one.target and runs.get(one.host) == release and 0 <= at < BUCKETS:
            vitals[Metric(one.metric)][at].append(one.value)
    probes = [probes_of(own) for own in outcomes]
    found: dict[str, Series] = {
        "error": tuple(one.error_rate for one in probes),
        "p50": tuple(one.p50 for one in probes),
        "p95": tuple(one.p95 for one in probes),
    }
    for metric, buckets in vitals.items():
        found[str(metric)] = tuple(sum(own) / len(own) if own else None for own in buckets)
    return found
