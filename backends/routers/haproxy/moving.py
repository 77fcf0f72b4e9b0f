"""Takes servers into a slot of HAProxy and out of it again, in the one order in which no request is lost.

In: maintenance, address, drain (checked, no traffic), a check that succeeds from now on, ready. Out: maintenance (drain would keep
clients that stick to it), nothing in flight, what is left ended.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

from quarterdeck.backends.errors import NotReadBack, RouterRefused
from quarterdeck.backends.routers.contract import Server
from quarterdeck.backends.routers.haproxy.runtime import Row, Runtime

_LOOKS: Final = (0.02, 0.05, 0.1, 0.2)  # seconds between looks; the last one repeats
_CUTTING: Final = 2.0  # seconds for requests that were ended to be gone


class Moving:
    """In one backend. ``deadline``: seconds for each call but for waiting until requests end."""

    def __init__(self, runtime: Runtime, backend: str, action: str, deadline: float, turn: asyncio.Lock) -> None:
        self._runtime = runtime
        self._backend = backend
        self._action = action
        self._deadline = deadline
        self._turn = turn  # a place that is free is given to one only

    async def enter(self, servers: Sequence[Server]) -> bool:
        """Whether anything was to be done. Raises ``RouterRefused`` where one does not answer well; the new ones are out again then."""
        end = time.monotonic() + self._deadline
        rows = await self._rows()
        up = {row.server for row in rows if row.up}
        wanted = [server for server in dict.fromkeys(servers) if server not in up]
        if not wanted:
            return False
        async with self._turn:
            places = self._places(await self._rows(), wanted)
            try:
                await self._begin(places)
            except (RouterRefused, NotReadBack):
                await self._out(places)
                raise
        try:
            await self._until_healthy(places, end)
            await self._change(f"set server {self._backend}/{name} state ready" for name in places.values())
            await self._until_up(places)
        except (RouterRefused, NotReadBack):
            await self._out(places)
            raise
        return True

    async def _out(self, places: dict[Server, str]) -> None:
        await self._change(f"set server {self._backend}/{name} state maint" for name in places.values())

    def _places(self, rows: Sequence[Row], wanted: Sequence[Server]) -> dict[Server, str]:
        """Where each goes: where it is already, half-way or ill; else a place that is free, with nothing in flight."""
        places = {row.server: row.name for row in rows if not row.in_maintenance and row.server in wanted}
        free = [row for row in rows if row.in_maintenance and not row.in_flight]
        for server in wanted:
            if server in places:
                continue
            if not free:
                raise RouterRefused(
                    self._runtime.host,
                    self._action,
                    f"all {len(rows)} places for servers of {self._backend} are taken",
                    left="Nothing was changed there",
                    advice="raise the number behind server-template in haproxy.cfg, or let old servers leave first",
                )
            place = next((row for row in free if row.server == server), free[0])
            free.remove(place)
            places[server] = place.name
        return places

    async def _begin(self, places: dict[Server, str]) -> None:
        """HAProxy calls a server well that leaves maintenance, and shows the last check of whoever was there before: it is called down,
        so that only a check that is made from now on makes it well."""
        commands = []
        for server, name in places.items():
            at = f"{self._backend}/{name}"
            commands += [
                f"set server {at} state maint",
                f"set server {at} addr {server.address} port {server.port}",
                f"set server {at} state drain",
                f"set server {at} health down",
            ]
        await self._change(commands)
        by_name = {row.name: row for row in await self._rows()}
        for server, name in places.items():
            row = by_name[name]
            if row.server != server:
                raise NotReadBack(
                    self._runtime.host,
                    self._action,
                    f"{self._backend}/{name} is at {row.address}, not at {server}",
                    left="It gets no requests",
                    advice=f"look with: show servers state {self._backend}",
                )
            if row.unchecked:
                raise RouterRefused(
                    self._runtime.host,
                    self._action,
                    f"HAProxy does not check {self._backend}/{name}",
                    left="It gets no requests",
                    advice="write `check` behind its server-template in haproxy.cfg, and `option httpchk` in its backend",
                )

    async def _until_healthy(self, places: dict[Server, str], end: float) -> None:
        looks = 0
        while True:
            rows = {row.name: row for row in await self._rows()}
            waiting = {server: rows[name] for server, name in places.items() if not rows[name].passed}
            if not waiting:
                return
            if time.monotonic() >= end:
                said = "; ".join(f"{server}: {row.check} {row.said}".strip() for server, row in waiting.items())
                raise RouterRefused(
                    self._runtime.host,
                    self._action,
                    f"not healthy in HAProxy's eyes within {self._deadline:g} s: {said}",
                    left="Its servers are out again and got no requests; the others are as they were",
                    advice="does the service listen there, and may HAProxy's machine reach it? See: option httpchk in haproxy.cfg",
                )
            looks = await _pause(looks)

    async def _until_up(self, places: dict[Server, str]) -> None:
        rows = {row.name: row for row in await self._rows()}
        for server, name in places.items():
            if rows[name].in_maintenance or rows[name].draining:
                raise NotReadBack(
                    self._runtime.host,
                    self._action,
                    f"{server} is still {rows[name].status}",
                    left="It is out again",
                    advice=f"look with: show servers state {self._backend}",
                )

    async def leave(self, servers: Sequence[Server] | None, patience: float) -> tuple[bool, int, int]:
        """Whether anything was to be done, how many requests were ended, and how many are left (0: the servers may be stopped)."""
        rows = [row for row in await self._rows() if servers is None or row.server in servers]
        going = [row.name for row in rows if not row.in_maintenance]
        busy = [row.name for row in rows if row.in_flight or not row.in_maintenance]
        if going:
            await self._change(f"set server {self._backend}/{name} state maint" for name in going)
        left = await self._until_empty(busy, patience)
        cut = 0
        if left:
            cut = sum(left.values())
            await self._change(f"shutdown sessions server {self._backend}/{name}" for name in left)
            left = await self._until_empty(list(left), _CUTTING)
        again = [row for row in await self._rows() if row.name in going and not row.in_maintenance]
        if again:
            raise NotReadBack(
                self._runtime.host,
                self._action,
                f"{again[0].server} is {again[0].status} again",
                left="Share and rules are as they were",
                advice="somebody else works on this router: see who, then ask again",
            )
        return bool(busy), cut, sum(left.values())

    async def _until_empty(self, names: Sequence[str], patience: float) -> dict[str, int]:
        """Requests that are left after at most ``patience`` seconds, of those places that have any."""
        end = time.monotonic() + patience
        looks = 0
        while True:
            left = {row.name: row.in_flight for row in await self._rows() if row.name in names and row.in_flight}
            if not left or time.monotonic() >= end:
                return left
            looks = await _pause(looks)

    async def _rows(self) -> list[Row]:
        rows = await self._runtime.rows(self._backend, self._action, deadline=self._deadline)
        return [row for row in rows if row.name != "BACKEND"]

    async def _change(self, commands: Iterable[str]) -> None:
        await self._runtime.change(commands, self._action, deadline=self._deadline)


async def _pause(looks: int) -> int:
    await asyncio.sleep(_LOOKS[min(looks, len(_LOOKS) - 1)])
    return looks + 1
