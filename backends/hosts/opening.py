"""Opens the way to a host, whatever kind it is. What a kind needs is loaded when there is one: a fleet of SSH hosts never loads the
engine's SDK, a fleet of engines on this machine never loads SSH."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

from quarterdeck.config.model import Fleet, Host
from quarterdeck.config.registries import RegistryLogins
from quarterdeck.config.release import Release, ResolvedArtifact

if TYPE_CHECKING:
    import asyncssh

    from quarterdeck.backends.hosts.contract import Connection
    from quarterdeck.backends.hosts.docker.backend import DockerBackend
    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.docker.images import Sink, Tagged
    from quarterdeck.backends.hosts.ssh.backend import SshBackend
    from quarterdeck.backends.hosts.swarm.backend import SwarmBackend
    from quarterdeck.backends.hosts.swarm.managers import Managers
    from quarterdeck.config.container import ContainerSpec

_ENGINE: Final = 10.0  # seconds for an engine that is asked for images to be reached


class AnyHost(Protocol):
    """As much of a host as connecting needs; see ``config.model.Host``."""

    @property
    def name(self) -> str: ...

    @property
    def ssh(self) -> str: ...

    @property
    def docker(self) -> str: ...

    @property
    def tls(self) -> str: ...

    @property
    def swarm(self) -> tuple[str, ...]: ...

    @property
    def nodes(self) -> str: ...


class Hosts:
    """The hosts contract for every kind of host. ``ssh_config`` and ``known_hosts``: see ``SshBackend``; engines that are reached over
    SSH, and artifacts behind sftp://, go by the same. ``logins``: those of the fleet file for registries that engines pull from.
    ``fleet``: its name."""

    def __init__(
        self,
        ssh_config: Sequence[Path] = (),
        known_hosts: Sequence[Path] = (),
        logins: RegistryLogins | None = None,
        fleet: str = "",
    ) -> None:
        self._fleet = fleet
        self.logins = logins or RegistryLogins()
        self._ssh_config = ssh_config
        self._known_hosts = known_hosts
        self._ssh: SshBackend | None = None
        self._docker: DockerBackend | None = None
        self._swarm: SwarmBackend | None = None

    @property
    def fleet(self) -> str:
        """The fleet's name."""
        return self._fleet

    @classmethod
    def of(cls, fleet: Fleet) -> Self:
        return cls(fleet.ssh_config, fleet.known_hosts, RegistryLogins.of(fleet), fleet.name)

    async def connect(self, host: AnyHost, *, deadline: float = 20.0) -> "Connection":
        """Raises ``Unreachable``, ``HostKeyRejected``, ``LoginRefused``, ``NotPermitted`` (an engine's socket)."""
        if host.swarm:
            return await self.swarm().connect(
                Host(host.name, swarm=host.swarm, nodes=host.nodes, tls=host.tls), deadline=deadline
            )
        if not host.docker:
            return await self.ssh().connect(host, deadline=deadline)
        return await self.docker().connect(
            Host(host.name, host.ssh, docker=host.docker, tls=host.tls), deadline=deadline
        )

    async def sftp(self, address: str) -> "asyncssh.SSHClientConnection":
        """A connection to what ``ssh`` would be given, for fetching an artifact: under the same rules as every host's."""
        return (await self.ssh().connect(Host(address, address))).ssh

    # Images that no registry has; see ``docker.images``.

    async def find_image(self, host: Host, repository: str, version: str) -> ResolvedArtifact:
        """What the tag ``version`` stands for on this engine. Raises ``ArtifactMissing``, and what ``connect`` does."""
        from quarterdeck.backends.hosts.docker.images import find

        async with self._engine(host) as engine:
            return await find(engine, repository, version)

    async def image_tags(self, host: Host, repository: str) -> list[str]:
        """Those on this engine, of the newest images first."""
        return [one.tag for one in await self.tagged_images(host, repository)]

    async def tagged_images(self, host: Host, repository: str) -> "list[Tagged]":
        """The same with ids, sizes and times."""
        from quarterdeck.backends.hosts.docker.images import tagged

        async with self._engine(host) as engine:
            return await tagged(engine, repository)

    async def save_image(self, host: Host, release: Release, sink: "Sink") -> None:
        """The release's image as ``docker save`` writes it. Raises ``ArtifactMissing`` where this engine has it no more."""
        from quarterdeck.backends.hosts.docker.images import save

        async with self._engine(host) as engine:
            await save(engine, release, sink)

    # What containers need and nobody but the operator makes; see ``docker.externals``.

    async def engine_lacks(self, host: Host, specs: "Sequence[ContainerSpec]") -> tuple[str, list[tuple[str, str]]]:
        """The engine's version, and what is external for ``specs`` and not there: ``network`` or ``volume``, and its name."""
        if host.swarm:
            from quarterdeck.backends.hosts.swarm import externals as of_swarm

            async with self._managers(host) as managers:
                return managers.version, await of_swarm.lacking(managers, specs)
        from quarterdeck.backends.hosts.docker.externals import lacking

        async with self._engine(host) as engine:
            return engine.engine_version, await lacking(engine, specs)

    async def without_a_place(self, host: Host, specs: "Sequence[ContainerSpec]") -> "list[tuple[str, str] | None]":
        """Of a swarm: of each of ``specs`` why its nodes don't take it, and what to do; None where nothing is known to be in the way."""
        from quarterdeck.backends.hosts.swarm import externals as of_swarm

        async with self._managers(host) as managers:
            return await of_swarm.without_a_place(managers, specs)

    async def unreached_nodes(self, host: Host) -> list[tuple[str, str]]:
        """Of a swarm: hostnames of nodes that are there and whose engines are not reached, each with the reason."""
        connection = await self.swarm().connect(host, deadline=_ENGINE)
        try:
            return await connection.unreached_nodes()
        finally:
            await connection.close()

    async def make_on_engine(self, host: Host, kind: str, name: str) -> None:
        """A ``network`` or a ``volume`` as `docker network create NAME` makes it; of a swarm an overlay network."""
        if host.swarm:
            from quarterdeck.backends.hosts.swarm import externals as of_swarm

            async with self._managers(host) as managers:
                await of_swarm.make(managers, name)
            return
        from quarterdeck.backends.hosts.docker.externals import make

        async with self._engine(host) as engine:
            await make(engine, kind, name)

    @asynccontextmanager
    async def _engine(self, host: Host) -> "AsyncIterator[Engine]":
        engine = await self.docker().open_engine(host, deadline=_ENGINE)
        try:
            yield engine
        finally:
            await engine.close()

    @asynccontextmanager
    async def _managers(self, host: Host) -> "AsyncIterator[Managers]":
        managers = await self.swarm().open_managers(host, deadline=_ENGINE)
        try:
            yield managers
        finally:
            await managers.close()

    def ssh(self) -> "SshBackend":
        if self._ssh is None:
            from quarterdeck.backends.hosts.ssh.loading import load_asyncssh

            load_asyncssh()
            from quarterdeck.backends.hosts.ssh.backend import SshBackend

            self._ssh = SshBackend(self._ssh_config, self._known_hosts)
        return self._ssh

    def docker(self) -> "DockerBackend":
        if self._docker is None:
            from quarterdeck.backends.hosts.docker.backend import DockerBackend

            self._docker = DockerBackend(self.ssh, self._registry_auth, self._fleet)
        return self._docker

    def swarm(self) -> "SwarmBackend":
        if self._swarm is None:
            from quarterdeck.backends.hosts.swarm.backend import SwarmBackend

            self._swarm = SwarmBackend(self.docker, self._registry_auth, self._fleet)
        return self._swarm

    async def _registry_auth(self, repository: str) -> dict[str, str] | None:
        from quarterdeck.backends.artifacts.registry import registry_auth

        return await registry_auth(repository, logins=self.logins)
