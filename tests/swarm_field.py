"""A target of its own on a real Swarm: releases to put there, and what runs of them as the Swarm itself tells it."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quarterdeck.backends.hosts.contract import Fence, TargetFacts
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.swarm.backend import SwarmBackend
from quarterdeck.backends.hosts.swarm.connection import SwarmConnection
from quarterdeck.config.container import ContainerSpec, Deploy, PublishedPort
from quarterdeck.config.model import Health, Host, HttpCheck, Runner, SecretReference
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord
from tests.sshd import SshdFleet, free_range
from tests.swarm import Swarm
from tests.swarm_in_motion import tasks_of

SHOWN = Health(
    http=HttpCheck(8080, "/version", contains="{version}"), timeout=15.0, interval=0.1, healthy_deadline=60.0
)
"""Asks for the version that a release is of. Once is enough for an observer, so an answer has the time that a busy machine takes for it."""


def backend(ways: SshdFleet | None = None) -> SwarmBackend:
    """``ways``: whose ssh_config is gone by."""
    ssh = SshBackend() if ways is None else SshBackend([ways.ssh_config], [ways.known_hosts])
    docker = DockerBackend(lambda: ssh)
    return SwarmBackend(lambda: docker, fleet="test")


async def connect(swarm: Swarm, name: str = "swarm", managers: Sequence[str] = ()) -> SwarmConnection:
    host = Host(name, swarm=tuple(managers or swarm.managers), nodes=swarm.nodes_template)
    return await backend().connect(host)


def over_ssh(swarm: Swarm) -> Host:
    """By sshds that are called as the nodes are."""
    addresses = tuple(node.over_ssh for node in swarm.nodes)
    return Host("swarm", swarm=addresses, nodes=f"ssh://{{hostname}}{swarm.directory}/{{hostname}}/engine.sock")


@dataclass
class Field:
    """``replicas``: of each of its releases, where nothing else is said."""

    swarm: Swarm
    connection: SwarmConnection
    replicas: int = 1
    name: str = field(default_factory=lambda: f"w{uuid.uuid4().hex[:8]}")

    @property
    def target(self) -> str:
        return f"test/{self.name}"

    def fence(self, epoch: int = 1, holder: str = "rollout 1, alice@bastion") -> Fence:
        return Fence(self.target, epoch, holder, f"{epoch}:abcdef")

    def spec(self, *, deploy: Mapping[str, Any] | None = None, **more: Any) -> ContainerSpec:
        """Without a network: tasks start quicker then. Virtual addresses need what a kernel may lack."""
        given = {"replicas": self.replicas, "endpoint_mode": "dnsrr", **(deploy or {})}
        more.setdefault("stop_grace_period", 3.0)
        return ContainerSpec(project="", service="web", container_name=self.name, deploy=Deploy(**given), **more)

    def release(
        self,
        version: str,
        *,
        image: Mapping[str, Any] | None = None,
        spec: ContainerSpec | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        health: Health | None = None,
    ) -> Release:
        """``image``: how it is made, as ``Swarm.image`` takes it."""
        made = dict(image or {})
        location = self.swarm.image(made.pop("name", "app"), version, **made)
        record = {one: SecretRecord(SecretReference("env", one), "x:y") for one in secrets}
        return Release(
            self.target,
            version,
            ResolvedArtifact(location, location.rpartition(":")[2]),
            "",
            Runner(),
            env=env or {},
            secrets=record,
            health=health,
            container=spec or self.spec(),
        )

    def served(self, version: str, *, replicas: int | None = None, **more: Any) -> Release:
        """Answers at a port of each node, which is the same for all of its releases, and is asked for its version there."""
        port = PublishedPort(8080, str(self.port), mode="host")
        spec = self.spec(ports=(port,), deploy={"replicas": self.replicas if replicas is None else replicas})
        more.setdefault("health", SHOWN)
        return self.release(version, spec=more.pop("spec", spec), **more)

    @property
    def port(self) -> int:
        """Nodes have networks of their own, so targets of other workers don't want it. No connection is given it as its own end."""
        return 20000 + int(self.name[1:5], 16) % 10000

    async def facts(self) -> TargetFacts:
        return await self.connection.facts(self.target, "")

    def tasks(self) -> list[dict[str, Any]]:
        """Those that run, whatever the Swarm wants of them, as it tells them."""
        return [one for one in tasks_of(self.swarm, self.target) if one["Status"]["State"] == "running"]

    @property
    def running(self) -> list[str]:
        """Ids of the releases that run now, each once."""
        labels = [one["Spec"]["ContainerSpec"].get("Labels", {}) for one in self.tasks()]
        return sorted({one["dev.quarterdeck.release"] for one in labels if "dev.quarterdeck.role" not in one})

    @property
    def versions(self) -> list[str]:
        """Of all tasks that run, one for each."""
        return sorted(
            one["Spec"]["ContainerSpec"]["Labels"]["dev.quarterdeck.release"].rpartition("-")[0] for one in self.tasks()
        )

    def ranges(self) -> tuple[PublishedPort, ...]:
        ports = free_range()
        return (PublishedPort(8080, f"{ports[0]}-{ports[-1]}", mode="host"),)
