"""One real engine behind a real HAProxy, on which two releases of a service can run beside each other."""

import asyncio
import json
from collections import Counter
from typing import Any

from quarterdeck.history.records import RolloutState
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import Client
from tests.docker_fleet import DockerField
from tests.rollouts.routed_field import written
from tests.sshd import free_range


def two_free_ports() -> int:
    """The first of two."""
    return free_range(2).start


class Edge:
    """A field with one engine behind a router."""

    def __init__(self, docks: DockerField, router: RunningHaproxy) -> None:
        docks.engines = docks.engines[:1]
        self.docks = docks
        self.router = router
        port = two_free_ports()
        docks.container = {"ports": [f"127.0.0.1:{port}-{port + 1}:8080"]}

    def write(self, **service: Any) -> None:
        self.docks.write(router={"use": "edge/api", "drain": "2s", "check": "/version"}, **service)
        body = json.loads(self.docks.file.read_text())
        body["routers"] = {"edge": written(self.router.router)}
        self.docks.file.write_text(json.dumps(body))

    async def do(self, *arguments: str, status: int = 0) -> str:
        return (await asyncio.to_thread(self.docks.qd, *arguments, status=status)).stdout

    async def begin(self, version: str) -> int:
        return await asyncio.to_thread(self.docks.begin, "deploy", version)

    async def in_state(self, rollout: int, state: RolloutState) -> None:
        await asyncio.to_thread(self.docks.in_state, rollout, state)

    async def ended(self, rollout: int) -> RolloutState:
        return (await asyncio.to_thread(self.docks.ended, rollout)).state

    def versions(self) -> Counter[str]:
        """Of the containers that run."""
        (engine,) = self.docks.engines
        return Counter(
            one["Labels"]["app.version"] for one in self.docks.containers(engine) if one["State"] == "running"
        )

    async def answers(self, count: int = 10) -> Counter[str]:
        client = Client(self.router.port)
        found = Counter([(await client.get("/version")).strip() for _ in range(count)])
        client.close()
        return found


def haproxy_for_versions() -> RunningHaproxy:
    """The containers' health is at another path than in the documented text."""
    router = RunningHaproxy()
    router.configuration.write_text(router.configuration.read_text().replace("GET /health", "GET /version"))
    return router
