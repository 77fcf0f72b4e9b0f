"""One look at the router in front of a target, as an observation for the journal: how requests go, and what of it nobody here did. Changes
nothing anywhere."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.routers.contract import Ability, RouterConnection, RouterStatistics, SlotStatistics
from quarterdeck.backends.routers.drift import Wanted, drift
from quarterdeck.config.model import Target
from quarterdeck.history.clock import now
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ROUTER, Observation, Rollout, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.traffic import journalled, shown
from quarterdeck.rollouts.promoting import WAITS

ANSWER = 8.0  # seconds
_STANDS = frozenset({RolloutState.PAUSED, RolloutState.BAKING, RolloutState.RUNNING})


class Told(msgspec.Struct, frozen=True):
    """What the journal says of a router. ``wanted``: what the last change left behind, None: none was ever made; ``seq``: its event.
    ``quiet``: nothing that is under way changes the router at this moment."""

    wanted: Wanted | None
    seq: int
    quiet: bool


Known = Callable[[], Awaitable[Told]]


def told(journal: Journal, target: str) -> Told:
    """Raises JournalError."""
    last = journal.events(target=target, kind="routed", newest_first=True, limit=1)
    active = journal.active(target)
    quiet = active is None or _stands(active, journal.steps(active.id))
    return Told(journalled(last[0].body) if last else None, last[0].seq if last else 0, quiet)


def _stands(rollout: Rollout, steps: list[Step]) -> bool:
    """Whether it waits, by its own plan or by an operator's wish: what changes then, it did not do."""
    if rollout.state is RolloutState.QUEUED:
        return True
    begun = [step.action for step in steps if step.state is StepState.STARTED]
    waits = all(action in WAITS for action in begun)
    return waits and rollout.state in _STANDS and (bool(begun) or rollout.state is RolloutState.PAUSED)


class Counting:
    """Requests a second, of two looks one after the other at the same process."""

    def __init__(self) -> None:
        self._before: RouterStatistics | None = None
        self._at = 0.0

    async def rates(self, router: RouterConnection, *, deadline: float = ANSWER) -> dict[str, Any]:
        """By slot; empty where the router does not count, or has just begun to. Raises nothing for a router."""
        if Ability.STATISTICS not in router.abilities:
            return {}
        try:
            counted = await router.statistics(deadline=deadline)
        except BackendError:
            self._before = None
            return {}
        before, gone = self._before, time.monotonic() - self._at
        self._before, self._at = counted, time.monotonic()
        if before is None or before.since != counted.since or gone <= 0:
            return {}
        return {
            str(slot): {
                "per_second": round(max(0, found.requests - before.slots[slot].requests) / gone, 2),
                "failing": round(max(0, _failed(found) - _failed(before.slots[slot])) / gone, 2),
            }
            for slot, found in counted.slots.items()
            if slot in before.slots
        }


def _failed(counted: SlotStatistics) -> int:
    """Answers that say so, and requests without one: HAProxy answers those with a 5xx of its own, which it counts there as well."""
    return max(counted.answers_5xx, counted.connection_errors + counted.response_errors)


async def look_at_router(
    router: RouterConnection,
    target: Target,
    known: Known,
    counting: Counting | None = None,
    *,
    deadline: float = ANSWER,
) -> Observation:
    """``known`` asks the journal, before the look and after it: what a rollout has changed in between is not taken for somebody's doing.
    Raises BackendError."""
    assert target.routed is not None
    before = await known()
    state = await router.read(deadline=deadline)
    counted = await counting.rates(router) if counting is not None else {}
    after = await known()
    body: dict[str, Any] = {"router": target.routed.name, **shown(state), "seq": before.seq}
    for slot, found in state.slots.items():
        body["slots"][str(slot)]["live"] = len(found.live)
    settled = before.quiet and before == after
    if settled and before.wanted is not None and (words := drift(before.wanted, state)):
        body["drift"] = list(words)
    if counted:
        body["counted"] = counted
    return Observation(target.name, ROUTER, now(), None, None, "healthy", None, body)


def router_unseen(target: Target, last: Observation | None, reason: str) -> Observation:
    """It can't be asked: what it last said stays, with the age of that."""
    assert target.routed is not None
    name = target.routed.name
    if last is None or last.body.get("never"):
        time_then = now() if last is None else last.time
        return Observation(
            target.name, ROUTER, time_then, None, None, "unknown", reason, {"router": name, "never": True}
        )
    return msgspec.structs.replace(last, health="unknown", error=reason)
