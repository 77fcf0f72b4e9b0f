"""The routers contract where a service's part of the configuration is written as a whole: nginx's file, Caddy's object.

Each change reads the whole, changes one thing of it, writes it and reads it back. How that is done is the subclass's.
"""

import asyncio
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from quarterdeck.backends.errors import BackendError, NotReadBack, RouterRefused
from quarterdeck.backends.routers.contract import (
    RELEASE,
    Ability,
    Changed,
    Left,
    MatchRule,
    Mode,
    RouterState,
    RouterStatistics,
    Server,
    ServerState,
    Slot,
    SlotState,
    TimedRequests,
    unfit_rules,
    unfit_share,
)
from quarterdeck.backends.routers.http import health
from quarterdeck.backends.routers.reach import Reach
from quarterdeck.config.routers import Routed

UNCHANGED: Final = "Nothing was changed there"
_LOOK: Final = 0.1  # seconds between two looks
_CHECK: Final = 2.0  # seconds for one check of a server


class PlannedSlot(msgspec.Struct, frozen=True):
    release: str = ""
    servers: tuple[Server, ...] = ()
    leaving: tuple[Server, ...] = ()  # get nothing new, and are not known to be done


class Plan(msgspec.Struct, frozen=True):
    """What is to be written for a service. It is written beside what was made of it, so that it can be read again."""

    share: int = 0
    rules: tuple[MatchRule, ...] = ()
    slots: Mapping[Slot, PlannedSlot] = msgspec.field(default_factory=lambda: {slot: PlannedSlot() for slot in Slot})

    def with_slot(self, slot: Slot, planned: PlannedSlot) -> "Plan":
        return msgspec.structs.replace(self, slots={**self.slots, slot: planned})

    def shown(self) -> str:
        """One line of JSON, always the same for the same plan."""
        return msgspec.json.encode(self, order="sorted").decode()


def read_plan(text: str) -> Plan | None:
    try:
        plan = msgspec.json.decode(text, type=Plan)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return plan if set(plan.slots) == set(Slot) else None


class Written(msgspec.Struct, frozen=True):
    """What the router has. ``problems``: what does not fit together there, in words."""

    plan: Plan
    problems: tuple[str, ...] = ()


