"""Opens the way to hosts that are Swarms: a manager that answers, and the nodes behind it where something has to be asked of them."""

from typing import TYPE_CHECKING

from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.config.model import Host

if TYPE_CHECKING:
    from collections.abc import Callable

    from quarterdeck.backends.hosts.docker.backend import DockerBackend
    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.swarm.connection import SwarmConnection


class SwarmBackend:
    """``docker`` gives the backend that opens engines: managers and nodes are such. ``auth``: the credentials that nodes pull with.
    ``fleet``: the name of the fleet whose targets these are."""

    def __init__(self, docker: "Callable[[], DockerBackend]", auth: Auth = no_auth, fleet: str = "") -> None:
        self._docker = docker
        self._auth = auth
        self._fleet = fleet

    async def connect(self, host: Host, *, deadline: float = 20.0) -> "SwarmConnection":
        """The swarm as a host of the contract. Raises ``Unreachable``, ``HostKeyRejected``, ``LoginRefused``, ``NotPermitted``."""

        async def opening(address: str, seconds: float) -> "Engine":
            return await self._docker().open_engine(Host(host.name, docker=address, tls=host.tls), deadline=seconds)

        from quarterdeck.backends.hosts.swarm.managers import Managers
        from quarterdeck.backends.hosts.swarm.nodes import Nodes

        managers = Managers(host.name, host.swarm, opening)
        try:
            await managers.open(deadline)
        except BaseException:
            await managers.close()
            raise
        from quarterdeck.backends.hosts.swarm.connection import SwarmConnection

        return SwarmConnection(managers, Nodes(managers, host.nodes, opening), self._auth, self._fleet)
