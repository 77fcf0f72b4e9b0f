"""The routers contract on HAProxy: shares and rules are maps, releases are servers of two backends; all over its runtime socket."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Final

from quarterdeck.backends.errors import NotReadBack, RouterRefused
from quarterdeck.backends.routers.contract import (
    FULL,
    RELEASE,
    Ability,
    Changed,
    Left,
    MatchOn,
    MatchRule,
    Mode,
    RouterFinding,
    RouterState,
    RouterStatistics,
    Server,
    ServerState,
    Slot,
    SlotState,
    SlotStatistics,
    TimedRequests,
    unfit_rules,
    unfit_share,
)
from quarterdeck.backends.routers.haproxy.examining import examine
from quarterdeck.backends.routers.haproxy.moving import Moving
from quarterdeck.backends.routers.haproxy.names import backend_name, rules_map, share_map
from quarterdeck.backends.routers.haproxy.requests import RING, read_ring
from quarterdeck.backends.routers.haproxy.runtime import Row, Runtime, all_of, both_of
from quarterdeck.backends.routers.haproxy.saving import save
from quarterdeck.backends.routers.reach import Reach
from quarterdeck.config.routers import HaproxyRouter, Routed

_SAVING: Final = 10.0  # seconds for the files, beside a change's own
_LABEL: Final = "release:"


class HaproxyConnection:
    """Made by ``open_router``."""

    share_step = 1

    def __init__(self, router: HaproxyRouter, routed: Routed, reach: Reach) -> None:
        self.host = reach.host
        self.abilities = frozenset(Ability) - (frozenset() if router.files else {Ability.PERSISTENT})
        self._router = router
        self._routed = routed
        self._reach = reach
        self._runtime = Runtime(reach, router.socket)
        self._turn = asyncio.Lock()  # of what is looked at and then changed, and of the files
        self._share_map = share_map(router, routed)
        self._rules_map = rules_map(router, routed)

    async def read(self, *, deadline: float = 10.0) -> RouterState:
        return await self._read(f"read how {self._routed.service} is routed", deadline)

    async def _read(self, action: str, deadline: float) -> RouterState:
        maps = (self._share_map, self._rules_map)
        answers, tables = await both_of(
            all_of(*(self._runtime.map(path, action, deadline=deadline) for path in maps)),
            all_of(*(self._rows(slot, action, deadline) for slot in Slot)),
        )
        problems: list[str] = []
        share = _share_in(answers[0].get(self._routed.service), problems)
        rules = _rules_in(answers[1], problems)
        slots = {
            slot: SlotState(answers[1].get(f"{_LABEL}{slot}", ""), _servers_in(rows))
            for slot, rows in zip(Slot, tables, strict=True)
        }
        return RouterState(share, rules, slots, tuple(problems))

    async def _rows(self, slot: Slot, action: str, deadline: float) -> list[Row]:
        return await self._runtime.rows(backend_name(self._routed, slot), action, deadline=deadline)

    async def set_share(self, share: int, *, deadline: float = 20.0) -> Changed:
        action = f"give {self._routed.service} {share / 100:g} % on green"
        begun = time.monotonic()
        found = await self._read(action, deadline)
        self._refuse(action, unfit_share(share, self.share_step))
        already = share == found.share and not found.problems
        if not already:
            self._check_gainer(found, share, action)
            await self._write_share(share, action, deadline)
            found = await self._read(action, deadline)
            if found.share != share:
                raise NotReadBack(
                    self.host,
                    action,
                    f"it still says {found.share / 100:g} %",
                    left="Servers and rules are as they were",
                    advice=f"look with: show map {self._share_map}",
                )
        return await self._changed(found, already, begun)

    def _check_gainer(self, found: RouterState, share: int, action: str) -> None:
        gaining = Slot.GREEN if share > found.share else Slot.BLUE
        if share != found.share and not found.slots[gaining].ready:
            self._refuse(
                action,
                f"{gaining} has no server in service",
                "let its servers enter first; HAProxy would send nothing there",
            )

    async def _write_share(self, share: int, action: str, deadline: float) -> None:
        """One write of one key where it is there, so that a rollback is a single one."""
        entry = f"map {self._share_map} {self._routed.service} {share}"
        answer = await self._runtime.ask(f"set {entry}", action, deadline=deadline)
        if answer.startswith("entry not found"):
            await self._runtime.ask(f"add {entry}", action, deadline=deadline)

    async def set_rules(self, rules: Sequence[MatchRule], *, deadline: float = 20.0) -> Changed:
        action = f"set the rules of {self._routed.service}"
        begun = time.monotonic()
        self._refuse(action, unfit_rules(rules))
        wanted = tuple(sorted(rules))
        async with self._turn:
            found = await self._read(action, deadline)
            already = found.rules == wanted and not found.problems
            if not already:
                labels = {slot: found.slots[slot].release for slot in Slot}
                await self._write_rules(wanted, labels, action, deadline)
        if not already:
            found = await self._read(action, deadline)
            if found.rules != wanted:
                raise NotReadBack(
                    self.host,
                    action,
                    "it tells other rules than those it was given",
                    left="The share and the servers are as they were",
                    advice=f"look with: show map {self._rules_map}",
                )
        return await self._changed(found, already, begun)

    async def _write_rules(
        self, rules: Sequence[MatchRule], labels: dict[Slot, str], action: str, deadline: float
    ) -> None:
        """All at once: nobody is led by half of them."""
        answer = await self._runtime.ask(f"prepare map {self._rules_map}", action, deadline=deadline)
        version = re.search(r"created: (\d+)", answer)
        if version is None:
            raise RouterRefused(self.host, action, f"HAProxy says: {answer.strip()}", left="Rules are as they were")
        entries = [f"{rule.on}:{rule.value} {rule.slot}" for rule in rules]
        entries += [f"{_LABEL}{slot} {release}" for slot, release in labels.items() if release]
        at = f"@{version[1]} {self._rules_map}"
        await self._runtime.change(
            [*(f"add map {at} {entry}" for entry in entries), f"commit map {at}"], action, deadline=deadline
        )

    async def enter(self, slot: Slot, release: str, servers: Sequence[Server], *, deadline: float = 60.0) -> Changed:
        action = f"take {', '.join(map(str, servers))} into {backend_name(self._routed, slot)}"
        begun = time.monotonic()
        self._refuse(action, "" if servers else "no server was given")
        self._refuse(action, "" if re.fullmatch(RELEASE, release) else f"{release!r} is no release's id")
        moved = await self._moving(slot, action, deadline).enter(servers)
        async with self._turn:
            already = await self._label(slot, release, action, deadline) and not moved
        return await self._changed(await self._read(action, deadline), already, begun)

    async def leave(
        self,
        slot: Slot,
        servers: Sequence[Server] | None = None,
        *,
        patience: float = 30.0,
        even_the_last: bool = False,
        deadline: float = 20.0,
    ) -> Left:
        action = f"take {'all' if servers is None else ', '.join(map(str, servers))} out of {backend_name(self._routed, slot)}"
        begun = time.monotonic()
        found = await self._read(action, deadline)
        going = found.slots[slot].ready if servers is None else tuple(servers)
        stay = [*found.slots[slot.other].live, *(one for one in found.slots[slot].live if one not in going)]
        if not even_the_last and not stay and set(going) & set(found.slots[slot].live):
            self._refuse(action, "no live server would be left", "let another one enter first")
        moved, cut, waiting = await self._moving(slot, action, deadline).leave(servers, patience)
        already = not moved
        async with self._turn:
            after = await self._read(action, deadline)
            if not after.slots[slot].servers:
                already = await self._label(slot, "", action, deadline) and already
                after = await self._read(action, deadline)
        changed = await self._changed(after, already, begun)
        return Left(after, already, waiting, cut, changed.seconds, changed.unsaved)

    def _moving(self, slot: Slot, action: str, deadline: float) -> Moving:
        return Moving(self._runtime, backend_name(self._routed, slot), action, deadline, self._turn)

    async def _label(self, slot: Slot, release: str, action: str, deadline: float) -> bool:
        """Writes down whose the slot is; whether it already was."""
        key = f"{_LABEL}{slot}"
        entries = await self._runtime.map(self._rules_map, action, deadline=deadline)
        if entries.get(key, "") == release:
            return True
        if not release:
            command = f"del map {self._rules_map} {key}"
        else:
            command = f"{'set' if key in entries else 'add'} map {self._rules_map} {key} {release}"
        await self._runtime.ask(command, action, deadline=deadline)
        return False

    async def statistics(self, *, deadline: float = 10.0) -> RouterStatistics:
        action = f"read the statistics of {self._routed.service}"
        answer = await self._runtime.ask("show info", action, deadline=deadline)
        told = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
        tables = await all_of(*(self._rows(slot, action, deadline) for slot in Slot))
        since = f"{told.get('Pid', '')}@{told.get('Start_time_sec', '')}"
        return RouterStatistics(since, {slot: _counted(rows[-1]) for slot, rows in zip(Slot, tables, strict=True)})

    async def times(self, after: str, *, deadline: float = 10.0) -> TimedRequests:
        action = f"read the times of {self._routed.service}"
        return read_ring(await self._runtime.events(RING, action, deadline=deadline), self._routed, after)

    async def examine(self, *, deadline: float = 20.0) -> list[RouterFinding]:
        return await examine(self._runtime, self._reach, self._router, self._routed, deadline=deadline)

    async def close(self) -> None:
        await self._reach.close()

    async def _changed(self, state: RouterState, already: bool, begun: float) -> Changed:
        """Written to the files even where nothing was to be changed: the last attempt may have come just as far as that."""
        async with self._turn:
            unsaved = await save(self._runtime, self._reach, self._router, self._routed, deadline=_SAVING)
        return Changed(state, already, time.monotonic() - begun, unsaved)

    def _refuse(self, action: str, problem: str, advice: str = "") -> None:
        if problem:
            raise RouterRefused(self.host, action, problem, left="Nothing was changed there", advice=advice)


def _share_in(text: str | None, problems: list[str]) -> int:
    """HAProxy takes whatever it is given for a number: what is none counts as 0 there."""
    if text is None or (re.fullmatch(r"\d{1,5}", text) and int(text) <= FULL):
        return int(text or 0)
    problems.append(f"the share is {text!r}, which is no number from 0 to {FULL}")
    return 0


def _rules_in(entries: dict[str, str], problems: list[str]) -> tuple[MatchRule, ...]:
    rules = []
    for key, value in entries.items():
        on, _, wanted = key.partition(":")
        if on == _LABEL.rstrip(":"):
            continue
        if on not in tuple(MatchOn) or value not in tuple(Slot) or not wanted:
            problems.append(f"the rule {key!r} → {value!r} is none of Quarterdeck's")
        else:
            rules.append(MatchRule(MatchOn(on), wanted, Slot(value)))
    return tuple(sorted(rules))


def _servers_in(rows: Sequence[Row]) -> tuple[ServerState, ...]:
    """Those that are in service or on their way: a place in maintenance is nobody's, unless it still has requests."""
    found = []
    for row in rows:
        if row.name == "BACKEND" or (row.in_maintenance and not row.in_flight):
            continue
        mode = Mode.LEAVING if row.in_maintenance else Mode.ENTERING if row.draining else Mode.READY
        healthy = None if row.in_maintenance or row.unchecked else row.up or row.passed
        found.append(ServerState(row.server, mode, healthy, row.in_flight, row.detail))
    return tuple(found)


def _counted(row: Row) -> SlotStatistics:
    numbers = row.numbers
    answers = [numbers[f"hrsp_{kind}"] for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")]
    return SlotStatistics(
        requests=sum(answers),
        answers_2xx=answers[1],
        answers_3xx=answers[2],
        answers_4xx=answers[3],
        answers_5xx=answers[4],
        connection_errors=numbers["econ"],
        response_errors=numbers["eresp"],
        retries=numbers["wretr"],
        redispatches=numbers["wredis"],
        in_flight=row.in_flight,
        mean_response=numbers["rtime"] / 1000,
    )
