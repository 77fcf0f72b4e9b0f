"""An open Swarm for an observer: looks at many targets share one list of each kind, and what happens is told soon after it has happened.

Nothing is remembered from one look to the next, but what registries said: a target is shown from lists that were asked for after it was
asked about. Not for workers: what they go by is read for them alone.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import EngineRefused
from quarterdeck.backends.hosts.contract import ContainerFigures, HealthOutcome, TargetFacts
from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.backends.hosts.docker.looking import together
from quarterdeck.backends.hosts.docker.names import TARGET
from quarterdeck.backends.hosts.shared_looks import SharedLooks
from quarterdeck.backends.hosts.swarm import calls, names
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.connection import SwarmConnection
from quarterdeck.backends.hosts.swarm.facts import facts_of, foreign_holder
from quarterdeck.backends.hosts.swarm.figures import container_figures_of
from quarterdeck.backends.hosts.swarm.looking import (
    Node,
    Seen,
    Service,
    Task,
    list_nodes,
    list_tasks,
    seen_in,
    service_in,
)
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.noticing import Noticing
from quarterdeck.backends.hosts.swarm.register import Reading, Register
from quarterdeck.backends.hosts.swarm.registries import Registries
from quarterdeck.config.model import Health
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    import docker

_ACTION: Final = "look at what runs there"
_FEW: Final = 2  # targets that are asked about together of which each is read by itself: lists of everything cost more
_FRESH: Final = 1.0  # seconds in which a health check goes by what the look before it has seen
_CHECKED_AT_ONCE: Final = (
    8  # services: how long their answers take is measured, so they must not wait for one another here
)
_TRIES: Final = 3  # lists, where a service is removed between two of them


@dataclass(frozen=True, slots=True)
class _Listed:
    """``services``: by target, the newest first. ``holders``: of whatever name, by name."""

    registers: Mapping[str, Body]
    services: Mapping[str, Sequence[Service]]
    holders: Mapping[str, Service]
    tasks: Sequence[Task]
    nodes: Sequence[Node]

    def seen(self, managers: Managers, target: str) -> Seen:
        body = self.registers.get(names.register(target))
        reading = (Register(managers, target).reading(body) if body is not None else None) or Reading()
        services = self.services.get(target, ())
        ids = {one.id for one in services}
        return seen_in(reading, services, [one for one in self.tasks if one.service in ids])

    def foreign(self, target: str, name: str) -> str:
        """Who else holds ``name``, in the words of drift; empty: nobody."""
        holder = self.holders.get(name) if name else None
        if holder is None or holder.labels.get(TARGET) == target:
            return ""
        return foreign_holder(holder)


class WatchedSwarm(SwarmConnection):
    """Made by ``SwarmConnection.watched``."""

    def __init__(
        self,
        managers: Managers,
        nodes: Nodes,
        auth: Auth = no_auth,
        fleet: str = "",
        registries: Registries | None = None,
    ) -> None:
        super().__init__(managers, nodes, auth, fleet, registries)
        self._lists = SharedLooks(managers.host, _ACTION, self._list)
        self._checking = asyncio.Semaphore(_CHECKED_AT_ONCE)
        self._seen: dict[str, tuple[float, Seen]] = {}

    async def facts(
        self,
        target: str,
        path: str,  # noqa: ARG002 # of the contract: a container has no directory on the host
        release: Release | None = None,
        *,
        deadline: float = 20.0,
        then_switch: bool = False,  # noqa: ARG002 # of the contract
    ) -> TargetFacts:
        """Without ``free_bytes``, which is no observer's business. What registries have is told as it was known some minutes ago, with the
        time of that; nothing here waits for them, but for two seconds where nothing is known."""
        name = names.live_name(release) if release is not None else ""
        listed = await self._lists.now(target, name, deadline)
        seen = listed.seen(self._managers, target)
        self._seen[target] = time.monotonic(), seen
        foreign = listed.foreign(target, name) if seen.fixed is None else ""
        return await facts_of(self._registries, target, seen, listed.nodes, foreign, patient=False)

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        """The managers are not asked again where ``facts`` has asked them a moment before."""
        async with self._checking:
            at, seen = self._seen.get(release.target, (0.0, None))
            return await self._health.check(health, release, seen if time.monotonic() - at <= _FRESH else None)

    async def figures(
        self, targets: Collection[str], *, deadline: float = 10.0
    ) -> Mapping[str, Sequence[ContainerFigures]]:
        """Of the tasks that run; of one whose node nobody reaches only what the managers know."""
        looks = {target: self._seen[target][1] for target in targets if target in self._seen}
        found = await container_figures_of(self._nodes, looks, _ACTION, deadline=deadline)
        return {target: found.get(target, []) for target in targets}

    def changes(self) -> AsyncGenerator[frozenset[str] | None, None]:
        """Of services and their tasks; None where a node has changed. What becomes of registers and foreign services is not told: regular
        looks find that."""
        return Noticing(self._managers).changes()

    async def _list(self, wanted: Mapping[str, str], deadline: float) -> _Listed:
        """``wanted``: names by target. Of a few each is asked for by itself; a filter of the API takes one of them, so of many all targets'
        are listed, whoever asks."""
        few = len(wanted) <= _FEW
        labels = [f"{TARGET}={one}" for one in wanted] if few else [TARGET]
        of_registers = {"name": [names.register(one) for one in wanted]} if few else {"label": [names.REGISTER]}

        def listed(client: "docker.APIClient") -> tuple[list[Body], list[Body], list[Body]]:
            services: list[Body] = [body for one in labels for body in calls.get(client, "/services", label=[one])]
            registers: list[Body] = calls.get(client, "/configs", **of_registers)
            live = sorted({name for name in wanted.values() if name})
            named: list[Body] = calls.get(client, "/services", name=live) if live else []
            return services, registers, named

        for left in reversed(range(_TRIES)):
            (services, registers, named), nodes = await together(
                self._managers.ask(_ACTION, listed, deadline=deadline),
                list_nodes(self._managers, _ACTION, deadline=deadline),
            )
            own = sorted(services, key=lambda one: str(one.get("CreatedAt", "")), reverse=True)
            of_targets: dict[str, list[Service]] = {}
            for one in map(service_in, own):
                of_targets.setdefault(one.labels.get(TARGET, ""), []).append(one)
            try:
                tasks = await list_tasks(self._managers, _ACTION, [str(one["ID"]) for one in own], deadline=deadline)
            except EngineRefused as error:
                if error.status != 404 or not left:  # 404: one of them is gone since
                    raise
                continue
            return _Listed(
                registers={str((one.get("Spec") or {}).get("Name", "")): one for one in registers},
                services=of_targets,
                holders={one.name: one for one in map(service_in, named)},
                tasks=tasks,
                nodes=nodes,
            )
        raise AssertionError("the last try raises")
