"""Promise 24: abort always wins. Every strategy behind a real HAProxy, stood still in each of its steps, and aborted while the new
release is well, while it is ill, while nobody answers who measures, and after the router was restarted: afterwards every request is
answered by the release that was there before.

Seen to fail, at the small count, with one of these taken out: a wait hears an abort (it waits on); a wave is ended by one (the command
runs on); the way back ends the rules (one is left); it begins with the router. Not seen: without its last change of the share, as the first
one has done the same by then.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.records import RolloutState, Step
from tests.backends.routers.running import RunningHaproxy
from tests.driver import TARGET
from tests.rollouts.routed_field import RoutedField, behind
from tests.sshd import SshdFleet
from tests.trust.recording import Promises
from tests.trust.stood_still import ANALYSIS, NOBODY, all_hosts_serve_in_one_slot, stood_still, troubles

pytestmark = [pytest.mark.trust(24), pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]

FOR_EVER: dict[str, Any] = {"pause": {}}
APPROVAL: dict[str, Any] = {"approval": {"count": 5}}
AT_20 = {"set_weight": 20}

STANDS: dict[str, tuple[dict[str, Any], str]] = {
    "rolling, between two batches": ({"rolling": {"batches": [1], "pause": "1h"}}, "pause"),
    "rolling, bake": ({"rolling": {"max_unavailable": 1, "bake": "1h"}}, "bake"),
    "canary, pause": ({"canary": {"steps": [AT_20, FOR_EVER]}}, "pause"),
    "canary, scaled": ({"canary": {"steps": [{"set_scale": 2}, {"set_weight": 5}, {"pause": "1h"}]}}, "pause"),
    "canary, analysis": ({"canary": {"steps": [AT_20, ANALYSIS]}}, "analysis"),
    "canary, approval": ({"canary": {"steps": [AT_20, APPROVAL]}}, "approval"),
    "canary, run": ({"canary": {"steps": [AT_20, {"run": {"run": "sleep 1000", "where": "here"}}]}}, "hook"),
    "canary, bake": ({"canary": {"steps": [AT_20, {"set_weight": 100}, {"bake": "1h"}]}}, "bake"),
    "canary, route": ({"canary": {"steps": [AT_20, {"set_route": {"header": ["beta"]}}, FOR_EVER]}}, "pause"),
    "ab": ({"ab": {"match": {"header": ["beta"]}}}, "pause"),
}


@pytest.fixture
async def field(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(RunningHaproxy(), tmp_path, sshd_fleet) as made:
        made.extra["analyses"] = {"nobody": [NOBODY]}
        yield made


def first_of_the_way_back(steps: list[Step]) -> Step:
    """The plan's own steps end with cleaning up."""
    last = max(step.seq for step in steps if step.action == "finish")
    return next(step for step in steps if step.seq > last)


@pytest.mark.parametrize("stands", list(STANDS))
async def test_every_request_is_answered_by_what_was_there_before(
    field: RoutedField, stands: str, promise: Promises
) -> None:
    strategy, action = STANDS[stands]
    await field.do("deploy", TARGET, "v1", "--wait")
    field.write(strategy=strategy)
    for trouble in troubles(list(STANDS).index(stands)):
        rollout = await stood_still(field, action, trouble)
        async with field.clients() as counted:
            done = json.loads(await field.do("abort", str(rollout), "--wait", "--json", status=3))
        assert done["status"] == RolloutState.ROLLED_BACK, done
        assert field.running() == ["v1"] * 3, trouble
        with field.journal(read_only=True) as journal:
            back = first_of_the_way_back(journal.steps(rollout))
        assert (back.action, back.body.get("percent")) == ("share", 100.0), "the requests go back before any host does"
        found = await field.asks(30) + await field.asks(30, X_Qd_Variant="beta")
        promise(24).count("requests answered afterwards", found.total())
        promise(24).none("by the new release", found.total() - found["v1"])
        assert set(found) == {"v1"}, (trouble, found)
        if trouble not in (
            "ill",
            "router restarted",
        ):  # one that has just begun asks its servers first whether they are well
            assert set(counted) <= {"v1", "v2"}, (trouble, counted)
        await all_hosts_serve_in_one_slot(field, trouble)
        promise(24).count("aborts behind a router")
