"""Promise 24 where both releases run on a host, beside each other in slots, behind a real HAProxy: stood still before, at and after the
promotion of a blue/green deploy, while the old one is still warm, and in a surge; aborted while the new release is well, while it is ill,
while nobody answers who measures, and after the router was restarted.

Seen to fail, at the small count, with one of these taken out: as in test_24_abort_routed.py.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.records import RolloutState
from tests.backends.routers.running import RunningHaproxy
from tests.driver import TARGET
from tests.rollouts.routed_field import RoutedField, behind
from tests.sshd import SshdFleet
from tests.trust.recording import Promises
from tests.trust.stood_still import ANALYSIS, NOBODY, all_hosts_serve_in_one_slot, stood_still, troubles

pytestmark = [pytest.mark.trust(24), pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]

BESIDE: dict[str, tuple[dict[str, Any], str]] = {
    "blue/green, before it is promoted": ({"blue_green": {"auto_promote": False}}, "pause"),
    "blue/green, pre promotion": ({"blue_green": {"pre_promotion": [ANALYSIS]}}, "analysis"),
    "blue/green, post promotion": ({"blue_green": {"post_promotion": [ANALYSIS]}}, "analysis"),
    "blue/green, still warm": ({"blue_green": {"scale_down_delay": "1h"}}, "bake"),
    "rolling with a surge": ({"rolling": {"max_surge": 1, "batches": [1], "pause": "1h"}}, "pause"),
}


@pytest.fixture
async def with_slots(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(RunningHaproxy(), tmp_path, sshd_fleet, slots=True) as made:
        made.extra["analyses"] = {"nobody": [NOBODY]}
        yield made


@pytest.mark.parametrize("stands", list(BESIDE))
async def test_where_both_releases_run_on_a_host(with_slots: RoutedField, stands: str, promise: Promises) -> None:
    field = with_slots
    strategy, action = BESIDE[stands]
    await field.do("deploy", TARGET, "v1", "--wait")
    field.write(strategy=strategy)
    for trouble in troubles(list(BESIDE).index(stands)):
        rollout = await stood_still(field, action, trouble)
        done = json.loads(await field.do("abort", str(rollout), "--wait", "--json", status=3))
        assert done["status"] == RolloutState.ROLLED_BACK, done
        assert set(await field.asks(30)) == {"v1"}, trouble
        assert field.instances() == 3, trouble
        await all_hosts_serve_in_one_slot(field, trouble)
        promise(24).count("aborts behind a router")
