"""The log of a target: that of the containers that run of it, whichever they are by now. A switch does not end it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.contract import LogBatch
from quarterdeck.backends.hosts.docker.events import Cut, EngineEvent, Resync
from quarterdeck.backends.hosts.docker.looking import Container, Seen, inspect, look
from quarterdeck.backends.hosts.docker.names import ROLE, TARGET

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_ASKING: Final = 20.0
_WAITING: Final = 8  # batches that are read ahead
_ALL: Final = 20_000  # lines since it was started
_AFTER_A_CUT: Final = 100


async def follow_target(engine: "Engine", target: str, *, lines: int, follow: bool) -> AsyncGenerator[LogBatch, None]:
    """The last ``lines`` of what runs (or of what was live last) and of releases that have failed there, then what comes, from containers
    that are started later too. Raises ``CommandFailed`` where there is none."""
    action = f"read the log of {target}"
    first = await _wanted(engine, target, action)
    if not first:
        raise CommandFailed(
            engine.host, action, "there is no container of it", exit_status=None, advice="deploy a release there"
        )
    if not follow:
        for one, source in first:
            async with aclosing(engine.container_logs(one.id, lines=lines, follow=False)) as batches:
                async for batch in batches:
                    yield msgspec.structs.replace(batch, source=source)
        return
    async with aclosing(_Followers(engine, target, action).read(first, lines)) as batches:
        async for batch in batches:
            yield batch


async def _wanted(engine: "Engine", target: str, action: str) -> tuple[tuple[Container, str], ...]:
    """Each with what its lines are told apart by: nothing for what runs. What a failed release said last is why it failed, so it is read as
    well, until its container is removed."""
    seen = await look(engine, target, action, deadline=_ASKING)
    runs = tuple(reversed(seen.running))
    if not runs:
        last = seen.live or next(iter(seen.containers), None)
        runs = (last,) if last is not None else ()
    failed = (one for one in reversed(seen.containers) if _has_failed(seen, one) and one not in runs)
    return (*((one, f"{one.release}: ") for one in failed), *((one, "") for one in runs))


def _has_failed(seen: Seen, one: Container) -> bool:
    """It has ended, and its release never was good there, or is bad now."""
    proven = one.release in seen.state.good and one.release not in seen.state.bad
    return one.state in ("exited", "dead") and not proven


class _Followers:
    """One follower a container, all into one bounded queue."""

    def __init__(self, engine: "Engine", target: str, action: str) -> None:
        self._engine = engine
        self._target = target
        self._action = action
        self._waiting: asyncio.Queue[LogBatch | BackendError] = asyncio.Queue(_WAITING)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def read(self, first: tuple[tuple[Container, str], ...], lines: int) -> AsyncGenerator[LogBatch, None]:
        for one, source in first:
            self._begin(one.id, lines, source=source)
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

    def _begin(self, container: str, lines: int, *, of_this_life: bool = False, source: str = "") -> None:
        self._tasks[container] = asyncio.create_task(self._pump(container, lines, of_this_life, source))

    async def _pump(self, container: str, lines: int, of_this_life: bool, source: str) -> None:
        """One that has stopped is waited for: a rollback starts it again. It ends when it is removed."""
        try:
            # Its first words may be older than the event of its start: what it said before its last end is not wanted.
            body = await inspect(self._engine, self._action, container, deadline=_ASKING) if of_this_life else None
            ended = str(body["State"].get("FinishedAt", "")) if body is not None else ""
            since = "" if ended.startswith("0001-") else ended
            going = self._engine.container_logs(container, lines=lines, follow=True, since=since)
            async with aclosing(going) as batches:
                async for batch in batches:
                    await self._waiting.put(msgspec.structs.replace(batch, source=source) if source else batch)
        except BackendError as error:
            await self._waiting.put(error)
        self._tasks.pop(container, None)

    async def _watch(self) -> None:
        filters: dict[str, Any] = {"type": ["container"], "label": [f"{TARGET}={self._target}"]}
        try:
            async with aclosing(self._engine.events(filters)) as happenings:
                async for happening in happenings:
                    match happening:
                        case Resync():
                            await self._look_again()
                        case EngineEvent(action="start", id=id) if id not in self._tasks:
                            if ROLE not in happening.attributes:
                                self._begin(id, _ALL, of_this_life=True)
                        case EngineEvent() | Cut():
                            pass
        except BackendError as error:
            await self._waiting.put(error)

    async def _look_again(self) -> None:
        with contextlib.suppress(BackendError):  # then its events are cut as well, and this is asked for again
            seen = await look(self._engine, self._target, self._action, deadline=_ASKING)
            for one in seen.running:
                if one.id not in self._tasks:
                    self._begin(one.id, _AFTER_A_CUT)
