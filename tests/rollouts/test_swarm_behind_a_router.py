"""Blue/green and canaries on a real Swarm behind a real HAProxy: each release is a service of its own, the router leads from one to the
other, and no request fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.records import RolloutState
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import Client, load, more
from tests.docker_fleet import HEALTH as SHOWN
from tests.driver import TARGET
from tests.rollouts.routed_docks import haproxy_for_versions, two_free_ports
from tests.rollouts.routed_field import BREATH, written
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in
from tests.trust.recording import Promises

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(400)]


class Pier:
    """The Swarm behind a router. Its kernel may have no ingress, so there is one task of each release, on a port of its node."""

    def __init__(self, harbour: SwarmFleet, router: RunningHaproxy) -> None:
        self.harbour = harbour
        self.router = router

    async def do(self, *arguments: str, status: int = 0) -> str:
        return (await asyncio.to_thread(self.harbour.qd, *arguments, status=status)).stdout

    async def versions(self) -> Counter[str]:
        return Counter(await asyncio.to_thread(self.harbour.versions))

    async def begin(self, version: str) -> int:
        return await asyncio.to_thread(self.harbour.begin, "deploy", version)

    async def in_state(self, rollout: int, state: RolloutState) -> None:
        await asyncio.to_thread(self.harbour.in_state, rollout, state, 60.0)

    async def answers(self, count: int = 10) -> Counter[str]:
        client = Client(self.router.port)
        found = Counter([(await client.get("/version")).strip() for _ in range(count)])
        client.close()
        return found


@pytest.fixture
async def pier(swarm: Swarm, tmp_path: Path) -> AsyncIterator[Pier]:
    router = haproxy_for_versions()
    port = two_free_ports()
    ports: dict[str, Any] = {"target": 8080, "published": f"{port}-{port + 1}", "mode": "host"}
    try:
        await router.start()
        with swarm_fleet_in(
            tmp_path,
            swarm,
            container={"ports": [ports]},
            placed={"replicas": 1},
            top={"routers": {"edge": written(router.router)}},
            service={"router": {"use": "edge/api", "drain": "2s", "check": "/version"}, "health": SHOWN},
        ) as harbour:
            yield Pier(harbour, router)
    finally:
        await router.close()


@pytest.mark.trust(25)
async def test_blue_green_goes_back_by_one_change_of_the_router(pier: Pier, promise: Promises) -> None:
    """Promise 25."""
    pier.harbour.write(strategy={"blue_green": {"auto_promote": False, "scale_down_delay": "1h"}})
    await pier.do("deploy", TARGET, "1", "--wait")
    rollout = await pier.begin("2")
    await pier.in_state(rollout, RolloutState.PAUSED)
    assert await pier.versions() == Counter({"1": 1, "2": 1})
    assert set(await pier.answers()) == {"1"}
    async with load(pier.router.port, path="/version", pause=BREATH) as counted:
        await more(counted, 20, "1")
        await pier.do("promote", str(rollout), "--detach")
        await pier.in_state(rollout, RolloutState.BAKING)
        await more(counted, 50, "2")
        assert await pier.versions() == Counter({"1": 1, "2": 1})
        await pier.do("rollback", TARGET, "--yes", "--wait")
        await more(counted, 50, "1")
    requests(counted, promise)
    assert set(counted) == {"1", "2"}, counted
    assert pier.harbour.running() == ["1"]


def requests(counted: Counter[str], promise: Promises) -> None:
    promise(25).count("requests", counted.total())
    promise(25).none("failed", sum(number for words, number in counted.items() if words not in ("1", "2", "3")))


@pytest.mark.trust(25)
async def test_a_canary_takes_a_share_of_the_requests_and_goes_back_or_on(pier: Pier, promise: Promises) -> None:
    """Promise 25, and that an abort leads back at once."""
    pier.harbour.write(strategy={"canary": {"steps": [{"set_weight": 25}, {"pause": {}}]}})
    await pier.do("deploy", TARGET, "1", "--wait")
    rollout = await pier.begin("2")
    await pier.in_state(rollout, RolloutState.PAUSED)
    found = await pier.answers(400)
    assert set(found) == {"1", "2"}
    assert 60 <= found["2"] <= 140, "a quarter, by chance"
    await pier.do("abort", str(rollout), "--wait", status=3)
    assert pier.harbour.running() == ["1"]
    assert set(await pier.answers()) == {"1"}
    async with load(pier.router.port, path="/version", pause=BREATH) as counted:
        rollout = await pier.begin("3")
        await pier.in_state(rollout, RolloutState.PAUSED)
        await pier.do("promote", str(rollout), "--wait")
        await more(counted, 20, "3")
    requests(counted, promise)
    assert set(counted) == {"1", "3"}, counted
    assert pier.harbour.running() == ["3"]
