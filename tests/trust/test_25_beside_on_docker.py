"""Promise 25 with both releases beside each other on a real engine, behind a real HAProxy: blue/green, and a canary beside.

Seen to fail with a rollback that does not begin with the router: by the order of its steps, not by a request.
"""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quarterdeck.backends.routers.contract import FULL, Slot
from quarterdeck.history.records import RolloutState
from tests.backends.routers.service import load, more
from tests.docker_fleet import DockerField
from tests.driver import TARGET
from tests.rollouts.routed_docks import Edge, haproxy_for_versions
from tests.rollouts.routed_field import BREATH
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(25), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]

UNTIL_PROMOTED: dict[str, Any] = {"pause": {}}


@pytest.fixture
async def edge(docks: DockerField) -> AsyncIterator[Edge]:
    router = haproxy_for_versions()
    try:
        await router.start()
        yield Edge(docks, router)
    finally:
        await router.close()


async def test_blue_green_goes_back_by_one_change_of_the_router(edge: Edge, promise: Promises) -> None:
    edge.write(strategy={"blue_green": {"auto_promote": False, "scale_down_delay": "1h"}})
    await edge.do("deploy", TARGET, "1", "--wait")
    rollout = await edge.begin("2")
    await edge.in_state(rollout, RolloutState.PAUSED)
    assert edge.versions() == Counter({"1": 1, "2": 1})
    assert set(await edge.answers()) == {"1"}
    async with load(edge.router.port, path="/version", pause=BREATH) as counted:
        await more(counted, 20, "1")
        await edge.do("promote", str(rollout), "--detach")
        await edge.in_state(rollout, RolloutState.BAKING)
        await more(counted, 50, "2")
        assert edge.versions() == Counter({"1": 1, "2": 1})
        await edge.do("rollback", TARGET, "--yes", "--wait")
        await more(counted, 50, "1")
    promise(25).count("requests", counted.total())
    promise(25).none("failed", sum(number for words, number in counted.items() if words not in ("1", "2")))
    assert set(counted) == {"1", "2"}, counted
    assert edge.docks.running() == ["1"]
    with edge.docks.journal(read_only=True) as journal:
        back = max(one.id for one in journal.rollouts(TARGET))
        order = [(step.action, step.body.get("percent")) for step in journal.steps(back)]
        assert order[0] == ("share", 100.0), order


async def test_blue_green_to_its_end(edge: Edge, promise: Promises) -> None:
    edge.write(strategy={"blue_green": {"scale_down_delay": "1s"}})
    await edge.do("deploy", TARGET, "1", "--wait")
    async with load(edge.router.port, path="/version", pause=BREATH) as counted:
        await more(counted, 20, "1")
        await edge.do("deploy", TARGET, "2", "--wait")
        await more(counted, 20, "2")
    promise(25).count("requests", counted.total())
    promise(25).none("failed", sum(number for words, number in counted.items() if words not in ("1", "2")))
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
