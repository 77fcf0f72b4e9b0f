"""Blue/green and canaries on a real Swarm behind a real HAProxy: each release is a service of its own, the router leads from one to the
other, and no request fails.

Seen to fail where only servers at one address leave the router: one of the release that was stopped, on another node, stays there.
"""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.routers.contract import Server, Slot
from quarterdeck.history.records import RolloutState
from tests.backends.routers.service import load, more
from tests.driver import TARGET
from tests.rollouts.routed_field import BREATH
from tests.rollouts.routed_swarm import TASKS, Pier, pier_in
from tests.swarm import Swarm
from tests.trust.recording import Promises

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
BOTH = Counter({"1": TASKS, "2": TASKS})


@pytest.fixture
async def pier(swarm: Swarm, tmp_path: Path) -> AsyncIterator[Pier]:
    async with pier_in(tmp_path, swarm) as made:
        yield made


@pytest.mark.trust(25)
async def test_blue_green_goes_back_by_one_change_of_the_router(pier: Pier, promise: Promises) -> None:
    """Promise 25."""
    pier.harbour.write(strategy={"blue_green": {"auto_promote": False, "scale_down_delay": "1h"}})
    await pier.do("deploy", TARGET, "1", "--wait")
    rollout = await pier.begin("2")
    await pier.in_state(rollout, RolloutState.PAUSED)
    assert await pier.versions() == BOTH
    assert set(await pier.answers()) == {"1"}
    async with load(pier.router.port, path="/version", pause=BREATH) as counted:
        await more(counted, 20, "1")
        await pier.do("promote", str(rollout), "--detach")
        await pier.in_state(rollout, RolloutState.BAKING)
        await more(counted, 50, "2")
        assert await pier.versions() == BOTH
        await pier.do("rollback", TARGET, "--yes", "--wait")
        await more(counted, 50, "1")
    requests(counted, promise)
    assert set(counted) == {"1", "2"}, counted
    await pier.assert_serves_only("1")


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
    assert await pier.versions() == BOTH, "all its tasks, whatever its weight"
    await pier.do("abort", str(rollout), "--wait", status=3)
    await pier.assert_serves_only("1")
    async with load(pier.router.port, path="/version", pause=BREATH) as counted:
        rollout = await pier.begin("3")
        await pier.in_state(rollout, RolloutState.PAUSED)
        await pier.do("promote", str(rollout), "--wait")
        await more(counted, 20, "3")
    requests(counted, promise)
    assert set(counted) == {"1", "3"}, counted
    await pier.assert_serves_only("3")


async def test_where_another_task_is_led_to_than_the_first_one_the_router_is_never_empty(pier: Pier) -> None:
    """As after Swarm has moved a task. Seen to fail where the old release's server leaves without a look whether the other one is there."""
    pier.harbour.write(strategy={"blue_green": {"auto_promote": False, "scale_down_delay": "1s"}})
    await pier.do("deploy", TARGET, "1", "--wait")
    rollout = await pier.begin("2")
    await pier.in_state(rollout, RolloutState.PAUSED)
    router = pier.router.connect()
    state = await router.read()
    (slot,) = [slot for slot in Slot if state.slots[slot].servers and not state.share_of(slot)]
    (server,) = state.slots[slot].ready
    nodes = {task["NodeID"] for task in pier.harbour.tasks() if "2-" in str(task["Spec"]["ContainerSpec"]["Labels"])}
    addresses = [one["Status"]["Addr"] for one in pier.harbour.swarm.any_api.nodes() if one["ID"] in nodes]
    (other,) = [Server(address, server.port) for address in addresses if address != server.address]
    await router.enter(slot, state.slots[slot].release, [other])
    await router.leave(slot, [server])
    async with load(pier.router.port, path="/version", pause=BREATH) as counted:
        await pier.do("promote", str(rollout), "--wait")
        await more(counted, 20, "2")
    assert set(counted) == {"1", "2"}, counted
    await pier.assert_serves_only("2")


async def test_with_one_port_what_ran_on_another_node_leaves_the_router(swarm: Swarm, tmp_path: Path) -> None:
    """One service goes from release to release then, and its task from node to node. Seen to fail where nothing leaves once the new one has
    entered."""
    async with pier_in(tmp_path, swarm, beside=False) as pier:
        for version, node in (("1", "node-1"), ("2", "node-2"), ("3", "node-3")):
            placement = {"constraints": [f"node.hostname == {node}"]}
            pier.harbour.placed |= {"replicas": 1, "placement": placement}
            pier.harbour.write()
            await pier.do("deploy", TARGET, version, "--wait")
            await pier.assert_serves_only(version, tasks=1)
        await pier.do("rollback", TARGET, "--yes", "--wait")
        await pier.assert_serves_only("2", tasks=1)
