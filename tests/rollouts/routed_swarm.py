"""A real Swarm behind a real HAProxy, on which two releases of a service run beside each other, with two tasks each."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from quarterdeck.backends.routers.contract import FULL, Slot
from quarterdeck.history.records import RolloutState
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import Client
from tests.docker_fleet import HEALTH as SHOWN
from tests.rollouts.routed_docks import haproxy_for_versions, two_free_ports
from tests.rollouts.routed_field import written
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in

TASKS: Final = 2
"""Of each release. A node has one of them at most: a port in host mode is taken there."""


class Pier:
    """The Swarm behind a router. Its kernel may have no ingress: tasks are at a port of their node, and the router leads to one of them."""

    def __init__(self, harbour: SwarmFleet, router: RunningHaproxy) -> None:
        self.harbour = harbour
        self.router = router

    async def do(self, *arguments: str, status: int = 0) -> str:
        return (await asyncio.to_thread(self.harbour.qd, *arguments, status=status)).stdout

    async def versions(self) -> Counter[str]:
        return Counter(await asyncio.to_thread(self.harbour.versions))

    async def begin(self, version: str) -> int:
        return await asyncio.to_thread(self.harbour.begin, "deploy", version)

    async def in_state(self, rollout: int, state: RolloutState) -> None:
        await asyncio.to_thread(self.harbour.in_state, rollout, state, 240.0)

    async def answers(self, count: int = 10) -> Counter[str]:
        client = Client(self.router.port)
        found = Counter([(await client.get("/version")).strip() for _ in range(count)])
        client.close()
        return found

    async def assert_serves_only(self, version: str, tasks: int = TASKS) -> None:
        """All its tasks run and no others, and the router leads to it alone, with no server of another release in either slot."""
        assert await self.versions() == Counter({version: tasks})
        state = await self.router.connect().read()
        servers = {
            slot: [one.server for one in state.slots[slot].servers] for slot in Slot if state.slots[slot].servers
        }
        assert [len(found) for found in servers.values()] == [1], servers
        (slot,) = servers
        assert (state.share_of(slot), state.rules, state.slots[slot].release.rpartition("-")[0]) == (FULL, (), version)
        assert set(await self.answers()) == {version}


@asynccontextmanager
async def pier_in(directory: Path, swarm: Swarm, *, beside: bool = True) -> AsyncIterator[Pier]:
    """``directory``: of the fleet file and the journal. ``beside``: two releases have ports to run beside each other."""
    router = haproxy_for_versions()
    port = two_free_ports()
    published = f"{port}-{port + 1}" if beside else str(port)
    ports: dict[str, Any] = {"target": 8080, "published": published, "mode": "host"}
    try:
        await router.start()
        with swarm_fleet_in(
            directory,
            swarm,
            container={"ports": [ports]},
            placed={"replicas": TASKS},
            top={"routers": {"edge": written(router.router)}},
            service={"router": {"use": "edge/api", "drain": "2s", "check": "/version"}, "health": SHOWN},
        ) as harbour:
            yield Pier(harbour, router)
    finally:
        await router.close()
