"""Opens the way to hosts that are Swarms: a manager that answers, and the nodes behind it where something has to be asked of them."""

from typing import TYPE_CHECKING

from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.config.model import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from quarterdeck.backends.hosts.docker.backend import DockerBackend
    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.swarm.connection import SwarmConnection
    from quarterdeck.backends.hosts.swarm.managers import Managers, Open


class SwarmBackend:
    """``docker`` gives the backend that opens engines: managers and nodes are such. ``auth``: the credentials that nodes pull with.
    ``fleet``: the name of the fleet whose targets these are."""

    def __init__(self, docker: "Callable[[], DockerBackend]", auth: Auth = no_auth, fleet: str = "") -> None:
        self._docker = docker
        self._auth = auth
        self._fleet = fleet

    async def connect(self, host: Host, *, deadline: float = 20.0) -> "SwarmConnection":
        """The swarm as a host of the contract. Raises what ``open_managers`` does."""
        managers = await self.open_managers(host, deadline=deadline)
        from quarterdeck.backends.hosts.swarm.connection import SwarmConnection
        from quarterdeck.backends.hosts.swarm.nodes import Nodes

        return SwarmConnection(managers, Nodes(managers, host.nodes, self._opening(host)), self._auth, self._fleet)

    async def open_managers(self, host: Host, *, deadline: float = 20.0) -> "Managers":
        """A manager has answered. Raises ``Unreachable``, ``HostKeyRejected``, ``LoginRefused``, ``NotPermitted``."""
        from quarterdeck.backends.hosts.swarm.managers import Managers

        managers = Managers(host.name, host.swarm, self._opening(host))
        try:
            await managers.open(deadline)
        except BaseException:
            await managers.close()
            raise
        return managers

    def _opening(self, host: Host) -> "Open":
        async def opening(address: str, seconds: float) -> "Engine":
            return await self._docker().open_engine(Host(host.name, docker=address, tls=host.tls), deadline=seconds)

        return opening
