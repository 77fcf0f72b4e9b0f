"""Directs a target's requests while a rollout moves its hosts: what a step asks of the router, and where each host is reached by it.

Before each change it is made sure that this worker is still the one that drives the target: a router knows no fence.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from quarterdeck.backends.errors import BackendError, HostKeyRejected, LoginRefused, Unreachable
from quarterdeck.backends.routers.contract import (
    FULL,
    Changed,
    Left,
    MatchOn,
    MatchRule,
    RouterConnection,
    RouterState,
    Server,
    Slot,
)
from quarterdeck.backends.routers.opening import open_router
from quarterdeck.config.model import Target
from quarterdeck.config.release import Release
from quarterdeck.history.errors import JournalBusy, JournalFull
from quarterdeck.rollouts.plans.traffic import carried, shown

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import Connection
    from quarterdeck.backends.hosts.opening import Hosts

log = logging.getLogger("quarterdeck.worker")

PATIENCE = 15.0  # seconds that a router gets which is being restarted
_AGAIN = 0.3  # seconds between two tries
_ENTERING = 60.0  # seconds for a server to be well in the router's eyes
_RESOLVING = 5.0  # seconds

T = TypeVar("T")


class Director:
    """``holds`` raises ``EpochLost`` where another worker has taken the target over; ``record`` journals a router's state."""

    def __init__(
        self,
        target: Target,
        backend: "Hosts",
        holds: Callable[[], None],
        record: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        assert target.routed is not None
        assert target.router is not None
        self.name = target.routed.name
        self._port = target.routed.port
        self._drain = target.routed.drain
        hosts = {target.router_host.name: target.router_host} if target.router_host is not None else {}
        self._router: RouterConnection = open_router(target.router, target.routed, backend, hosts)
        self._said = {host.name: host.address for host in target.hosts}
        # Whether all servers are tasks of one swarm: each is at the node of its task.
        self.one_swarm = len(target.hosts) == 1 and bool(target.hosts[0].swarm)
        self._holds = holds
        self._record = record
        self._recording = asyncio.Lock()

    async def look(self, *, patience: float) -> RouterState:
        """Changes nothing. Raises ``BackendError``."""
        return await self._read(patience)

    async def address(self, host: str, connection: "Connection", release: Release) -> str:
        """The IP address by which the router reaches the host. Raises ``Unreachable``."""
        return (await self.server(host, connection, release, None)).address

    async def server(self, host: str, connection: "Connection", release: Release, port: int | None = None) -> Server:
        """Where the release's instance on the host listens. ``port``: None where only the address is wanted."""
        reached = await connection.address_of(release, port)
        name, number = (reached, 0) if port is None else _split(reached)
        return Server(self._said.get(host) or await _ip(host, name), number)

    async def instance(self, host: str, connection: "Connection", release: Release) -> Server:
        return await self.server(host, connection, release, self._port)

    async def leave(
        self,
        address: str,
        *,
        stays: tuple[Slot, Server] | None = None,
        even_the_last: bool = False,
        wherever: bool = False,
        patience: float = PATIENCE,
    ) -> Mapping[str, Any]:
        """Takes the servers of one host out of both slots, but for the one that ``stays`` there; gives what became of their requests.
        ``wherever``: where the target's only host is a Swarm, those at other addresses too. They are its: a task's server is at the
        task's node."""
        state = await self._read(patience)
        every = wherever and self.one_swarm
        cut, waiting, left = 0, 0, 0
        for slot, found in state.slots.items():
            going = [
                one.server
                for one in found.servers
                if (every or one.server.address == address) and (slot, one.server) != stays
            ]
            if not going:
                continue

            async def leave(slot: Slot = slot, going: Sequence[Server] = going) -> Left:
                return await self._router.leave(slot, going, patience=self._drain, even_the_last=even_the_last)

            done = await self._changing(leave, patience)
            cut, waiting, left = cut + done.cut, waiting + (done.waiting or 0), left + len(going)
        return {"left": left, **({"cut": cut} if cut else {}), **({"still_served": waiting} if waiting else {})}

    async def enter(self, slot: Slot, release: str, server: Server) -> None:
        await self._changing(lambda: self._router.enter(slot, release, [server], deadline=_ENTERING), PATIENCE)

    async def _read(self, patience: float) -> RouterState:
        deadline = min(10.0, max(patience, 1.0))
        return await self._patiently(lambda: self._router.read(deadline=deadline), patience)

    async def has(self, slot: Slot, server: Server, *, patience: float = PATIENCE) -> bool:
        """Whether it is there, in whatever mode."""
        return server in [one.server for one in (await self._read(patience)).slots[slot].servers]

    async def serves(self, slot: Slot, release: str, server: Server, *, patience: float = PATIENCE) -> bool:
        """Whether it gets requests there already."""
        found = (await self._read(patience)).slots[slot]
        return found.release == release and server in found.ready

    async def share(
        self,
        slot: Slot,
        percent: float,
        *,
        if_served: bool = False,
        servers: int | None = None,
        patience: float = PATIENCE,
    ) -> dict[str, Any]:
        """``slot`` gets so many percent of the requests, as near as the router can; the other one the rest. ``if_served``: only where
        somebody is in service there. ``servers``: so many were to carry it there; where some of them are lost it gets less."""
        short: dict[str, Any] = {}
        if if_served or servers is not None:
            found = (await self._read(patience)).slots[slot]
            if if_served and not found.ready:
                return {"waits": f"nobody is in service in {slot} yet"}
            if servers is not None and len(found.live) < servers:
                short = {"planned": percent, "live": len(found.live), "servers": servers}
                percent = carried(percent, servers, len(found.live))
        step = self._router.share_step
        wanted = min(FULL, max(0, round(percent * FULL / 100 / step) * step))
        if 0 < percent < 100:
            wanted = min(FULL - step, max(step, wanted))  # never none, never all of it
        green = wanted if slot is Slot.GREEN else FULL - wanted
        done = await self._changing(lambda: self._router.set_share(green), patience)
        return {
            "percent": done.state.share_of(slot) * 100 / FULL,
            "already": done.already,
            **short,
            **({"unsaved": done.unsaved} if done.unsaved else {}),
        }

    async def route(self, slot: Slot, rules: Sequence[Sequence[str]]) -> dict[str, Any]:
        """These are all rules from now on: pairs of ``header`` or ``cookie`` and the value that leads to ``slot``."""
        wanted = [MatchRule(MatchOn(on), value, slot) for on, value in rules]
        done = await self._changing(lambda: self._router.set_rules(wanted), PATIENCE)
        return {"rules": len(done.state.rules), "already": done.already}

    async def _changing(self, change: Callable[[], Awaitable[T]], patience: float) -> T:
        async def once() -> T:
            self._holds()
            return await change()

        done = await self._patiently(once, patience)
        assert isinstance(done, Changed | Left)
        await self._tell()
        return done

    async def _tell(self) -> None:
        """What the router says after a change, in the order in which it was so. A journal without room keeps no rollback waiting."""
        async with self._recording:
            state = await self._patiently(self._router.read, PATIENCE)
            with contextlib.suppress(JournalFull, JournalBusy):
                await self._record({"router": self.name, **shown(state)})

    async def _patiently(self, ask: Callable[[], Awaitable[T]], patience: float) -> T:
        """Once more where nobody answers, as while it is restarted: what holds already is not done twice."""
        until = time.monotonic() + patience
        while True:
            try:
                return await ask()
            except (HostKeyRejected, LoginRefused):
                raise
            except Unreachable as error:
                if time.monotonic() >= until:
                    raise
                log.warning("the router does not answer, once more, reason=%s", error)
            await asyncio.sleep(_AGAIN)

    async def close(self) -> None:
        with contextlib.suppress(BackendError):
            await self._router.close()


def _split(reached: str) -> tuple[str, int]:
    name, _, port = reached.rpartition(":")
    return name, int(port)


async def _ip(host: str, name: str) -> str:
    """The address itself, or the first one that its name stands for here. Raises ``Unreachable``."""
    plain = name.strip("[]")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(plain))
    try:
        async with asyncio.timeout(_RESOLVING):
            found = await asyncio.get_running_loop().getaddrinfo(plain, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        raise Unreachable(
            host,
            "find its address for the router",
            f"{plain} is not resolved: {error}",
            left="Nothing was changed",
            advice="say it in the fleet file: `address` of the host",
        ) from None
    return str(found[0][4][0])
