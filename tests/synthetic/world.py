"""Hosts in memory behind the hosts contract, with latencies and troubles that are set: for what thousands of hosts do to ``qd`` itself.

What is the program's own (plans, steps, the journal, the observer, the screen, how many are at work at once) is real. What is not: SSH and
its processor time, sockets, archives on their way, shells on hosts, and a command that goes on there when nobody waits for it any more.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from quarterdeck.backends.errors import CommandFailed, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.contract import KeptRelease
from quarterdeck.backends.hosts.opening import AnyHost, Hosts
from tests.synthetic.connection import SyntheticConnection
from tests.synthetic.host import SyntheticHost
from tests.synthetic.operations import Crowd, Latency, Operation, Trouble


@dataclass
class World:
    """All hosts there are; one that is asked for and unknown is a new and empty one. ``broken``: see ``SyntheticHost``; ``ill``: releases
    whose health checks fail. ``troubles``: by host and operation."""

    latencies: Mapping[Operation, Latency] = field(default_factory=dict)
    troubles: dict[tuple[str, Operation], Trouble] = field(default_factory=dict)
    broken: dict[str, tuple[int, str]] = field(default_factory=dict)
    ill: set[str] = field(default_factory=set)
    hook: tuple[int, str] = (0, "")
    hosts: dict[str, SyntheticHost] = field(default_factory=dict)
    crowds: dict[Operation, Crowd] = field(default_factory=lambda: {one: Crowd() for one in Operation})

    def __post_init__(self) -> None:
        self._chance = random.Random(1)
        self._manifests: dict[str, KeptRelease] = {}

    def host(self, name: str) -> SyntheticHost:
        if name not in self.hosts:
            self.hosts[name] = SyntheticHost(name, self.broken, self._manifests)
        return self.hosts[name]

    def trouble(self, hosts: Iterable[str], operation: Operation, kind: Trouble) -> None:
        self.troubles.update({(host, operation): kind for host in hosts})

    @asynccontextmanager
    async def doing(self, host: str, operation: Operation, action: str, deadline: float) -> AsyncIterator[None]:
        """Around what the host does: waits for as long as it takes, and has the trouble that it is to have."""
        crowd, trouble = self.crowds[operation], self.troubles.get((host, operation))
        crowd.now += 1
        crowd.total += 1
        crowd.most = max(crowd.most, crowd.now)
        try:
            if trouble is Trouble.REFUSED:
                raise Unreachable(host, action, "it refused the connection")
            if trouble is Trouble.FAILS:
                raise CommandFailed(host, action, "it ended with status 7", exit_status=7)
            latency = self.latencies.get(operation, Latency()).drawn(self._chance)
            if trouble is Trouble.SILENT or latency > deadline:
                await asyncio.sleep(deadline)
                problem = f"no answer within {deadline:g} s"
                if operation is Operation.CONNECT:
                    raise Unreachable(host, action, problem)
                raise CommandTimedOut(host, action, problem, exit_status=None)
            await asyncio.sleep(latency)
            yield
            if trouble is Trouble.CUT:
                raise Unreachable(host, action, "the connection was lost")
        finally:
            crowd.now -= 1


class SyntheticHosts(Hosts):
    """In the place of ``Hosts``: all that is connected to is in ``world``."""

    def __init__(self, world: World, fleet: str = "") -> None:
        super().__init__(fleet=fleet)
        self.world = world

    async def connect(self, host: AnyHost, *, deadline: float = 20.0) -> SyntheticConnection:
        async with self.world.doing(host.name, Operation.CONNECT, "connect", deadline):
            return SyntheticConnection(self.world, self.world.host(host.name))
