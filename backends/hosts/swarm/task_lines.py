"""What tasks print, read through a manager, which has it fetched from their nodes. A line of a service says of which task it is."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.hosts.contract import LogBatch
from quarterdeck.backends.hosts.docker.logs import Lines

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.swarm.looking import Service

_TASK: Final = b"com.docker.swarm.task.id="
_REMEMBERED: Final = 2000  # tasks of a service whose last lines are known
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


async def read_task(
    engine: "Engine", task: str, read: Lines, tty: bool, action: str, most: int, deadline: float
) -> tuple[list[tuple[str, str]], int]:
    """What ``read`` asks for, to its end: times and lines, the first ``most`` of them, and how many more there were. Raises what
    ``Engine.stream`` does, also where the task's node does not answer, and ``TimeoutError``."""

    def begin(client: "docker.APIClient") -> Iterator[None]:
        return read.read(client, f"/tasks/{task}/logs", tty, False)

    found: list[tuple[str, str]] = []
    lost = 0
    async with asyncio.timeout(deadline), aclosing(engine.stream(action, begin, opening=deadline)) as tokens:
        async for _ in tokens:
            batch = read.taken(engine.host)
            if batch is not None:
                times = batch.times or [None] * len(batch.texts)
                room = max(0, most - len(found))
                found += [(time or "", text) for time, text in zip(times[:room], batch.texts[:room], strict=True)]
                lost += batch.dropped + max(0, len(batch.texts) - room)
    return found, lost
