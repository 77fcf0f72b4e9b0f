"""Rollouts behind real routers: requests follow the hosts, and none of them fails (promise 25)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.routers.contract import FULL, Slot
from tests.backends.routers.running import Running, RunningCaddy, RunningHaproxy, RunningNginx
from tests.backends.routers.service import more
from tests.field import TARGET
from tests.rollouts.routed_field import RoutedField
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]

KINDS: dict[str, type[Running]] = {"haproxy": RunningHaproxy, "nginx": RunningNginx, "caddy": RunningCaddy}


@pytest.fixture(params=list(KINDS))
async def field(request: pytest.FixtureRequest, tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    router = KINDS[request.param]()
    made = RoutedField(tmp_path, sshd_fleet)
    made.clear_hosts()
    try:
        await router.start()
        made.begin_with(router)
        yield made
    finally:
        made.stop_all()
        await router.close()


async def test_no_request_fails_while_releases_go_out_and_come_back(field: RoutedField) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    assert field.running() == ["v1"] * 3
    state = await field.routed()
    (serving,) = [slot for slot in Slot if state.slots[slot].ready]
    assert len(state.slots[serving].ready) == 3
    assert state.share_of(serving) == FULL
    async with field.clients() as counted:
        await more(counted, 50, "v1")
        field.write(strategy={"rolling": {"max_unavailable": 1}})
        await field.do("deploy", TARGET, "v2", "--wait")
        await more(counted, 50, "v2")
        await field.do("rollback", TARGET, "--yes", "--wait")
        await more(counted, 50, "v1")
        field.write(strategy={"canary": {"steps": [{"set_weight": 10}, {"pause": "1s"}, {"set_weight": 50}]}})
        done = await field.do("deploy", TARGET, "v3", "--wait", "--json")
        assert json.loads(done)["status"] == "succeeded"
        await more(counted, 50, "v3")
    assert set(counted) == {"v1", "v2", "v3"}, counted
    state = await field.routed()
    (serving,) = [slot for slot in Slot if state.slots[slot].ready]
    assert state.share_of(serving) == FULL
