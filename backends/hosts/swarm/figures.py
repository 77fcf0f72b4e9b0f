"""What the tasks of a release use, as the engines of their nodes tell it. What nobody tells is absent, never guessed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.contract import ContainerFigures, ServiceFigures
from quarterdeck.backends.hosts.docker.service_figures import Used, used_in
from quarterdeck.backends.hosts.swarm.looking import Seen, Service, Task, is_of, look
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.docker.figures import ContainerStats
    from quarterdeck.config.release import Release

T = TypeVar("T")

_AT_ONCE: Final = 8  # nodes that are asked at the same time
_KILLED: Final = 137  # how ends what is killed, for want of memory too
_SHARE: Final = 0.7  # of a deadline, for one node: the others' figures must not be lost with it


async def service_figures_of(
    managers: Managers, nodes: Nodes, release: "Release", *, deadline: float
) -> ServiceFigures:
    """Sums over those tasks whose nodes are reached. Raises ``CommandFailed`` where there is no task of the release."""
    action = f"read the figures of {release.id}"
    seen = await look(managers, release.target, action, deadline=deadline)
    tasks = [one for one in seen.tasks if one.release == release.id and one.digest == release.digest]
    if not tasks:
        raise CommandFailed(managers.host, action, "there is no task of it", exit_status=None)
    failed = [
        one
        for service in seen.services
        for ended in failed_of(service, tasks_of(seen, service)).values()
        for one in ended
    ]
    failed = [one for one in failed if one.release == release.id]
    used = await _of_nodes(nodes, seen.running(release.id), _used, action, deadline)
    killed = await out_of_memory(nodes, failed, action, deadline=deadline)
    return ServiceFigures(
        restarts=len(failed),
        oom_kills=len(killed),
        memory=_sum(one["memory"] for one in used.values()),
        memory_limit=_sum(one["memory_limit"] for one in used.values()),
        cpu_seconds=_sum(one["cpu_seconds"] for one in used.values()),
    )


def _sum(values: Iterable[T | None]) -> T | None:
    """Of those that are told; None: nobody tells any."""
    told: Any = [one for one in values if one is not None]
    total: T = sum(told)
    return total if told else None


async def container_figures_of(
    nodes: Nodes, looks: Mapping[str, Seen], action: str, *, deadline: float
) -> dict[str, list[ContainerFigures]]:
    """Of each task that runs and is to run, by target; ``looks`` are what is known of those. Each node is asked once for all."""
    tasks = [one for seen in looks.values() for one in seen.tasks if one.runs and one.is_wanted]

    async def stats(engine: "Engine", own: Sequence[Task], deadline: float) -> "dict[str, ContainerStats]":
        found = await engine.one_shot_stats([one.container for one in own], deadline=deadline)
        return {one.id: found[one.container] for one in own if one.container in found}

    told = await _of_nodes(nodes, tasks, stats, action, deadline)
    failed = {
        (service.id, place): ended
        for seen in looks.values()
        for service in seen.services
        for place, ended in failed_of(service, tasks_of(seen, service)).items()
    }
    killed = await out_of_memory(nodes, (one for ended in failed.values() for one in ended), action, deadline=deadline)
    found: dict[str, list[ContainerFigures]] = {}
    for target, seen in looks.items():
        limits = {one.id: _limit(one) for one in seen.services}
        found[target] = []
        for task in seen.tasks:
            if not (task.runs and task.is_wanted):
                continue
            used, ended = told.get(task.id), failed.get((task.service, place_of(task)), [])
            found[target].append(
                ContainerFigures(
                    release=task.release,
                    cpu=used.cpu if used else None,
                    memory=used.memory if used else None,
                    memory_limit=limits.get(task.service),
                    restarts=len(ended),
                    out_of_memory=sum(one.id in killed for one in ended),
                    received=used.received if used else None,
                    sent=used.sent if used else None,
                )
            )
    return found


def _limit(service: Service) -> int | None:
    resources = service.template.get("Resources") or {}
    return int((resources.get("Limits") or {}).get("MemoryBytes") or 0) or None


def tasks_of(seen: Seen, service: Service) -> list[Task]:
    return [one for one in seen.tasks if one.service == service.id]


def place_of(task: Task) -> tuple[int, str]:
    """Where one task follows another: a slot, of a global service a node."""
    return task.slot, "" if task.slot else task.node


def failed_of(service: Service, tasks: Iterable[Task]) -> dict[tuple[int, str], list[Task]]:
    """Those that have failed since somebody last began them, by their places: as many as Swarm remembers, which keeps five of a place
    where nobody has said otherwise."""
    begun: dict[tuple[int, str], str] = {}
    failed: dict[tuple[int, str], list[Task]] = {}
    for one in tasks:
        place = place_of(one)
        if one.has_failed and is_of(one, service):
            failed.setdefault(place, []).append(one)
        elif not one.is_wanted and (one.state == "shutdown" or not is_of(one, service)):
            begun[place] = max(begun.get(place, ""), one.at)
    since = {place: [one for one in ended if one.at > begun.get(place, "")] for place, ended in failed.items()}
    return {place: ended for place, ended in since.items() if ended}


async def out_of_memory(nodes: Nodes, failed: Iterable[Task], action: str, *, deadline: float) -> frozenset[str]:
    """Which of those tasks were killed for want of memory, as far as their nodes still have them."""
    killed = [one for one in failed if one.exit_status == _KILLED]
    return frozenset(id for id, found in (await _of_nodes(nodes, killed, _ended, action, deadline)).items() if found)


async def _used(engine: "Engine", tasks: Sequence[Task], deadline: float) -> dict[str, Used]:
    async def one(task: Task) -> tuple[str, Used]:
        stats: dict[str, Any] = await engine.call(
            f"read the figures of {task.container}",
            lambda client: client.stats(task.container, stream=False, one_shot=True),
            deadline=deadline,
        )
        return task.id, used_in(stats)

    return dict(await _told(one(task) for task in tasks))


async def _ended(engine: "Engine", tasks: Sequence[Task], deadline: float) -> dict[str, bool]:
    async def one(task: Task) -> tuple[str, bool]:
        body: dict[str, Any] = await engine.call(
            f"read how {task.container} ended",
            lambda client: client.inspect_container(task.container),
            deadline=deadline,
        )
        return task.id, bool(body["State"].get("OOMKilled"))

    return dict(await _told(one(task) for task in tasks))


async def _of_nodes(
    nodes: Nodes,
    tasks: Iterable[Task],
    ask: "Callable[[Engine, Sequence[Task], float], Awaitable[dict[str, T]]]",
    action: str,
    deadline: float,
) -> dict[str, T]:
    """What ``ask`` gives of the tasks of each node, by task. A node that is not reached tells nothing, and nor does one that no manager has
    told of yet."""
    by_node: dict[str, list[Task]] = {}
    for one in tasks:
        if one.container and one.node:
            by_node.setdefault(one.node, []).append(one)
    if not by_node:
        return {}
    try:
        there = await nodes.all(action, deadline=deadline)
    except BackendError:  # a manager that hangs, mostly: the engines of nodes tell their figures without it
        there = nodes.known
    listed = {one.id: one for one in there}
    room = asyncio.Semaphore(_AT_ONCE)

    async def one_node(id: str, own: Sequence[Task]) -> dict[str, T]:
        node = listed.get(id)
        if node is None or not node.is_ready:
            return {}
        async with room, asyncio.timeout(deadline * _SHARE):
            return await ask(await nodes.engine_of(node, action), own, deadline * _SHARE)

    found: dict[str, T] = {}
    for told in await _told(one_node(id, own) for id, own in by_node.items()):
        found |= told
    return found


async def _told(questions: Iterable[Awaitable[T]]) -> list[T]:
    """The answers that come; what nobody answers is left out."""
    found: list[T] = []
    for outcome in await asyncio.gather(*questions, return_exceptions=True):
        if not isinstance(outcome, BaseException):
            found.append(outcome)
        elif not isinstance(outcome, (BackendError, TimeoutError)):
            raise outcome
    return found
