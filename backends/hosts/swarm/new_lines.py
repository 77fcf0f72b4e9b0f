"""What the tasks of a release have said since a mark. The mark has each task's id, and where its log was read to."""

import asyncio
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut
from quarterdeck.backends.hosts.contract import NewLines
from quarterdeck.backends.hosts.docker.logs import Lines
from quarterdeck.backends.hosts.swarm.looking import Task, look
from quarterdeck.backends.hosts.swarm.task_lines import READ_AT_ONCE, TaskReader, has_terminal

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.swarm.managers import Managers
    from quarterdeck.backends.hosts.swarm.nodes import Nodes
    from quarterdeck.config.release import Release

_LONGEST: Final = 2000  # characters of a line
_ENDED: Final = "ended"  # in the place of where it was read to: nothing comes of it any more
_UNREAD: Final = "unread"  # nobody could tell where its log ended: what it has said until it is read is not told
_SHARE: Final = 0.4  # of the time that is left, for asking a manager or a node for what one task has said: others must not be lost with it


async def new_lines_of(
    managers: "Managers", nodes: "Nodes", release: "Release", mark: str, *, lines: int, deadline: float
) -> NewLines:
    """In the order of their times. A task that can't be asked is left out: its lines come when it can be again. Raises ``CommandFailed``
    where there is no task of the release."""
    action = f"read the log of {release.id}"
    try:
        async with asyncio.timeout(deadline) as limit:
            return await _read(managers, nodes, release, mark, lines, action, limit, deadline)
    except TimeoutError:
        raise CommandTimedOut(
            managers.host, action, f"no answer within {round(deadline, 1):g} s", exit_status=None
        ) from None


async def _read(
    managers: "Managers",
    nodes: "Nodes",
    release: "Release",
    mark: str,
    lines: int,
    action: str,
    limit: asyncio.Timeout,
    deadline: float,
) -> NewLines:
    seen = await look(managers, release.target, action, deadline=deadline)
    listed = {one.id: one for one in await nodes.all(action, deadline=deadline, fresh=True)}
    terminals = {one.id: has_terminal(one) for one in seen.services}
    tasks = [one for one in seen.tasks if one.release == release.id and one.digest == release.digest and one.container]
    if not tasks:
        raise CommandFailed(managers.host, action, "there is no task of it", exit_status=None)
    before = _marks_in(mark)
    now: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    dropped = 0
    failures: list[BaseException] = []
    reader = TaskReader(managers, nodes, action)
    until = limit.when()
    assert until is not None
    left = (until - asyncio.get_running_loop().time()) * _SHARE

    async def one(task: Task) -> None:
        nonlocal dropped
        read = Lines(1, "")
        wanted = bool(mark) and before.get(task.id) != _UNREAD
        if wanted:
            # All that a task has said which was not there then.
            read.go_on(before.get(task.id, "- 0"))
        told, more = await reader.read(task, read, terminals[task.service], lines, left / rounds)
        now[task.id] = read.mark if task.may_run or task.is_coming else _ENDED
        if wanted:
            found.extend(told)
            dropped += more

    reading: list[Task] = []
    for task in tasks:
        node = listed.get(task.node)
        ended = not (task.may_run or task.is_coming)
        if before.get(task.id) == _ENDED or (ended and not mark):
            now[task.id] = _ENDED
        elif node is None or not node.is_ready:
            if task.id in before:
                now[task.id] = before[task.id]
            elif not mark:
                now[task.id] = _UNREAD
        else:
            reading.append(task)
    rounds = max(1, -(-len(reading) // READ_AT_ONCE))
    for task, outcome in zip(
        reading, await asyncio.gather(*(one(task) for task in reading), return_exceptions=True), strict=True
    ):
        if outcome is None:
            continue
        if not isinstance(outcome, BackendError):
            raise outcome
        failures.append(outcome)
        if task.id in before or not mark:
            now[task.id] = before.get(task.id, _UNREAD)
    if failures and len(failures) == len(reading):
        raise failures[0]
    found.sort(key=lambda one: one[0])
    texts = [text[:_LONGEST] for _, text in found[:lines]]
    return NewLines(
        " ".join(f"{id},{at.replace(' ', ',')}" for id, at in now.items()), texts, dropped + len(found) - len(texts)
    )


def _marks_in(mark: str) -> dict[str, str]:
    """Of each task as ``Lines`` makes it, by its id."""
    return {id: at.replace(",", " ") for id, _, at in (one.partition(",") for one in mark.split())}
