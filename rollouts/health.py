"""Health as a screen shows it: figures of one target, the new release beside the old, made from samples. Pure; no data is never good."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from quarterdeck.history.records import Metric, Sample
from quarterdeck.history.samples import SECOND
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.version_words import version_of

WINDOW: Final = 300.0  # seconds
BUCKET: Final = 5.0  # seconds: one value of a series
BUCKETS: Final = int(WINDOW / BUCKET)
LATELY: Final = 60.0  # seconds: what the list of all targets is about, and what is now of a container's figures
VITALS: Final = (Metric.CPU, Metric.LOAD, Metric.MEMORY, Metric.DISK)
CHECKS: Final = frozenset({Metric.LATENCY, Metric.FAILURE})
DRAWN: Final = (Metric.CONTAINER_CPU, Metric.CONTAINER_MEMORY)
SUMMED: Final = (Metric.CONTAINER_RESTARTS, Metric.CONTAINER_OUT_OF_MEMORY)

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
    """What one release does. ``hosts``: on which it runs now; ``vitals``: the mean of those hosts' newest figures; ``own``: what its
    containers use, their mean too, restarts and kills added up."""

    release: str | None
    version: str | None
    hosts: int
    probes: Probes
    vitals: Mapping[Metric, float] = msgspec.field(default_factory=dict)
    own: Mapping[Metric, float] = msgspec.field(default_factory=dict)


class HostFigures(msgspec.Struct, frozen=True):
    """The newest figures of one host. ``latency``: seconds, None: its newest check failed or there was none."""

    host: str
    latency: float | None
    probes: Probes
    vitals: Mapping[Metric, float]
    newest: int = 0  # boot time in nanoseconds, 0: nothing was measured


class ContainerSeen(msgspec.Struct, frozen=True):
    """A container as it was measured last on its host. ``figures``: what was not measured then is not there; ``newest`` as above;
    ``series``: of its share of the processor and of its memory."""

    host: str
    release: str | None
    figures: Mapping[Metric, float]
    newest: int
    series: Mapping[Metric, Series]


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
    containers: tuple[ContainerSeen, ...] = ()


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
    checks = [one for one in samples if one.target == seen.target and one.metric in CHECKS]
    last = now // int(BUCKET * SECOND) - 1  # the newest whole one
    containers = containers_of(seen.target, samples, last)
    fresh = [one for one in containers if now - one.newest <= LATELY * SECOND]  # what was once used is no figure of now
    return TargetHealth(
        seen.target,
        _side(new, checks, figures, runs, fresh),
        _side(old, checks, figures, runs, fresh) if old is not None else None,
        {**_series(new, checks, samples, runs, last), **_own_series(new, containers)},
        figures,
        max((one.newest for one in figures), default=0),
        last,
        containers,
    )


def containers_of(target: str, samples: Iterable[Sample], last: int) -> tuple[ContainerSeen, ...]:
    """By host, those of each that were measured there together, last of all: what was not among them does not run any more. ``last``: the
    newest bucket."""
    by_host: dict[str, list[Sample]] = {}
    for one in samples:
        if one.target == target and one.metric not in CHECKS:
            by_host.setdefault(one.host, []).append(one)
    found = []
    for host, own in sorted(by_host.items()):
        newest = max(one.boottime for one in own)
        figures: dict[str | None, dict[Metric, float]] = {}
        for one in own:
            if one.boottime == newest:
                figures.setdefault(one.release, {})[Metric(one.metric)] = one.value
        for release, measured in figures.items():
            mine = [one for one in own if one.release == release]
            series = {metric: _buckets(mine, metric, last) for metric in DRAWN}
            found.append(ContainerSeen(host, release, measured, newest, series))
    return tuple(found)


def _buckets(samples: Iterable[Sample], metric: Metric, last: int) -> Series:
    first = last - BUCKETS + 1
    found: list[list[float]] = [[] for _ in range(BUCKETS)]
    for one in samples:
        at = one.boottime // int(BUCKET * SECOND) - first
        if one.metric == metric and 0 <= at < BUCKETS:
            found[at].append(one.value)
    return tuple(sum(own) / len(own) if own else None for own in found)


def _own_series(release: str | None, containers: Iterable[ContainerSeen]) -> Mapping[str, Series]:
    """The mean of the containers of ``release``."""
    here = [one for one in containers if one.release == release and release is not None]
    found: dict[str, Series] = {}
    for metric in DRAWN:
        together = zip(*(one.series[metric] for one in here), strict=True)
        known = [[value for value in column if value is not None] for column in together]
        found[str(metric)] = tuple(sum(values) / len(values) if values else None for values in known)
    return found


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
    release: str | None,
    checks: Iterable[Sample],
    figures: Iterable[HostFigures],
    runs: Mapping[str, str | None],
    containers: Iterable[ContainerSeen],
) -> Side:
    here = [one for one in figures if runs.get(one.host) == release and release is not None]
    vitals = _means([one.vitals for one in here])
    boxes = [one.figures for one in containers if one.release == release and release is not None]
    own = _means(boxes) | {
        metric: sum(one.get(metric, 0.0) for one in boxes) for metric in SUMMED if any(metric in one for one in boxes)
    }
    probes = probes_of(one for one in checks if one.release == release)
    return Side(release, version_of(release), len(here), probes, vitals, own)


def _means(figures: Sequence[Mapping[Metric, float]]) -> dict[Metric, float]:
    found: dict[Metric, list[float]] = {}
    for one in figures:
        for metric, value in one.items():
            found.setdefault(metric, []).append(value)
    return {metric: sum(values) / len(values) for metric, values in found.items()}


def _host(host: str, samples: Sequence[Sample]) -> HostFigures:
    vitals = {Metric(one.metric): one.value for one in samples if not one.target}
    checks = [one for one in samples if one.target and one.metric in CHECKS]
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
