"""The rollout's connections: all opened before the first change, side by side, each known by its host's name."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from quarterdeck.rollouts.leaving import leave

if TYPE_CHECKING:  # connecting begins before these are loaded
    from quarterdeck.backends.hosts.contract import Connection
    from quarterdeck.backends.hosts.opening import Hosts

CONNECT = 9.0  # seconds: the same as it takes to find out that an open connection is dead
RECONNECT = 5.0


class Known(NamedTuple):
    """As much of a host as connecting needs."""

    name: str
    ssh: str
    docker: str = ""
    tls: str = ""
    swarm: tuple[str, ...] = ()
    nodes: str = ""


class Crew:
    def __init__(self, backend: "Hosts", hosts: Iterable[Known]) -> None:
        self._backend = backend
        self.hosts = {host.name: host for host in hosts}
        self._tasks: dict[str, asyncio.Task[Connection]] = {}
        self._answered: set[str] = set()

    def connect_all(self) -> None:
        for name, host in self.hosts.items():
            self._tasks[name] = asyncio.create_task(
                self._backend.connect(host, deadline=CONNECT), name=f"connect {name}"
            )

    async def connection(self, host: str) -> "Connection":
        """The open connection. Raises the ``BackendError`` that opening it ended with."""
        opened = await asyncio.shield(self._tasks[host])
        self._answered.add(host)
        return opened

    def came_forward(self, hosts: Iterable[str]) -> float:
        """When what is under way on one of them last made a step forward, where it tells, by the monotonic clock."""
        from quarterdeck.backends.hosts.contract import Progressing

        latest = 0.0
        for host in hosts:
            task = self._tasks.get(host)
            if task is not None and task.done() and not task.cancelled() and task.exception() is None:
                connection = task.result()
                if isinstance(connection, Progressing):
                    latest = max(latest, connection.came_forward)
        return latest

    def renew(self) -> None:
        """Tries anew where connecting has failed: the host may be back."""
        for name, task in self._tasks.items():
            if task.done() and (task.cancelled() or task.exception() is not None):
                self._tasks[name] = asyncio.create_task(self._backend.connect(self.hosts[name], deadline=RECONNECT))

    def was_open(self, host: str) -> bool:
        """Whether there has been a connection: a host that never answered is not asked a second time."""
        task = self._tasks[host]
        return task.done() and not task.cancelled() and task.exception() is None

    def has_answered(self, host: str) -> bool:
        """Whether it was connected to at any time of this rollout: it was there when this began, and may come back."""
        return host in self._answered or self.was_open(host)

    async def reconnect(self, host: str) -> "Connection":
        """A new connection after the old one was lost; raises ``Unreachable``."""
        old = self._tasks[host]
        if old.done() and not old.cancelled() and old.exception() is None:
            await leave(old.result())
        self._tasks[host] = asyncio.create_task(self._backend.connect(self.hosts[host], deadline=RECONNECT))
        return await self.connection(host)

    async def close(self) -> None:
        """Closes what is open, within a few seconds whatever the hosts do. Twice does no harm."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        opened = [t.result() for t in tasks if not t.cancelled() and t.exception() is None]
        await asyncio.gather(*(leave(connection) for connection in opened))
