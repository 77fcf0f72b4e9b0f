"""The nodes' own engines, for what a manager can't be asked: a command in a container, its figures, a check as the node sees it."""

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.backends.hosts.swarm.looking import Node, list_nodes
from quarterdeck.backends.hosts.swarm.managers import Managers, Open

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_OPENING: Final = 8.0  # seconds for a node's engine to answer
_TOLD: Final = 10.0  # seconds in which one that did not is not tried again
_LISTED: Final = 2.0  # seconds in which the list of nodes is not asked for again


def template_of(address: str) -> str:
    """How nodes are reached where the fleet file does not say: as the manager at ``address``, by their own addresses. Empty where that
    can't be: a socket of one machine leads to no other."""
    found = re.match(r"(ssh://(?:[^@/]*@)?|tcp://)(?:\[[^\]]*\]|[^:/]*)((?::\d+)?(?:/.*)?)\Z", address)
    return f"{found[1]}{{address}}{found[2]}" if found else ""


def fill(template: str, node: Node) -> str:
    """``template`` with {address} and {hostname} as they are of ``node``."""
    address = f"[{node.address}]" if ":" in node.address else node.address
    return template.replace("{address}", address).replace("{hostname}", node.hostname)


class Nodes:
    """``template``: as the fleet file has it; empty: derived from the managers' addresses. Closed with the connection."""

    def __init__(self, managers: Managers, template: str, opening: Open) -> None:
        self._managers = managers
        self._template = template
        self._opening = opening
        self._engines: dict[str, Engine] = {}
        self._failed: dict[str, tuple[float, BackendError]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._listed: tuple[float, list[Node]] = (0.0, [])
        self._closed = False

    @property
    def calls(self) -> int:
        return sum(engine.calls for engine in self._engines.values())

    @property
    def known(self) -> list[Node]:
        """As they were told last, however long ago; empty where they never were."""
        return self._listed[1]

    async def all(self, action: str, *, deadline: float, fresh: bool = False) -> list[Node]:
        """By their hostnames. ``fresh``: asked for now."""
        at, listed = self._listed
        if fresh or not listed or time.monotonic() - at > _LISTED:
            listed = await list_nodes(self._managers, action, deadline=deadline)
            self._listed = time.monotonic(), listed
        return listed

    async def find(self, id: str, action: str, *, deadline: float) -> Node | None:
        found = next((one for one in await self.all(action, deadline=deadline) if one.id == id), None)
        if found is None:
            listed = await self.all(action, deadline=deadline, fresh=True)
            found = next((one for one in listed if one.id == id), None)
        return found

    async def engine_of(self, node: Node, action: str) -> "Engine":
        """Raises ``Unreachable`` and its kinds, ``NotPermitted``; not tried again for a while after that."""
        if node.id == self._managers.node:
            return self._managers.engine
        async with self._locks.setdefault(node.id, asyncio.Lock()):
            if self._closed:
                raise Unreachable(self._managers.host, action, "the connection to it was closed here")
            if node.id in self._engines:
                return self._engines[node.id]
            at, failure = self._failed.get(node.id, (0.0, None))
            if failure is not None and time.monotonic() - at < _TOLD:
                raise failure
            address = self._address(node)
            if not address:
                raise Unreachable(
                    self._managers.host,
                    action,
                    f"nothing says how the engine of its node {node.hostname} is reached",
                    left="Nothing was changed there",
                    advice="give the host nodes: ssh://{address}, or another address with {address} or {hostname} in it",
                )
            if not node.is_ready:
                raise Unreachable(self._managers.host, action, f"its node {node.hostname} is {node.state}")
            try:
                engine = await self._open(node, address, action)
            except BackendError as error:
                self._failed[node.id] = time.monotonic(), error
                raise
            self._engines[node.id] = engine
            return engine

    async def _open(self, node: Node, address: str, action: str) -> "Engine":
        """Raises ``Unreachable`` also where another node's engine listens there: it knows nothing of this one's tasks."""
        engine = await self._opening(address, _OPENING)
        try:
            info = await engine.call(action, lambda client: client.info(), deadline=_OPENING)
            if str((info.get("Swarm") or {}).get("NodeID", "")) == node.id:
                return engine
            raise Unreachable(
                self._managers.host,
                action,
                f"{address} is the engine of {info.get('Name') or 'another machine'}, not of its node {node.hostname}",
                left="Nothing was asked of it",
                advice="correct the host's nodes: {address} and {hostname} in it are those of each node",
            )
        except BaseException:
            await engine.close()
            raise

    async def unreached(self, action: str, *, deadline: float) -> list[tuple[str, str]]:
        """Hostnames of the nodes that are there and whose engines are not reached, each with the reason."""
        listed = [one for one in await self.all(action, deadline=deadline, fresh=True) if one.is_ready]

        async def why(node: Node) -> str:
            try:
                await self.engine_of(node, action)
            except BackendError as error:
                return error.problem
            return ""

        found = await asyncio.gather(*map(why, listed))
        return [(node.hostname, problem) for node, problem in zip(listed, found, strict=True) if problem]

    async def lost_managers(self, action: str, *, deadline: float) -> str:
        """Hostnames of managers that are not there, for an error; empty also where that can't be told. One that hangs holds up what other
        nodes report, until its process ends: their reports have no deadline (moby/swarmkit, agent/agent.go: Agent.UpdateTaskStatus)."""
        try:
            listed = await self.all(action, deadline=deadline)
        except BackendError:
            return ""
        return ", ".join(one.hostname for one in listed if one.manager and not one.is_ready)

    async def let_go(self, node: Node) -> None:
        """Its engine did not answer: it is opened anew the next time."""
        engine = self._engines.pop(node.id, None)
        if engine is not None:
            await engine.close()

    def _address(self, node: Node) -> str:
        template = self._template or template_of(self._managers.address)
        return fill(template, node) if template else ""

    async def close(self) -> None:
        self._closed = True
        engines, self._engines = list(self._engines.values()), {}
        await asyncio.gather(*(engine.close() for engine in engines), return_exceptions=True)
