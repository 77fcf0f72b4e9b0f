"""Behind a real router: a rollout to some hosts only, a host that refuses its switch, and a router that is away while an abort needs it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.routers.contract import FULL, Slot
from quarterdeck.history.records import RolloutState
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import more
from tests.driver import TARGET
from tests.rollouts.routed_field import RoutedField, behind
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
async def field(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(RunningHaproxy(), tmp_path, sshd_fleet) as made:
        yield made


async def test_one_of_three_gets_a_third(field: RoutedField) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    field.write(strategy={"rolling": {"max_unavailable": 1}})
    one = field.used[0].name
    async with field.clients() as counted:
        await more(counted, 20, "v1")
        rollout = await asyncio.to_thread(field.begin, "deploy", "v2", only=[one])
        assert (await asyncio.to_thread(field.ended, rollout)).state is RolloutState.SUCCEEDED
        assert field.running() == ["v2", "v1", "v1"]
        state = await field.routed()
        new = next(slot for slot in Slot if state.slots[slot].release.startswith("v2"))
        assert state.share_of(new) == 3333
        assert [len(state.slots[slot].ready) for slot in (new, new.other)] == [1, 2]
        await more(counted, 20, "v2")
        await field.do("rollback", TARGET, "--only", one, "--to", "v1", "--yes", "--wait")
        assert (await field.routed()).share_of(new.other) == FULL
        await field.do("deploy", TARGET, "v2", "--wait")
        assert (await field.routed()).share_of(new) == FULL
    assert set(counted) == {"v1", "v2"}, counted


async def test_a_host_that_refuses_its_switch_enters_again(field: RoutedField) -> None:
    """It had left the router by then, and nothing was changed on it."""
    await field.do("deploy", TARGET, "v1", "--wait")
    broken = f"rm -f {field.home(field.used[0])}/releases/v2-*/qd.manifest.json"
    field.write(hooks={"before": [{"run": broken, "where": "here"}]})
    await field.do("deploy", TARGET, "v2", "--wait", status=3)
    state = await field.routed()
    (serving,) = [slot for slot in Slot if state.slots[slot].ready]
    assert len(state.slots[serving].ready) == 3
    assert state.share_of(serving) == FULL
    assert set(await field.asks(20)) == {"v1"}


async def test_a_lost_host_s_share_is_not_carried_by_the_others(field: RoutedField) -> None:
    """Two of three were to have 60 % with the second step, and one of the two is gone: the other one has what was planned for it."""
    await field.do("deploy", TARGET, "v1", "--wait")
    steps = [{"set_weight": 30}, {"pause": {}}, {"set_weight": 60}, {"pause": {}}]
    field.write(strategy={"canary": {"steps": steps}}, on_unreachable="continue")
    rollout = await asyncio.to_thread(field.begin, "deploy", "v2")
    await asyncio.to_thread(field.in_state, rollout, RolloutState.PAUSED)
    lost = field.used[field.running().index("v1")]
    with field.journal(read_only=True) as journal:
        assert lost.name == [step.host for step in journal.steps(rollout) if step.action == "switch"][1]
    lost.stop()
    try:
        await field.do("promote", str(rollout), "--detach")
        await asyncio.to_thread(field.until, rollout, lambda now: "60 %" in now.outcome)
        state = await field.routed()
        new = next(slot for slot in Slot if state.slots[slot].release.startswith("v2"))
        assert (len(state.slots[new].ready), state.share_of(new)) == (1, 3000)
        shown = await field.do("show", str(rollout))
        assert "30 % in place of 60 %, as 1 of 2 servers are there" in shown
    finally:
        lost.start()
    await field.do("abort", str(rollout), "--wait", status=3)
    assert set(await field.asks(20)) == {"v1"}


async def test_an_abort_without_the_router_is_made_good_by_the_next_rollback(field: RoutedField) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    field.write(strategy={"canary": {"steps": [{"set_weight": 30}, {"pause": {}}]}})
    rollout = await asyncio.to_thread(field.begin, "deploy", "v2")
    await asyncio.to_thread(field.in_state, rollout, RolloutState.PAUSED)
    field.router.kill()
    await field.do("abort", str(rollout), "--wait", status=4)
    assert field.running() == ["v1"] * 3, "hosts wait for no router"
    await field.router.start()
    await field.do("rollback", TARGET, "--to", "v1", "--force", "--reason", "the router is back", "--yes", "--wait")
    state = await field.routed()
    (serving,) = [slot for slot in Slot if state.slots[slot].ready]
    assert (len(state.slots[serving].ready), state.share_of(serving)) == (3, FULL)
    assert set(await field.asks(20)) == {"v1"}
