"""What tasks print, read through a manager, which has it fetched from their nodes. A line of a service says of which task it is."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, CommandTimedOut
from quarterdeck.backends.hosts.contract import LogBatch
from quarterdeck.backends.hosts.docker.logs import Lines, path_of

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.swarm.looking import Service, Task
    from quarterdeck.backends.hosts.swarm.managers import Managers
    from quarterdeck.backends.hosts.swarm.nodes import Nodes

_TASK: Final = b"com.docker.swarm.task.id="
_REMEMBERED: Final = 2000  # tasks of a service whose last lines are known
READ_AT_ONCE: Final = 8  # tasks
_BEFORE: Final = (
    10  # seconds before the newest line from which it is read again: nodes' clocks differ, and their lines travel
)


@dataclass(slots=True)
class _Read:
    """Where the log of one task was read to."""

    task: str
    last: bytes = b""
    of_last: int = 0
    skip: int = 0


class ServiceLines(Lines):
    """Of all tasks of a service. ``known``: marks of tasks that were read before, by their ids; ``left_out``: those that nobody wants.

    A line that came before a stream broke does not come again after it. Where a node is lost and comes back under a stream, the manager
    itself begins anew with its tasks: then lines come twice."""

    def __init__(self, known: Mapping[str, str], left_out: frozenset[str] = frozenset()) -> None:
        super().__init__(0, "")
        self._tail = "all"
        self._known = dict(known)
        self._left_out = left_out
        self._tasks: dict[bytes, _Read] = {}  # by what the source says of it
        for mark in known.values():
            self._last = max(self._last, time_in(mark))

    def follow(self, client: "docker.APIClient", service: str, tty: bool) -> Iterator[None]:
        return self.read(client, f"/services/{service}/logs", tty, True)

    def taken_of_tasks(self, host: str) -> list[tuple[str, LogBatch]]:
        """What waits, by the ids of tasks."""
        return [(_task_in(whose), batch) for whose, batch in self.taken_of_each(host).items()]

    def _asked(self) -> dict[str, Any]:
        asked = super()._asked() | {"details": 1}
        if "since" in asked:
            whole, _, part = str(asked["since"]).partition(".")
            asked["since"] = f"{int(whole) - _BEFORE}.{part}"
        return asked

    def _begin(self) -> None:
        for read in self._tasks.values():
            read.skip = read.of_last

    def _line(self, line: bytes) -> None:
        time, _, rest = line.partition(b" ")
        whose, _, text = rest.partition(b" ")
        self._add(whose, time, text.removesuffix(b"\r"))

    def _piece(self, output: int, piece: bytes) -> None:
        time, _, rest = piece.partition(b" ")
        whose, _, text = rest.partition(b" ")
        self._part((output, whose), whose, time, text)

    def _add(self, whose: bytes, time: bytes, text: bytes) -> None:
        read = self._tasks.get(whose) or self._first(whose)
        if read.skip and time <= read.last:
            read.skip -= time == read.last
            return
        read.skip = 0
        self.came = True
        read.of_last = read.of_last + 1 if time == read.last else 1
        read.last = time
        if time > self._last:
            self._last = time
        if read.task not in self._left_out:
            self._keep(whose, time, text)

    def _first(self, whose: bytes) -> _Read:
        read = _Read(_task_in(whose))
        mark = self._known.pop(read.task, "")
        if mark:
            read.last, read.of_last = time_in(mark), int(mark.rpartition(" ")[2])
            read.skip = read.of_last
        self._tasks[whose] = read
        while len(self._tasks) > _REMEMBERED:
            del self._tasks[next(iter(self._tasks))]
        return read


def time_in(mark: str) -> bytes:
    """Of a mark as ``Lines`` makes it: the time of the last line; empty without one."""
    last = mark.partition(" ")[0]
    return b"" if last == "-" else last.encode()


def _task_in(whose: bytes) -> str:
    """The task's id in a line's details, which are NAME=VALUE, joined with commas."""
    return whose.partition(_TASK)[2].partition(b",")[0].decode("ascii", "replace")


def has_terminal(service: "Service") -> bool:
    """Then its log comes without frames."""
    return bool(service.container.get("TTY"))


class TaskReader:
    """Reads what single tasks have printed, some of them at a time. Raises ``BackendError`` for one that can't be read."""

    def __init__(self, managers: "Managers", nodes: "Nodes", action: str) -> None:
        self._managers = managers
        self._nodes = nodes
        self._action = action
        self._room = asyncio.Semaphore(READ_AT_ONCE)

    async def read(
        self, task: "Task", read: Lines, tty: bool, most: int, seconds: float
    ) -> tuple[list[tuple[str, str]], int]:
        """What ``read`` asks for, to its end: times and lines, the first ``most`` of them, and how many more there were.

        ``seconds``: for a manager, and once more for the node itself. That is asked where no manager can fetch it: a leader does not
        find a node that was away for a moment, for as long as that does not connect anew."""
        async with self._room:
            found: tuple[list[tuple[str, str]], int] = [], 0
            try:
                return await self._at(self._managers.engine, f"/tasks/{task.id}/logs", found, read, tty, most, seconds)
            except (BackendError, TimeoutError) as error:
                node = await self._nodes.find(task.node, self._action, deadline=seconds)
                if node is None or not node.is_ready:
                    raise self._told(error, seconds) from None
                try:
                    async with asyncio.timeout(seconds):
                        engine = await self._nodes.engine_of(node, self._action)
                    return await self._at(engine, path_of(task.container), found, read, tty, most, seconds)
                except (BackendError, TimeoutError):
                    raise self._told(error, seconds) from None

    async def _at(
        self,
        engine: "Engine",
        path: str,
        before: tuple[list[tuple[str, str]], int],
        read: Lines,
        tty: bool,
        most: int,
        seconds: float,
    ) -> tuple[list[tuple[str, str]], int]:
        def begin(client: "docker.APIClient") -> Iterator[None]:
            return read.read(client, path, tty, False)

        found, lost = before
        async with asyncio.timeout(seconds), aclosing(engine.stream(self._action, begin, opening=seconds)) as tokens:
            async for _ in tokens:
                batch = read.taken(engine.host)
                if batch is not None:
                    times = batch.times or [None] * len(batch.texts)
                    room = max(0, most - len(found))
                    found += [(time or "", text) for time, text in zip(times[:room], batch.texts[:room], strict=True)]
                    lost += batch.dropped + max(0, len(batch.texts) - room)
        return found, lost

    def _told(self, error: BackendError | TimeoutError, seconds: float) -> BackendError:
        if isinstance(error, BackendError):
            return error
        return CommandTimedOut(
            self._managers.host, self._action, f"no answer within {round(seconds, 1):g} s", exit_status=None
        )
