"""A real engine as a host, with a registry that its images come from, and releases to put on it."""

import contextlib
import shutil
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors
import httpx

from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.container import ContainerSpec, Network
from quarterdeck.config.model import Health, HttpCheck, Runner, SecretReference
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord
from tests.engine import DockerEngine
from tests.requirements_here import need
from tests.sshd import free_port, wait_for

NO_SECRETS = SecretValues()
HEALTH = Health(http=HttpCheck(8080, "/health", contains="ok"), timeout=2.0, interval=0.05)


@dataclass
class Registry:
    """Debian's docker-registry on a free port: what it is told by this machine needs no login."""

    name: str
    process: subprocess.Popen[bytes]
    pushed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def push(
        self, engine: DockerEngine, reference: str, auth: dict[str, str] | None = None, **image: Any
    ) -> tuple[str, str]:
        """Location and digest of what ``engine.image`` makes; the engine has no name for it any more."""
        known = f"{engine.socket} {reference}"
        if known not in self.pushed:
            name = f"{self.name}/{reference}"
            engine.image(name, **image)
            said = engine.client.push(name, auth_config=auth)
            assert "errorDetail" not in said, said
            location = next(
                one for one in engine.client.inspect_image(name)["RepoDigests"] if one.startswith(self.name)
            )
            engine.client.remove_image(name, force=True)
            self.pushed[known] = location, location.rpartition(":")[2]
        return self.pushed[known]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


# bcrypt, the only hash that docker-registry takes; of hunter2, at the least cost.
_HASH = "ci:$2b$04$d00EuL30SZ0r/A/p2Wq9YuPlKMZ.bXlh2Hg1TbVSczGa3LUkIDBay"


def start_registry(directory: Path, *, password: bool = False) -> Registry:
    program = shutil.which("docker-registry")
    need(program is not None, "docker-registry (package docker-registry)")
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port("127.0.0.1")
    configuration = directory / "registry.yml"
    configuration.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: x}}\n"
    )
    if password:
        (directory / "users").write_text(f"{_HASH}\n")
        with configuration.open("a") as more:
            more.write(f"auth: {{htpasswd: {{realm: x, path: {directory}/users}}}}\n")
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [str(program), "serve", str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def answers() -> bool:
        assert process.poll() is None, f"the registry ended:\n{(directory / 'registry.log').read_text()[-2000:]}"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code in (200, 401)
        except httpx.HTTPError:
            return False

    wait_for(answers, "the registry answers")
    return Registry(f"127.0.0.1:{port}", process)


@dataclass
class Box:
    """A target of its own on a real engine: names, networks and volumes that no other test has."""

    engine: DockerEngine
    registry: Registry
    connection: DockerConnection
    name: str = field(default_factory=lambda: f"w{uuid.uuid4().hex[:8]}")

    @property
    def target(self) -> str:
        return f"test/{self.name}"

    @property
    def network(self) -> str:
        return f"{self.name}_net"

    def spec(self, **more: Any) -> ContainerSpec:
        """In a network of its own, where ``web`` leads to it."""
        more.setdefault("networks", (Network(self.network, aliases=("web",)),))
        more.setdefault("stop_grace_period", 3.0)
        return ContainerSpec(project=self.name, service="web", container_name=self.name, **more)

    def release(
        self,
        version: str,
        *,
        image: Mapping[str, Any] | None = None,
        spec: ContainerSpec | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        health: Health | None = HEALTH,
    ) -> Release:
        """Of an image of that tag; ``image``: how it is made, its name with it where another one was pushed under it."""
        made = dict(image or {})
        location, digest = self.registry.push(self.engine, f"{made.pop('name', 'app')}:{version}", **made)
        record = {one: SecretRecord(SecretReference("env", one), "x:y") for one in secrets}
        return Release(
            self.target,
            version,
            ResolvedArtifact(location, digest),
            "",
            Runner(),
            env=env or {},
            secrets=record,
            health=health,
            container=spec or self.spec(),
        )

    def fence(self, epoch: int = 1, holder: str = "rollout 1, alice@bastion") -> Fence:
        return Fence(self.target, epoch, holder, f"{epoch}:abcdef")

    async def staged(self, version: str, *, epoch: int = 1, **more: Any) -> Release:
        release = self.release(version, **more)
        await self.connection.stage(release, None, NO_SECRETS, self.fence(epoch))
        return release

    async def another(self) -> DockerConnection:
        """As another worker would have one."""
        return await connect(self.engine)

    async def live(self, release: Release, op_id: str, *, epoch: int = 1) -> None:
        """Staged or not, it is live afterwards and alone."""
        await self.connection.stage(release, None, NO_SECRETS, self.fence(epoch))
        outcome = await self.connection.switch(release, NO_SECRETS, self.fence(epoch), op_id)
        if outcome.beside:
            outcome = await self.connection.retire(release, self.fence(epoch), f"{op_id}r")
        assert outcome.current == release.id

    def containers(self, *, running: bool | None = None) -> dict[str, Mapping[str, Any]]:
        """Of the target, by name."""
        found = self.engine.client.containers(all=True, filters={"label": [f"dev.quarterdeck.target={self.target}"]})
        return {
            one["Names"][0].lstrip("/"): one
            for one in found
            if running is None or (one["State"] == "running") is running
        }

    @property
    def running(self) -> list[str]:
        """Releases that run now."""
        found = self.containers(running=True).values()
        return sorted(one["Labels"]["dev.quarterdeck.release"] for one in found)

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.client.inspect_container(name)
        return found

    def registers(self) -> list[str]:
        found = self.engine.client.volumes(filters={"label": [f"dev.quarterdeck.target={self.target}"]})
        return [one["Name"] for one in found["Volumes"] or []]

    def clear(self) -> None:
        """What the engine's fixture does not remove with the containers."""
        self.engine.remove_containers()
        for directory in Path("/dev/shm").glob(f"quarterdeck-test-{self.name}-*"):
            shutil.rmtree(directory)
        client = self.engine.client
        for name in self.registers():
            with contextlib.suppress(docker.errors.NotFound):  # an old one, whose removal was still under way
                client.remove_volume(name)
        for network in client.networks():
            if network["Name"].startswith(self.name):
                client.remove_network(network["Id"])


async def connect(engine: DockerEngine) -> DockerConnection:
    return await DockerBackend(SshBackend).connect(engine.as_host())
