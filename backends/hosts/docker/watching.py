"""An open engine for an observer: looks at many targets share the engine's lists, and what happens there is told as it happens.

Nothing is remembered from one look to the next: a target is shown from lists, and from its container, that were asked for after it was
asked about. Not for workers: what they go by is read for them alone.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.hosts.contract import ContainerFigures, HealthOutcome, TargetFacts
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.backends.hosts.docker.events import EngineEvent
from quarterdeck.backends.hosts.docker.facts import digests, facts_of, foreign_holder
from quarterdeck.backends.hosts.docker.figures import ContainerStats
from quarterdeck.backends.hosts.docker.looking import Body, Seen, name_in, seen_in, together
from quarterdeck.backends.hosts.docker.register import State, epoch_of, newest_states
from quarterdeck.backends.hosts.shared_looks import SharedLooks
from quarterdeck.config.model import Health
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

Ask = Callable[[Callable[[Any], Any]], Awaitable[Any]]

_ACTION: Final = "look at what runs there"
_FEW: Final = 3  # so many targets that are asked about together are read each by itself: lists of everything cost more
_INSPECTED_AT_ONCE: Final = 5  # some of the engine's threads stay free for what else is asked
_CHECKED_AT_ONCE: Final = (
    8  # services: how long their answers take is measured, so they must not wait for one another here
)
_KEPT: Final = 1000  # containers whose deaths for want of memory are counted
_FRESH: Final = 1.0  # seconds in which a health check goes by the container as the look before it has seen it
_TELLING: Final = [
    *("create", "start", "restart", "die", "stop", "oom"),
    *("pause", "unpause", "rename", "update", "destroy", "health_status"),
]
"""Not what looking itself causes (archive-path), nor a check's command (exec_…)."""


class WatchedEngine(DockerConnection):
    """Made by ``DockerConnection.watched``."""

    def __init__(self, engine: "Engine", auth: Auth = no_auth) -> None:
        super().__init__(engine, auth)
        self._lists = SharedLooks(engine.host, _ACTION, _Lists(engine).read)
        self._inspecting = asyncio.Semaphore(_INSPECTED_AT_ONCE)
        self._checking = asyncio.Semaphore(_CHECKED_AT_ONCE)
        self._inspected: dict[str, tuple[float, Body]] = {}  # the live containers, by target
        self._running: dict[str, Sequence[Body]] = {}  # those and what runs beside them
        self._out_of_memory: Counter[str] = Counter()  # by container: inspected, it tells of the last time alone

    async def facts(
        self,
        target: str,
        path: str,  # noqa: ARG002 # of the contract: a container has no directory on the host
        release: Release | None = None,
        *,
        deadline: float = 20.0,
        then_switch: bool = False,  # noqa: ARG002 # of the contract
    ) -> TargetFacts:
        """Without ``free_bytes``, which is no observer's business."""
        name = names.live_name(release) if release is not None else ""
        listed = await self._lists.now(target, name, deadline)
        async with self._inspecting:
            facts, body, self._running[target] = await facts_of(
                self._engine, target, listed.seen(target), listed.there, listed.foreign(target, name), deadline=deadline
            )
        if body is not None:
            self._inspected[target] = time.monotonic(), body
        return facts

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        """The engine is not asked again where ``facts`` has asked it a moment before."""
        async with self._checking:
            at, body = self._inspected.pop(release.target, (0.0, None))
            if body is not None and (
                time.monotonic() - at > _FRESH or body["Config"]["Labels"].get(names.RELEASE) != release.id
            ):
                body = None
            return await self._health.check(health, release, body)

    async def changes(self) -> AsyncGenerator[frozenset[str] | None, None]:
        """Of containers that carry a target's label. What becomes of images, registers and foreign containers is not told: regular looks
        find that."""
        filters = {"type": ["container"], "event": _TELLING, "label": [names.TARGET]}
        async with aclosing(self._engine.events(filters)) as happenings:
            async for one in happenings:
                if not isinstance(one, EngineEvent):
                    yield None
                elif names.ROLE not in one.attributes:
                    if one.action == "oom":
                        self._out_of_memory[one.id] += 1
                        while len(self._out_of_memory) > _KEPT:  # of some the end was not told
                            del self._out_of_memory[next(iter(self._out_of_memory))]
                    elif one.action == "destroy":
                        self._out_of_memory.pop(one.id, None)
                    yield frozenset({one.attributes.get(names.TARGET, "")})

    async def figures(
        self, targets: Collection[str], *, deadline: float = 10.0
    ) -> Mapping[str, Sequence[ContainerFigures]]:
        """Of those that run, side by side. Of one that does not, what was inspected is told all the same."""
        bodies = {target: self._running.get(target, ()) for target in targets}
        stats = await self._engine.one_shot_stats(
            [body["Id"] for own in bodies.values() for body in own if body["State"].get("Running")], deadline=deadline
        )
        return {
            target: [self._figures_of(body, stats.get(body["Id"])) for body in own] for target, own in bodies.items()
        }

    def _figures_of(self, body: Body, stats: ContainerStats | None) -> ContainerFigures:
        state = body["State"]
        return ContainerFigures(
            release=str(body["Config"]["Labels"].get(names.RELEASE, "")),
            cpu=stats.cpu if stats else None,
            memory=stats.memory if stats else None,
            memory_limit=int((body.get("HostConfig") or {}).get("Memory") or 0) or None,
            restarts=int(body.get("RestartCount") or 0),
            out_of_memory=max(self._out_of_memory[body["Id"]], int(bool(state.get("OOMKilled")))),
            received=stats.received if stats else None,
            sent=stats.sent if stats else None,
        )


