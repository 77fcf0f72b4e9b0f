"""A target on a real Swarm whose tasks say what a test wants to hear."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from quarterdeck.backends.hosts.contract import Exited, Fence, Printed, SecretValues
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.swarm.backend import SwarmBackend
from quarterdeck.backends.hosts.swarm.connection import SwarmConnection
from quarterdeck.config.container import ContainerSpec, Deploy, Limits
from quarterdeck.config.model import Host, Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from tests.swarm import Swarm
from tests.swarm_in_motion import tasks_of
from tests.swarm_in_motion import until as until

NO_SECRETS: Final = SecretValues()
COUNTS: Final = "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done"
WAITS: Final = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@dataclass
class Talking:
    swarm: Swarm
    connection: SwarmConnection
    name: str = field(default_factory=lambda: f"w{uuid.uuid4().hex[:8]}")

    @property
    def target(self) -> str:
        return f"test/{self.name}"

    @property
    def fence(self) -> Fence:
        return Fence(self.target, 1, "rollout 1, alice@bastion", "1:abcdef")

    def release(
        self, version: str, script: str, *, replicas: int = 1, limits: Limits | None = None, **more: Any
    ) -> Release:
        """Runs ``script`` in a shell; ``more``: of ``Deploy``."""
        location = self.swarm.image("talks", version)
        deploy = Deploy(replicas=replicas, endpoint_mode="dnsrr", **more)
        spec = ContainerSpec(
            project="",
            service="web",
            container_name=self.name,
            command=("sh", "-c", script),
            stop_grace_period=3.0,
            deploy=deploy,
            limits=limits or Limits(),
        )
        artifact = ResolvedArtifact(location, location.rpartition(":")[2])
        return Release(self.target, version, artifact, "", Runner(), container=spec)

    async def live(self, release: Release, op_id: str) -> None:
        await self.connection.stage(release, None, NO_SECRETS, self.fence)
        await self.connection.switch(release, NO_SECRETS, self.fence, op_id)

    def tasks(self) -> list[dict[str, Any]]:
        """All that the Swarm remembers, as it tells them."""
        return tasks_of(self.swarm, self.target)

    def running(self) -> list[dict[str, Any]]:
        return [one for one in self.tasks() if (one["Status"]["State"], one["DesiredState"]) == ("running", "running")]

    async def run(self, *command: str, **more: Any) -> tuple[int, str]:
        """The status, and what was printed. While managers choose a leader nothing is: that takes some twenty seconds."""
        status, printed = -1, b""
        async for piece in self.connection.exec_in(self.target, "", command, deadline=90.0, **more):
            match piece:
                case Exited(status=status):
                    pass
                case Printed(data=data):
                    printed += data
        return status, printed.decode()


def host_of(swarm: Swarm, managers: Sequence[int] = (0, 1, 2), nodes: str | None = None) -> Host:
    addresses = tuple(swarm.managers[index] for index in managers)
    return Host("swarm", swarm=addresses, nodes=swarm.nodes_template if nodes is None else nodes)


@asynccontextmanager
async def talking(swarm: Swarm, **more: Any) -> AsyncIterator[Talking]:
    """``more``: of ``host_of``."""
    ssh = SshBackend()
    docker = DockerBackend(lambda: ssh)
    connection = await SwarmBackend(lambda: docker, fleet="test").connect(host_of(swarm, **more))
    try:
        yield Talking(swarm, connection)
    finally:
        await connection.close()
