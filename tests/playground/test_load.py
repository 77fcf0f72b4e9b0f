"""Traffic for a target: counted, told apart by what failed, bounded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from quarterdeck.backends.playground import Playground, PlaygroundError, bad_versions
from quarterdeck.backends.playground.load import LoadReport, load
from tests.playground.by_hand import ServiceByHand, connected

pytestmark = pytest.mark.timeout(240)


@asynccontextmanager
async def serving(playground: Playground, host: str, service: str, version: str) -> AsyncIterator[ServiceByHand]:
    by_hand = ServiceByHand(playground, host, service, f"load-{version}")
    async with connected(playground, host) as connection:
        await by_hand.unpack(connection, version)
        await by_hand.run(connection, version, "start")
        try:
            yield by_hand
        finally:
            await by_hand.run(connection, version, "stop")


async def test_a_healthy_service_answers_everything(playground: Playground) -> None:
    seen: list[LoadReport] = []
    async with serving(playground, "stg-1", "web", "v1"), serving(playground, "stg-2", "web", "v2"):
        report = await load(playground.directory, "staging/web", seconds=1.3, rate=50, progress=seen.append)
    assert report.requests == 65
    assert (report.failed, report.failures, report.failed_hosts) == (0, {}, {})
    assert report.versions == {"v1": 33, "v2": 32}  # the hosts in turn
    assert report.p50 is not None
    assert report.p95 is not None
    assert report.p99 is not None
    assert report.slowest is not None
    assert 0 < report.p50 <= report.p95 <= report.p99 <= report.slowest
    assert report.seconds >= 1.2
    assert seen
    assert 0 < seen[0].requests <= report.requests


async def test_failures_are_told_apart(playground: Playground) -> None:
    bad = bad_versions().under_traffic
    async with serving(playground, "stg-1", "web", bad):  # and nobody listens on stg-2
        report = await load(playground.directory, "staging/web", seconds=0.8, rate=200)
    assert report.requests == 160
    assert report.failures == {"refused": 80, "http 500": 8}  # of 80, the first 40 are well, then each fifth fails
    assert report.failed == 88
    assert report.failed_hosts == {"stg-1": 8, "stg-2": 80}
    assert report.versions == {bad: 80}


@pytest.mark.parametrize("target", ["staging", "staging/none", "none/web", ""])
async def test_an_unknown_target_is_refused_with_the_known_ones(playground: Playground, target: str) -> None:
    with pytest.raises(PlaygroundError, match="staging/web"):
        await load(playground.directory, target, seconds=1, rate=1)


@pytest.mark.parametrize(
    ("seconds", "rate"), [(1, 0), (1, -1), (0, 10), (1e9, 10), (1, 1e9), (float("nan"), 1), (1, float("nan"))]
)
async def test_it_is_bounded(playground: Playground, seconds: float, rate: float) -> None:
    with pytest.raises(PlaygroundError, match="rate"):
        await load(playground.directory, "dev/web", seconds=seconds, rate=rate)
