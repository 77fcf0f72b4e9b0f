"""The log of a target: what its tasks print, whichever they are by now and wherever they run. Neither a switch ends it, nor the loss of the
manager that tells it.

What is there is read task by task, as one that nobody reaches must not hold up the others; what comes is followed service by service."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from quarterdeck.backends.errors import (
    BackendError,
    CommandFailed,
    CommandTimedOut,
    EngineRefused,
    HostKeyRejected,
    LoginRefused,
    NotPermitted,
    Unreachable,
)
from quarterdeck.backends.hosts.contract import LogBatch
from quarterdeck.backends.hosts.docker.events import pause
from quarterdeck.backends.hosts.docker.logs import Lines
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.looking import Node, Seen, Service, Task, look
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.task_lines import ServiceLines, TaskReader, has_terminal
from quarterdeck.backends.text_cleaning import clean

if TYPE_CHECKING:
    import docker

_ASKING: Final = 20.0
_READING: Final = 4.0  # seconds for what one task has printed: its node may be lost, and nobody knows yet
_WAITING: Final = 8  # batches that are read ahead
_LOOKING: Final = 2.0  # seconds between two looks at what there is to follow: that a task begins is no event
_GONE: Final = 5  # looks without a service before its log is let go of
_HOPELESS: Final = (HostKeyRejected, LoginRefused, NotPermitted)


@dataclass(frozen=True, slots=True)
class _Chosen:
    task: Task
    service: Service
    source: str


async def follow_target(
    managers: Managers, nodes: Nodes, target: str, *, lines: int, follow: bool
) -> AsyncGenerator[LogBatch, None]:
    """The last ``lines`` of each task that runs (or ran last) and of releases that have failed there, then what comes, from tasks that are
    started later too. Raises ``CommandFailed`` where there is none."""
    action = f"read the log of {target}"
    seen = await look(managers, target, action, deadline=_ASKING)
    listed = await nodes.all(action, deadline=_ASKING, fresh=True)
    chosen = _chosen(seen, listed)
    if not chosen:
        raise CommandFailed(
            managers.host, action, "there is no task of it", exit_status=None, advice="deploy a release there"
        )
    marks: dict[str, str] = {}
    # Of one whose node is lost nothing comes.
    ready = {one.id for one in listed if one.is_ready}
    reached = [of for of in chosen if of.task.node in ready]
    reader = TaskReader(managers, nodes, action)
    for batch in await _last_lines(reader, managers.host, reached, lines, marks):
        yield batch
    if not follow:
        return
    async with aclosing(_Followers(managers, nodes, target, action, seen, chosen, marks).read()) as batches:
        async for batch in batches:
            yield batch


def source_of(task: Task, nodes: Sequence[Node]) -> str:
    """What its lines are told apart by."""
    hostname = next((clean(one.hostname) for one in nodes if one.id == task.node), task.node[:12] or "no node")
    return f"{task.slot}@{hostname}: " if task.slot else f"{hostname}: "


def _chosen(seen: Seen, nodes: Sequence[Node]) -> list[_Chosen]:
    """What a failed release said last is why it failed, so it is read as well, for as long as Swarm keeps the task."""
    services = {one.id: one for one in seen.services}
    runs = [one for one in seen.tasks if one.container and (one.may_run or one.is_coming)]
    if not runs and (live := seen.live or next(iter(seen.services), None)) is not None:
        runs = _newest(one for one in seen.of(live) if one.container)
    ids = {one.id for one in runs}
    failed = [
        one for one in _newest(one for one in seen.tasks if one.container and one.has_failed) if one.id not in ids
    ]
    return [
        *(
            _Chosen(one, services[one.service], f"{one.release}: {source_of(one, nodes)}")
            for one in failed
            if one.release not in seen.state.good or one.release in seen.state.bad
        ),
        *(_Chosen(one, services[one.service], source_of(one, nodes)) for one in runs),
    ]


def _newest(tasks: Iterator[Task]) -> list[Task]:
    """Of each release in each place the one that is there last."""
    found = {(one.release, one.service, one.slot or one.node): one for one in sorted(tasks, key=lambda one: one.at)}
    return list(found.values())


async def _last_lines(
    reader: TaskReader, host: str, chosen: Sequence[_Chosen], lines: int, marks: dict[str, str]
) -> list[LogBatch]:
    """One for each task that says something. ``marks`` gets where each was read to. Raises where no task can be read at all."""

    async def one(of: _Chosen) -> LogBatch | None:
        read = Lines(max(1, lines), "")  # of no line the mark would be none
        found, lost = await reader.read(of.task, read, has_terminal(of.service), lines, _READING)
        marks[of.task.id] = read.mark
        if not found:
            return None
        return LogBatch(host, [text for _, text in found], [time for time, _ in found], lost, of.source)

    outcomes = await asyncio.gather(*(one(of) for of in chosen), return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in errors:
        if not isinstance(error, BackendError) or len(errors) == len(chosen):
            raise error
    return [outcome for outcome in outcomes if isinstance(outcome, LogBatch)]


class _Followers:
    """One follower a service, all into one bounded queue. ``first``: the tasks that were read up to ``marks``."""

    def __init__(
        self,
        managers: Managers,
        nodes: Nodes,
        target: str,
        action: str,
        seen: Seen,
        first: Sequence[_Chosen],
        marks: dict[str, str],
    ) -> None:
        self._managers = managers
        self._nodes = nodes
        self._target = target
        self._action = action
        self._seen = seen
        self._marks = marks
        self._sources = {of.task.id: of.source for of in first}
        # What has ended before is history; what ends from now on has been followed.
        self._old = frozenset(
            one.id for one in seen.tasks if one.id not in self._sources and not one.may_run and not one.is_coming
        )
        self._waiting: asyncio.Queue[LogBatch | BackendError] = asyncio.Queue(_WAITING)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._missed: dict[str, int] = {}  # looks without a service that is followed

    async def read(self) -> AsyncGenerator[LogBatch, None]:
        self._begin_all()
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                item = await self._waiting.get()
                if isinstance(item, BackendError):
                    raise item
                yield item
        finally:
            tasks = [watching, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin_all(self) -> None:
        with_tasks = {one.service for one in self._seen.tasks if one.id not in self._old}
        there = set()
        for service in self._seen.services:
            there.add(service.id)
            if service.id not in self._tasks and (not service.is_stopped or service.id in with_tasks):
                self._tasks[service.id] = asyncio.create_task(self._pump(service))
        for id in list(self._tasks):
            self._missed[id] = 0 if id in there else self._missed.get(id, 0) + 1
            if self._missed[id] >= _GONE:
                self._tasks.pop(id).cancel()
                del self._missed[id]

    async def _pump(self, service: Service) -> None:
        """For as long as the service is there. A manager that is lost in between is seen by asking it."""
        mine = {one.id for one in self._seen.of(service)}
        read = ServiceLines({task: mark for task, mark in self._marks.items() if task in mine}, self._old)
        tty = has_terminal(service)

        def begin(client: "docker.APIClient") -> Iterator[None]:
            return read.follow(client, service.id, tty)

        tries = 0
        while True:
            try:
                await self._managers.ask(
                    self._action, lambda client: calls.get(client, f"/services/{service.id}"), deadline=_ASKING
                )
                async with aclosing(self._managers.engine.stream(self._action, begin)) as tokens:
                    async for _ in tokens:
                        await self._pass_on(read)
            except _HOPELESS as error:
                await self._waiting.put(error)
                return
            except EngineRefused as error:
                if error.status == 404:
                    break
                if error.status < 500:
                    await self._waiting.put(error)
                    return
            except (Unreachable, CommandTimedOut) as error:
                if self._managers.closed:
                    await self._waiting.put(error)
                    return
            # What was read before the stream broke is still told.
            await self._pass_on(read)
            tries = 0 if read.came else tries + 1
            await pause(tries)
        await self._pass_on(read)

    async def _pass_on(self, read: ServiceLines) -> None:
        for task, batch in read.taken_of_tasks(self._managers.host):
            await self._waiting.put(msgspec.structs.replace(batch, source=await self._source(task)))

    async def _source(self, task: str) -> str:
        """Of one that nobody has seen yet it is asked where it runs."""
        if task not in self._sources:
            with contextlib.suppress(BackendError):
                await self._look()
        return self._sources.get(task, f"{task[:12]}: ")

    async def _look(self) -> None:
        seen = await look(self._managers, self._target, self._action, deadline=_ASKING)
        nodes = await self._nodes.all(self._action, deadline=_ASKING)
        self._seen = seen
        known = {one.id for one in seen.tasks}
        self._sources = {id: source for id, source in self._sources.items() if id in known} | {
            one.id: source_of(one, nodes) for one in seen.tasks if one.id not in self._sources and one.node
        }

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOKING)
            try:
                await self._look()
            except _HOPELESS as error:
                await self._waiting.put(error)
                return
            except BackendError as error:
                if self._managers.closed:
                    await self._waiting.put(error)
                    return
                continue  # it is asked again: another manager, or the same one when it is back
            self._begin_all()