class WholeConnection(ABC):
    abilities: frozenset[Ability]
    share_step: int

    def __init__(self, routed: Routed, reach: Reach) -> None:
        self.host = reach.host
        self._routed = routed
        self._reach = reach
        self._turn = asyncio.Lock()  # what is read, changed and written as a whole is so by one call at a time

    @abstractmethod
    async def _written(self, action: str, deadline: float) -> Written: ...

    @abstractmethod
    async def _write(self, plan: Plan, action: str, deadline: float) -> None:
        """Returns when new requests are routed by it. Raises, and has left the router as it was, where that can't be."""

    @abstractmethod
    async def _waiting(self, servers: Sequence[Server], action: str, deadline: float) -> int | None:
        """Requests that these still have, 0 when it is certain that they have none; None: it has some, how many is not told."""

    async def _in_flight(self, _action: str, _deadline: float) -> Mapping[Server, int]:
        """For whom it is told."""
        return {}

    async def read(self, *, deadline: float = 10.0) -> RouterState:
        return await self._state(f"read how {self._routed.service} is routed", deadline)

    async def _state(self, action: str, deadline: float) -> RouterState:
        written = await self._written(action, deadline)
        counts = await self._in_flight(action, deadline)
        slots = {slot: _slot_state(planned, counts) for slot, planned in written.plan.slots.items()}
        return RouterState(written.plan.share, tuple(sorted(written.plan.rules)), slots, written.problems)

    async def set_share(self, share: int, *, deadline: float = 20.0) -> Changed:
        action = f"give {self._routed.service} {share / 100:g} % on green"
        begun = time.monotonic()
        self._refuse(action, unfit_share(share, self.share_step))
        async with self._turn:
            written = await self._written(action, deadline)
            gaining = Slot.GREEN if share > written.plan.share else Slot.BLUE
            if share != written.plan.share and not written.plan.slots[gaining].servers:
                self._refuse(action, f"{gaining} has no server in service", "let its servers enter first")
            wanted = msgspec.structs.replace(written.plan, share=share)
            return await self._become(written, wanted, action, begun, deadline)

    async def set_rules(self, rules: Sequence[MatchRule], *, deadline: float = 20.0) -> Changed:
        action = f"set the rules of {self._routed.service}"
        begun = time.monotonic()
        self._refuse(action, unfit_rules(rules))
        async with self._turn:
            written = await self._written(action, deadline)
            wanted = msgspec.structs.replace(written.plan, rules=tuple(sorted(rules)))
            return await self._become(written, wanted, action, begun, deadline)

    async def enter(self, slot: Slot, release: str, servers: Sequence[Server], *, deadline: float = 60.0) -> Changed:
        action = f"take {', '.join(map(str, servers))} into {slot} of {self._routed.service}"
        begun = time.monotonic()
        self._refuse(action, "" if servers else "no server was given")
        self._refuse(action, "" if re.fullmatch(RELEASE, release) else f"{release!r} is no release's id")
        there = (await self._written(action, deadline)).plan.slots[slot].servers
        await self._until_healthy([one for one in dict.fromkeys(servers) if one not in there], action, deadline)
        async with self._turn:
            written = await self._written(action, deadline)
            has = written.plan.slots[slot]
            new = [server for server in dict.fromkeys(servers) if server not in has.servers]
            leaving = tuple(server for server in has.leaving if server not in new)
            wanted = written.plan.with_slot(slot, PlannedSlot(release, tuple(sorted((*has.servers, *new))), leaving))
            return await self._become(written, wanted, action, begun, deadline)

    async def _until_healthy(self, servers: Sequence[Server], action: str, deadline: float) -> None:
        """As the router's machine sees them, all at the same time."""
        said: dict[Server, str] = {}

        async def one(server: Server) -> None:
            while True:
                try:
                    said[server] = await health(self._reach, server, self._routed.check, deadline=_CHECK)
                except BackendError as error:
                    said[server] = error.problem
                if not said[server]:
                    return
                await asyncio.sleep(_LOOK)

        try:
            async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
                for server in servers:
                    group.create_task(one(server))
        except TimeoutError:
            told = "; ".join(f"{server}: {why or 'well'}" for server, why in said.items())
            raise RouterRefused(
                self.host,
                action,
                f"not healthy as the router's machine sees it within {deadline:g} s: {told}",
                left=UNCHANGED,
                advice="does the service listen there, and may the router's machine reach it?",
            ) from None

    async def leave(
        self,
        slot: Slot,
        servers: Sequence[Server] | None = None,
        *,
        patience: float = 30.0,
        even_the_last: bool = False,
        deadline: float = 20.0,
    ) -> Left:
        action = (
            f"take {'all' if servers is None else ', '.join(map(str, servers))} out of {slot} of {self._routed.service}"
        )
        begun = time.monotonic()
        async with self._turn:
            written = await self._written(action, deadline)
            has, other = written.plan.slots[slot], written.plan.slots[slot.other]
            going = tuple(server for server in has.servers if servers is None or server in servers)
            stay = tuple(server for server in has.servers if server not in going)
            if going and not stay and not other.servers and not even_the_last:
                self._refuse(action, "no live server would be left", "let another one enter first")
            waited_for = tuple(sorted({*going, *(one for one in has.leaving if servers is None or one in servers)}))
            already = not waited_for
            if not already:
                on_the_way = PlannedSlot(has.release, stay, tuple(sorted({*has.leaving, *going})))
                await self._become(written, written.plan.with_slot(slot, on_the_way), action, begun, deadline)
        waiting: int | None = 0 if already else await self._until_done(waited_for, action, patience, deadline)
        if waiting == 0 and not already:
            async with self._turn:
                now = await self._written(action, deadline)
                has = now.plan.slots[slot]
                left = tuple(server for server in has.leaving if server not in waited_for)
                done = PlannedSlot(has.release if has.servers or left else "", has.servers, left)
                await self._become(now, now.plan.with_slot(slot, done), action, begun, deadline)
        state = await self._state(action, deadline)
        return Left(state, already, waiting, 0, time.monotonic() - begun)

    async def _until_done(self, servers: Sequence[Server], action: str, patience: float, deadline: float) -> int | None:
        end = time.monotonic() + patience
        while True:
            waiting = await self._waiting(servers, action, deadline)
            if waiting == 0 or time.monotonic() >= end:
                return waiting
            await asyncio.sleep(_LOOK)

    async def _become(self, written: Written, wanted: Plan, action: str, begun: float, deadline: float) -> Changed:
        already = wanted == written.plan and not written.problems
        if not already:
            await self._write(wanted, action, deadline)
            now = await self._written(action, deadline)
            if now.plan != wanted or now.problems:
                raise NotReadBack(
                    self.host,
                    action,
                    "; ".join(now.problems) or "it tells something else than it was given",
                    left="What it does now is not known",
                    advice="does somebody else change this router? Ask again: what holds already is not done twice",
                )
        return Changed(await self._state(action, deadline), already, time.monotonic() - begun)

    async def statistics(self, *, deadline: float = 10.0) -> RouterStatistics:  # noqa: ARG002 # of the contract
        raise RouterRefused(
            self.host,
            f"read the statistics of {self._routed.service}",
            "it does not count what each slot answers",
            advice="measure with probes or Prometheus, or route the service through HAProxy",
        )

    async def times(self, after: str, *, deadline: float = 10.0) -> TimedRequests:  # noqa: ARG002 # of the contract
        raise RouterRefused(
            self.host,
            f"read the times of {self._routed.service}",
            "it does not tell how long the requests of each slot took",
            advice="measure with probes or Prometheus, or route the service through HAProxy",
        )

    async def close(self) -> None:
        await self._reach.close()

    def _refuse(self, action: str, problem: str, advice: str = "") -> None:
        if problem:
            raise RouterRefused(self.host, action, problem, left=UNCHANGED, advice=advice)


def _slot_state(planned: PlannedSlot, counts: Mapping[Server, int]) -> SlotState:
    servers = [ServerState(server, Mode.READY, None, counts.get(server)) for server in planned.servers]
    servers += [ServerState(server, Mode.LEAVING, None, counts.get(server)) for server in planned.leaving]
    return SlotState(planned.release, tuple(servers))
