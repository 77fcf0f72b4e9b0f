"""The rollout's connections: all opened before the first change, side by side, each known by its host's name."""

import asyncio
from collections.abc import Iterable

from quarterdeck.backends.hosts.contract import Connection, HostBackend
from quarterdeck.config.model import Host
from quarterdeck.rollouts.leaving import leave

CONNECT = 9.0  # seconds: the same as it takes to find out that an open connection is dead
RECONNECT = 5.0


class Crew:
    def __init__(self, backend: HostBackend, hosts: Iterable[Host]) -> None:
        self._backend = backend
        self.hosts = {host.name: host for host in hosts}
        self._tasks: dict[str, asyncio.Task[Connection]] = {}

    def connect_all(self) -> None:
        for name, host in self.hosts.items():
            self._tasks[name] = asyncio.create_task(
                self._backend.connect(host, deadline=CONNECT), name=f"connect {name}"
            )

    async def connection(self, host: str) -> Connection:
        """The open connection. Raises the ``BackendError`` that opening it ended with."""
        return await asyncio.shield(self._tasks[host])

    def renew(self) -> None:
        """Tries anew where connecting has failed: the host may be back."""
        for name, task in self._tasks.items():
            if task.done() and (task.cancelled() or task.exception() is not None):
                self._tasks[name] = asyncio.create_task(self._backend.connect(self.hosts[name], deadline=RECONNECT))

    def was_open(self, host: str) -> bool:
        """Whether there has been a connection: a host that never answered is not asked a second time."""
        task = self._tasks[host]
        return task.done() and not task.cancelled() and task.exception() is None

    async def reconnect(self, host: str) -> Connection:
        """A new connection after the old one was lost; raises ``Unreachable``."""
        old = self._tasks[host]
        if old.done() and not old.cancelled() and old.exception() is None:
            await leave(old.result())
        self._tasks[host] = asyncio.create_task(self._backend.connect(self.hosts[host], deadline=RECONNECT))
        return await self.connection(host)

    async def close(self) -> None:
        """Closes what is open, within a few seconds whatever the hosts do."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        opened = [t.result() for t in self._tasks.values() if not t.cancelled() and t.exception() is None]
        await asyncio.gather(*(leave(connection) for connection in opened))
