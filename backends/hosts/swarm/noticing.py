"""Notices what happens to the targets of a Swarm, by few and small questions.

Managers tell of services and nodes by themselves, and of tasks never: so those that are to run are listed again and again, and nothing else
is, but what was told of. What is told may be missed (a manager that was cut off says nothing of it), so everything is listed now and then
all the same. Knows no more of a target than that it is not as it was.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, EngineRefused, HostKeyRejected, LoginRefused, NotPermitted
from quarterdeck.backends.hosts.docker.events import Cut, EngineEvent
from quarterdeck.backends.hosts.docker.names import TARGET
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.looking import list_nodes, service_in, task_in
from quarterdeck.backends.hosts.swarm.managers import Managers

if TYPE_CHECKING:
    import docker

OFTEN: Final = 2.0  # seconds between two lists of tasks
RARELY: Final = 6.0  # and at most, where lists take long
WHOLE: Final = (
    15.0  # seconds between two lists of everything, while events come; else it is listed as often as tasks are
)

_ACTION: Final = "look at what runs there"
_EVENTS: Final = {"type": ["service", "node"]}
_SHARE: Final = 20.0  # a pause is so many times as long as the list before it took: a manager has other work
_SETTLED: Final = 0.1  # seconds: what belongs to one event comes together
_ASKING: Final = 10.0
_LEAVING: Final = 60.0  # seconds for which a task is followed that is on its way out; on a lost node it never ends
_HOPELESS: Final = (HostKeyRejected, LoginRefused, NotPermitted)

Words = tuple[str, ...]
"""What is compared of a service, a task or a node."""


@dataclass(slots=True)
class _Heard:
    """What managers have told of since it was last looked. ``everything``: anything may have happened."""

    services: set[str] = field(default_factory=set)
    nodes: bool = False
    everything: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """A service as it was listed last."""

    target: str
    said: Words
    stopped: bool  # it has no task, and is to have none


class Noticing:
    """One observer's. Not for two at a time."""

    def __init__(self, managers: Managers) -> None:
        self._managers = managers
        self._heard = _Heard(everything=True)
        self._hears = False  # events come
        self._happened = asyncio.Event()
        self._whole_at = 0.0
        self._took = 0.0  # seconds, the list of tasks
        self._services: dict[str, _Known] = {}
        self._nodes: frozenset[Words] = frozenset()
        self._tasks: dict[str, dict[str, Words]] = {}  # by service and id, those that are to run
        self._leaving: dict[
            str, tuple[str, float, Words]
        ] = {}  # by id, those that no more are: of which service, since when
        self._listed = b""  # what the list of tasks was made of
        self._before: dict[str, frozenset[Words]] | None = None  # by target; None: whatever has happened is not known

    async def changes(self) -> AsyncGenerator[frozenset[str] | None, None]:
        """As ``Watched.changes``."""
        told: asyncio.Queue[frozenset[str] | BackendError | None] = asyncio.Queue(1)
        tasks = [asyncio.create_task(self._compare(told)), asyncio.create_task(self._hear())]
        try:
            while True:
                one = await told.get()
                if isinstance(one, BackendError):
                    raise one
                yield one
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _compare(self, told: "asyncio.Queue[frozenset[str] | BackendError | None]") -> None:
        while True:
            self._happened.clear()
            try:
                before, nodes = self._before, self._nodes
                await self._look()
                now = self._before = self._state()
            except _HOPELESS as error:
                await told.put(error)
                return
            except BackendError as error:
                if self._managers.closed:
                    await told.put(error)
                    return
                self._before, self._heard.everything = None, True  # whatever happens until the next list is not known
            else:
                if before is None or nodes != self._nodes:
                    await told.put(None)
                elif changed := _others(before, now):
                    await told.put(changed)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(OFTEN, min(RARELY, _SHARE * self._took))):
                    await self._happened.wait()
                    await asyncio.sleep(_SETTLED)

    async def _hear(self) -> None:
        """Of the manager that is asked, whichever that is by now. Where none tells, lists find out a little later."""
        while not self._managers.closed:
            with contextlib.suppress(BackendError):
                async with aclosing(self._managers.engine.events(_EVENTS)) as happenings:
                    async for one in happenings:
                        self._hears = not isinstance(one, Cut)
                        if not isinstance(one, EngineEvent):
                            self._heard.everything = True
                        elif one.kind == "node":
                            self._heard.nodes = True
                        else:
                            self._heard.services.add(one.id)
                        self._happened.set()
            self._hears = False
            await asyncio.sleep(OFTEN)

    async def _look(self) -> None:
        """Lists what may have changed."""
        heard, self._heard = self._heard, _Heard()
        now = time.monotonic()
        try:
            if heard.everything or not self._hears or now - self._whole_at >= WHOLE:
                await self._list_services()
                await self._list_nodes()
                self._whole_at = now
            else:
                if heard.services:
                    await self._list_services(heard.services)
                if heard.nodes:
                    await self._list_nodes()
            try:
                await self._list_tasks()
            except EngineRefused as error:
                if error.status != 404:
                    raise
                await self._list_services()  # one of them is gone, and nobody has told of it yet
                await self._list_tasks()
        except BaseException:
            self._heard.everything = True
            raise

    async def _list_services(self, ids: Iterable[str] = ()) -> None:
        """All of targets; or those, of which some may be gone, or nobody's."""
        wanted = sorted(ids)
        filters = {"id": wanted} if wanted else {"label": [TARGET]}
        found: list[Body] = await self._managers.ask(
            _ACTION, lambda client: calls.get(client, "/services", **filters), deadline=_ASKING
        )
        services = {}
        for one in map(service_in, found):
            if TARGET in one.labels:
                said = (one.id, str(one.version), one.update)
                services[one.id] = _Known(one.labels[TARGET], said, one.is_stopped)
        kept = {id: one for id, one in self._services.items() if id not in set(wanted)} if wanted else {}
        self._services = kept | services

    async def _list_nodes(self) -> None:
        listed = await list_nodes(self._managers, _ACTION, deadline=_ASKING)
        self._nodes = frozenset((one.id, one.hostname, one.state, one.availability, str(one.leader)) for one in listed)

    async def _list_tasks(self) -> None:
        """Those that are to run, and what becomes of those that no more are."""
        services = sorted(id for id, one in self._services.items() if not one.stopped)
        listed = (
            await self._tasks_where(service=services, **{"desired-state": ["ready", "running"]}) if services else b""
        )
        if listed != self._listed:
            tasks: dict[str, dict[str, Words]] = {}
            for body in json.loads(listed) if listed else ():
                tasks.setdefault(str(body.get("ServiceID", "")), {})[str(body["ID"])] = _said(body)
            now = time.monotonic()
            for service, before in self._tasks.items():
                for id, said in before.items():
                    if id not in tasks.get(service, {}):
                        self._leaving[id] = service, now, said
            self._tasks, self._listed = tasks, listed
        await self._follow_leaving()

    async def _follow_leaving(self) -> None:
        now = time.monotonic()
        self._leaving = {id: one for id, one in self._leaving.items() if now - one[1] < _LEAVING}
        if not self._leaving:
            return
        found = {str(one["ID"]): one for one in json.loads(await self._tasks_where(id=sorted(self._leaving)))}
        self._leaving = {
            id: (service, since, _said(found[id]))
            for id, (service, since, _) in self._leaving.items()
            if id in found and task_in(found[id]).may_run
        }

    async def _tasks_where(self, **filters: list[str]) -> bytes:
        """As the manager sends it: most often that is what it has sent before, and needs no reading."""
        asked = json.dumps(filters)
        begun = time.monotonic()

        def ask(client: "docker.APIClient") -> bytes:
            return calls.get_bytes(client, "/tasks", filters=asked)

        found = await self._managers.ask(_ACTION, ask, deadline=_ASKING)
        self._took = time.monotonic() - begun
        return found

    def _state(self) -> dict[str, frozenset[Words]]:
        found: dict[str, set[Words]] = {}
        for id, one in self._services.items():
            mine = found.setdefault(one.target, set())
            mine.add(one.said)
            mine.update(self._tasks.get(id, {}).values())
        for service, _, said in self._leaving.values():
            if service in self._services:
                found[self._services[service].target].add((*said, "leaving"))
        return {target: frozenset(said) for target, said in found.items()}


def _others(before: Mapping[str, frozenset[Words]], now: Mapping[str, frozenset[Words]]) -> frozenset[str]:
    return frozenset(one for one in before.keys() | now.keys() if before.get(one) != now.get(one))


def _said(body: Body) -> Words:
    one = task_in(body)
    return one.id, one.node, one.state, one.wanted, one.said
