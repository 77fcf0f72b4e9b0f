"""Promise 25 with both releases beside each other on a real engine, behind a real HAProxy: blue/green, and a canary beside."""


import asyncio
import contextlib
import json
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quarterdeck.backends.routers.contract import FULL, Slot
from quarterdeck.history.records import RolloutState
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import Client, load, more
from tests.docker_fleet import DockerField
from tests.driver import TARGET
from tests.rollouts.routed_field import written

pytestmark = [pytest.mark.trust, pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]

UNTIL_PROMOTED: dict[str, Any] = {"pause": {}}


def two_free_ports() -> int:
    """The first of two that were free a moment ago, below those that the kernel gives to clients."""
    while True:
        port = random.randrange(16_000, 30_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
            for one in (port, port + 1):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", one))
            return port


class Edge:
    """A field with one engine behind a router."""

    def __init__(self, docks: DockerField, router: RunningHaproxy) -> None:
        docks.engines = docks.engines[:1]
        self.docks = docks
        self.router = router
        port = two_free_ports()
        docks.container = {"ports": [f"127.0.0.1:{port}-{port + 1}:8080"]}

    def write(self, **service: Any) -> None:
        self.docks.write(router={"use": "edge/api", "drain": "2s", "check": "/version"}, **service)
        body = json.loads(self.docks.file.read_text())
        body["routers"] = {"edge": written(self.router.router)}
        self.docks.file.write_text(json.dumps(body))

    async def do(self, *arguments: str, status: int = 0) -> str:
        return (await asyncio.to_thread(self.docks.qd, *arguments, status=status)).stdout

    async def begin(self, version: str) -> int:
        return await asyncio.to_thread(self.docks.begin, "deploy", version)

    async def in_state(self, rollout: int, state: RolloutState) -> None:
        await asyncio.to_thread(self.docks.in_state, rollout, state)

    async def ended(self, rollout: int) -> RolloutState:
        return (await asyncio.to_thread(self.docks.ended, rollout)).state

    def versions(self) -> Counter[str]:
        """Of the containers that run."""
        (engine,) = self.docks.engines
        return Counter(
            one["Labels"]["app.version"] for one in self.docks.containers(engine) if one["State"] == "running"
        )

    async def answers(self, count: int = 10) -> Counter[str]:
        client = Client(self.router.port)
        found = Counter([(await client.get("/version")).strip() for _ in range(count)])
        client.close()
        return found


@pytest.fixture
async def edge(docks: DockerField) -> AsyncIterator[Edge]:
    router = RunningHaproxy()
    router.configuration.write_text(router.configuration.read_text().replace("GET /health", "GET /version"))
    try:
        await router.start()
        yield Edge(docks, router)
    finally:
        await router.close()


async def test_blue_green_goes_back_by_one_change_of_the_router(edge: Edge) -> None:
    edge.write(strategy={"blue_green": {"auto_promote": False, "scale_down_delay": "1h"}})
    await edge.do("deploy", TARGET, "1", "--wait")
    rollout = await edge.begin("2")
    await edge.in_state(rollout, RolloutState.PAUSED)
    assert edge.versions() == Counter({"1": 1, "2": 1})
    assert set(await edge.answers()) == {"1"}
    async with load(edge.router.port, path="/version") as counted:
        await more(counted, 20, "1")
        await edge.do("promote", str(rollout), "--detach")
        await edge.in_state(rollout, RolloutState.BAKING)
        await more(counted, 50, "2")
        assert edge.versions() == Counter({"1": 1, "2": 1})
        await edge.do("rollback", TARGET, "--yes", "--wait")
        await more(counted, 50, "1")
    assert set(counted) == {"1", "2"}, counted
    assert edge.docks.running() == ["1"]
    with edge.docks.journal(read_only=True) as journal:
        back = max(one.id for one in journal.rollouts(TARGET))
        order = [(step.action, step.body.get("percent")) for step in journal.steps(back)]
        assert order[0] == ("share", 100.0), order


async def test_blue_green_to_its_end(edge: Edge) -> None:
    edge.write(strategy={"blue_green": {"scale_down_delay": "1s"}})
    await edge.do("deploy", TARGET, "1", "--wait")
    async with load(edge.router.port, path="/version") as counted:
        await more(counted, 20, "1")
        await edge.do("deploy", TARGET, "2", "--wait")
        await more(counted, 20, "2")
    assert set(counted) == {"1", "2"}, counted
    assert edge.docks.running() == ["2"]
    state = await edge.router.connect().read()
    (serving,) = [slot for slot in Slot if state.slots[slot].servers]
    assert state.share_of(serving) == FULL
    assert state.slots[serving.other].release == ""


async def test_a_canary_of_one_host_takes_a_share_of_the_requests(edge: Edge) -> None:
    edge.write(strategy={"canary": {"steps": [{"set_weight": 25}, UNTIL_PROMOTED]}})
    await edge.do("deploy", TARGET, "1", "--wait")
    rollout = await edge.begin("2")
    await edge.in_state(rollout, RolloutState.PAUSED)
    found = await edge.answers(400)
    assert set(found) == {"1", "2"}
    assert 60 <= found["2"] <= 140, "a quarter, by chance"
    await edge.do("abort", str(rollout), "--wait", status=3)
    assert edge.docks.running() == ["1"]
    assert set(await edge.answers()) == {"1"}


async def test_a_killed_worker_leaves_both_running_and_the_next_one_goes_on(edge: Edge) -> None:
    edge.write(strategy={"blue_green": {"auto_promote": False, "scale_down_delay": "1s"}})
    await edge.do("deploy", TARGET, "1", "--wait")
    rollout = await edge.begin("2")
    await edge.in_state(rollout, RolloutState.PAUSED)
    edge.docks.kill_worker(rollout)
    await edge.do("promote", str(rollout), "--wait")
    assert edge.docks.running() == ["2"]
    assert set(await edge.answers()) == {"2"}
