"""A rollout to some hosts only, behind a real router: the others go on with what they run, and keep their part of the requests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.routers.contract import FULL, Slot
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import more
from tests.driver import TARGET
from tests.rollouts.routed_field import RoutedField
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
async def field(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    router = RunningHaproxy()
    made = RoutedField(tmp_path, sshd_fleet)
    made.clear_hosts()
    try:
        await router.start()
        made.begin_with(router)
        yield made
    finally:
        made.stop_all()
        await router.close()


async def test_one_of_three_gets_a_third(field: RoutedField) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    one = field.used[0].name
    async with field.clients() as counted:
        await more(counted, 20, "v1")
        await field.do("deploy", TARGET, "v2", "--only", one, "--wait")
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
