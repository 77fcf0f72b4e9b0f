"""A deploy behind a router that stands still in one of its steps, well or in trouble, to be aborted there."""

import asyncio
from typing import Any

from quarterdeck.backends.routers.contract import FULL, Slot
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import StepState
from tests.counts import counts_are_full
from tests.rollouts.routed_field import RoutedField

ANALYSIS: dict[str, Any] = {"analysis": ["nobody"]}
NOBODY = {
    "name": "nobody",
    "metric": {"prometheus": {"url": "http://127.0.0.1:9", "query": "up"}},
    "interval": "1s",
    "consecutive_error_limit": 100,
    "success": "value == 1",
}
TROUBLE = ("well", "ill", "measured by nobody", "router restarted")


def troubles(place: int) -> tuple[str, ...]:
    """Those in which the stand at this place of its table is aborted: ill and measured by nobody are of each, the others take turns. One,
    where the counts are small."""
    if not counts_are_full():
        return (TROUBLE[place % len(TROUBLE)],)
    return ("ill", "measured by nobody", "router restarted" if place % 2 else "well")


def waits(field: RoutedField, rollout: int, action: str) -> None:
    def so(journal: Journal) -> bool:
        return any(s.action == action and s.state is StepState.STARTED for s in journal.steps(rollout))

    field.watch(so, f"{action} of rollout {rollout}", 180)


async def stood_still(field: RoutedField, action: str, trouble: str) -> int:
    """A deploy that waits in a step of that kind, in that trouble."""
    rollout = await asyncio.to_thread(field.begin, "deploy", "v2")
    await asyncio.to_thread(waits, field, rollout, action)
    if trouble == "ill":
        field.freeze("v2")
    elif trouble == "router restarted":
        await field.router.restart()
    return rollout


async def all_hosts_serve_in_one_slot(field: RoutedField, trouble: str) -> None:
    state = await field.routed()
    (stable,) = [slot for slot in Slot if state.slots[slot].ready]
    assert (state.share_of(stable), state.rules) == (FULL, ()), trouble
    assert len(state.slots[stable].ready) == 3, trouble