@dataclass(frozen=True, slots=True)
class _Listed:
    """``containers``: in a list of the engine, by target. ``holders``: whatever has a name, by name."""

    states: Mapping[str, State]
    containers: Mapping[str, Sequence[Body]]
    there: Mapping[str, str]
    holders: Mapping[str, Body]

    def seen(self, target: str) -> Seen:
        own = self.containers.get(target, ())
        state = self.states.get(target) or State(
            epoch=max((epoch_of(one.get("Labels") or {}) for one in own), default=0)
        )
        return seen_in(state, own)

    def foreign(self, target: str, name: str) -> str:
        """Who else holds ``name``, in the words of drift; empty: nobody."""
        holder = self.holders.get(name) if name else None
        if holder is None or (holder.get("Labels") or {}).get(names.TARGET) == target:
            return ""
        return foreign_holder(name, str(holder.get("Image")))


class _Lists:
    """Everything that is on the engine, listed once for all who ask at the same time."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    async def read(self, wanted: Mapping[str, str], deadline: float) -> _Listed:
        """``wanted``: names by target."""

        async def ask(function: Callable[[Any], Any]) -> Any:
            return await self._engine.call(_ACTION, function, deadline=deadline)

        (volumes, containers), images = await together(
            together(self._volumes(wanted, ask), self._containers(wanted, ask)),
            ask(lambda client: client.images(all=True)),
        )
        own: dict[str, list[Body]] = {}
        for one in containers:
            target = (one.get("Labels") or {}).get(names.TARGET)
            if target is not None:
                own.setdefault(target, []).append(one)
        return _Listed(newest_states(volumes), own, digests(images), {name_in(one): one for one in containers})

    async def _volumes(self, wanted: Mapping[str, str], ask: Ask) -> Sequence[Body]:
        labels = [[names.STATE]] if len(wanted) > _FEW else [[f"{names.TARGET}={one}", names.STATE] for one in wanted]
        told: list[Body] = await ask(lambda client: [client.volumes(filters={"label": one}) for one in labels])
        return [volume for one in told for volume in one.get("Volumes") or []]

    async def _containers(self, wanted: Mapping[str, str], ask: Ask) -> Sequence[Body]:
        """Those of the targets, and what has one of their names."""
        if len(wanted) > _FEW:
            everything: list[Body] = await ask(lambda client: client.containers(all=True))
            return everything
        filters = [{"label": [f"{names.TARGET}={one}"]} for one in wanted]
        live = [f"^/{re.escape(name)}$" for name in wanted.values() if name]
        filters += [{"name": live}] if live else []
        listed: list[list[Body]] = await ask(
            lambda client: [client.containers(all=True, filters=one) for one in filters]
        )
        return list({body["Id"]: body for bodies in listed for body in bodies}.values())
