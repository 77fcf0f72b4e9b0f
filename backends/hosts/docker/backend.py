"""Opens the way to hosts that are Docker engines. The SDK is slow to import: only where an engine is opened."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.backends.hosts.docker.place import PlaceError, SshPlace, find_place
from quarterdeck.backends.pacing import CONNECTING_AT_ONCE, SLOW_TO_CONNECT, Pace
from quarterdeck.config.model import Host

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.connection import DockerConnection
    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.docker.way import Way
    from quarterdeck.backends.hosts.ssh.backend import SshBackend
    from quarterdeck.backends.hosts.ssh.connection import SshConnection


@dataclass(frozen=True, slots=True)
class _Login:
    """A host as the SSH backend wants one."""

    name: str
    ssh: str


class DockerBackend:
    """``ssh`` gives the backend that SSH hosts use, asked for only where an engine is reached over SSH. ``auth``: the credentials that
    an engine pulls with. ``fleet``: the name of the fleet whose targets these are."""

    def __init__(self, ssh: "Callable[[], SshBackend]", auth: Auth = no_auth, fleet: str = "") -> None:
        self._ssh = ssh
        self._auth = auth
        self._fleet = fleet
        self._connecting = Pace(CONNECTING_AT_ONCE, SLOW_TO_CONNECT)

    async def connect(self, host: Host, *, deadline: float = 20.0) -> "DockerConnection":
        """The engine as a host of the contract. Raises what ``open_engine`` does."""
        engine = await self.open_engine(host, deadline=deadline)
        from quarterdeck.backends.hosts.docker.connection import DockerConnection

        return DockerConnection(engine, self._auth)

    async def open_engine(self, host: Host, *, deadline: float = 20.0) -> "Engine":
        """An engine that has answered: a host, or a manager or a node of a Swarm. ``deadline``: seconds, without those that are waited for
        others to have connected. Raises ``Unreachable``, ``HostKeyRejected``, ``LoginRefused``, ``NotPermitted``."""
        async with self._connecting.place():
            return await self._open(host, deadline)

    async def _open(self, host: Host, deadline: float) -> "Engine":
        end = time.monotonic() + deadline
        try:
            place = await asyncio.to_thread(find_place, host.docker, host.tls)
        except PlaceError as error:
            raise Unreachable(host.name, "connect", str(error), advice=error.advice) from None
        await asyncio.to_thread(_load)
        from quarterdeck.backends.hosts.docker.engine import Engine
        from quarterdeck.backends.hosts.docker.way import DirectWay, SshWay

        way: Way
        if isinstance(place, SshPlace):
            login = _Login(host.name, place.ssh)

            async def connect(deadline: float) -> "SshConnection":
                return await self._ssh().connect(login, deadline=deadline)

            way = SshWay(host.name, place, connect)
        else:
            way = DirectWay(place)
        engine = Engine(host.name, way, self._fleet)
        try:
            await engine.open(max(0.1, end - time.monotonic()))
        except BaseException:
            await engine.close()
            raise
        return engine


def _load() -> None:
    import quarterdeck.backends.hosts.docker.engine  # noqa: F401 # in a thread: it takes a fifth of a second
