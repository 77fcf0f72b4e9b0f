"""The managers of a Swarm as one way to it: what one of them does not answer, another one is asked. Reads are asked again as they are; of a
change that nobody answered for it is looked first whether it was made."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from quarterdeck.backends.errors import BackendError, CommandTimedOut, EngineRefused, NotPermitted, Unreachable
from quarterdeck.backends.hosts.docker.refusals import UNKNOWN
from quarterdeck.backends.hosts.swarm.calls import Body, is_no_manager, is_passing

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

T = TypeVar("T")
Open = Callable[[str, float], Awaitable["Engine"]]
"""Opens the engine at an address within so many seconds. Raises ``Unreachable`` and its kinds, ``NotPermitted``."""

_PATIENCE: Final = 6.0  # seconds that one of several managers gets for an answer
_ANSWER: Final = 3.0  # seconds at least for what an engine is asked that has answered a moment before
_HEAD_START: Final = 1.0  # seconds before another manager is tried beside one that has not answered yet
_ELECTION: Final = 0.3  # seconds between two questions while there is no leader


class Managers:
    """``addresses``: in the order in which they are tried. Made by ``SwarmBackend``; ``open`` comes first."""

    def __init__(self, host: str, addresses: Sequence[str], opening: Open) -> None:
        self.host = host
        self.addresses = tuple(addresses)
        self._opening = opening
        self._engine: Engine | None = None
        self._at = ""  # the address of ``_engine``
        self._info: Body = {}
        self._cluster = ""  # the id of the swarm that was found first
        self._calls = 0  # of engines that were let go of
        self.came_forward = 0.0  # when an action last made a step forward, by the monotonic clock
        self._lock = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._changes: set[asyncio.Task[Any]] = set()
        self._closed = False

    @property
    def calls(self) -> int:
        """Requests to engines' APIs so far."""
        return self._calls + (self._engine.calls if self._engine is not None else 0)

    @property
    def engine(self) -> "Engine":
        """The manager that was asked last. Raises ``Unreachable`` where none is open."""
        if self._engine is None:
            raise Unreachable(self.host, "ask the swarm", "no manager of it is connected")
        return self._engine

    @property
    def address(self) -> str:
        """Where ``engine`` is, as the fleet file has it."""
        return self._at

    @property
    def node(self) -> str:
        """The id of the node that ``engine`` is."""
        return str(self._info.get("NodeID", ""))

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def version(self) -> str:
        return self._engine.engine_version if self._engine is not None else ""

    async def open(self, deadline: float) -> None:
        """Connects to a manager. Raises ``Unreachable`` and its kinds, ``NotPermitted``."""
        await self._current(time.monotonic() + deadline)

    async def ask(self, action: str, function: "Callable[[docker.APIClient], T]", *, deadline: float) -> T:
        """What changes nothing: asked of one manager after the other. Raises as ``Engine.call`` does."""
        end = time.monotonic() + deadline
        while True:
            engine = await self._current(end)
            try:
                return await engine.call(action, function, deadline=self._patience(end))
            except (Unreachable, CommandTimedOut):
                # Behind a leader that is silent each of them is, until they have chosen another one, which takes some twenty seconds.
                self._let_go(engine)
                if time.monotonic() + _ELECTION >= end or len(self.addresses) == 1:
                    raise
                await asyncio.sleep(_ELECTION)
            except EngineRefused as error:
                await self._again_after(engine, action, error, end)

    async def change(
        self,
        action: str,
        function: "Callable[[docker.APIClient], T]",
        is_made: "Callable[[docker.APIClient], T | None]",
        *,
        deadline: float,
    ) -> T:
        """``function``, once, and its answer. Where none came, ``is_made`` is asked: what it gives was made after all; None: not so, and
        it is tried again. The engine goes on with it though nobody waits any more: ``settled``. Raises as ``Engine.call`` does."""
        task = asyncio.create_task(self._change(action, function, is_made, deadline))
        self._changes.add(task)
        task.add_done_callback(self._is_over)
        return await asyncio.shield(task)

    async def _change(
        self,
        action: str,
        function: "Callable[[docker.APIClient], T]",
        is_made: "Callable[[docker.APIClient], T | None]",
        deadline: float,
    ) -> T:
        end = time.monotonic() + deadline
        while True:
            engine = await self._current(end)
            try:
                return await engine.call(action, function, deadline=self._patience(end))
            except (Unreachable, CommandTimedOut):
                self._let_go(engine)
                if time.monotonic() + _ELECTION >= end or len(self.addresses) == 1:
                    raise
            except EngineRefused as error:
                await self._again_after(engine, action, error, end)
            made = await self.ask(action, is_made, deadline=max(0.1, end - time.monotonic()))
            if made is not None:
                return made

    async def _again_after(self, engine: "Engine", action: str, error: EngineRefused, end: float) -> None:
        """Returns where it is worth asking again. Raises ``error``, or what it means where the time is over."""
        if is_no_manager(error):
            # The next one is asked; where there is none, opening this one again says what is the matter.
            self._let_go(engine)
        elif not is_passing(error):
            raise error
        elif time.monotonic() + _ELECTION >= end:
            raise self._without_leader(action, error) from None
        await asyncio.sleep(_ELECTION)

    def _is_over(self, task: asyncio.Task[Any]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever waited for it was told, or does not wait any more

    async def settled(self, deadline: float) -> None:
        """Returns when no ``change`` is under way that nobody waits for any more, or after ``deadline`` seconds."""
        if self._changes:
            await asyncio.wait(self._changes, timeout=deadline)

    def _patience(self, end: float) -> float:
        left = max(0.05, end - time.monotonic())
        return min(left, _PATIENCE) if len(self.addresses) > 1 else left

    def _without_leader(self, action: str, error: EngineRefused) -> BackendError:
        return Unreachable(
            self.host,
            action,
            f"its managers can't decide anything: {error.explanation.rstrip('.')}",
            left=UNKNOWN,
            advice="more than half of the managers must run and reach each other: docker node ls, on one of them",
        )

    async def _current(self, end: float) -> "Engine":
        async with self._lock:
            if self._closed:
                raise Unreachable(self.host, "ask the swarm", "the connection to it was closed here")
            if self._engine is None:
                self._engine, self._at, self._info = await self._open_one(end)
                self._cluster = self._cluster or _cluster_of(self._info)
            return self._engine

    def _let_go(self, engine: "Engine") -> None:
        """It is closed beside what comes next: one that hangs would take its time. The next one comes first from now on."""
        if self._engine is not engine:
            return
        self._calls += engine.calls
        if len(self.addresses) > 1:
            at = self.addresses.index(self._at)
            self.addresses = (*self.addresses[at + 1 :], *self.addresses[: at + 1])
        self._engine = None
        task = asyncio.create_task(_close(engine))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _open_one(self, end: float) -> "tuple[Engine, str, Body]":
        """The first manager that answers. Each gets a head start before the next one."""
        waiting: dict[asyncio.Task[tuple[Engine, str, Body]], str] = {}
        failures: list[tuple[str, BackendError]] = []
        left = list(self.addresses)
        try:
            while left or waiting:
                if left:
                    address = left.pop(0)
                    deadline = max(0.1, end - time.monotonic())
                    waiting[asyncio.create_task(self._try(address, deadline))] = address
                done, _ = await asyncio.wait(
                    waiting, timeout=_HEAD_START if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    address = waiting.pop(task)
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, BackendError):
                        raise error
                    failures.append((address, error))
        finally:
            for task in waiting:
                task.add_done_callback(_close_late)
                task.cancel()
        raise self._none(failures)

    async def _try(self, address: str, deadline: float) -> "tuple[Engine, str, Body]":
        end = time.monotonic() + deadline
        engine = await self._opening(address, deadline)
        # Waiting for a place among others that connect is in no deadline: it has answered now, and gets the time for one answer more.
        left = max(min(deadline, _ANSWER), end - time.monotonic())
        try:
            info = await engine.call("connect", lambda client: client.info(), deadline=left)
            swarm: Body = info.get("Swarm") or {}
            if swarm.get("LocalNodeState") != "active" or not swarm.get("ControlAvailable"):
                raise self._no_manager(address, swarm)
            if self._cluster and _cluster_of(swarm) not in ("", self._cluster):
                raise Unreachable(
                    self.host,
                    "connect",
                    f"{address} is a manager of another swarm than the one that was asked before",
                    left="Nothing was asked of it",
                    advice="name managers of one swarm in the host's swarm entry",
                )
        except BaseException:
            await _close(engine)
            raise
        return engine, address, swarm

    def _no_manager(self, address: str, swarm: Body) -> Unreachable:
        worker = swarm.get("LocalNodeState") == "active"
        others = ", ".join(str(one.get("Addr", "")).rpartition(":")[0] for one in swarm.get("RemoteManagers") or [])
        return Unreachable(
            self.host,
            "connect",
            f"{address} is {'a worker' if worker else 'no node'} of a swarm" + (", not a manager" if worker else ""),
            left="Nothing was asked of it",
            advice=f"name a manager in the host's swarm entry{': ' + others if others else ''}"
            if worker
            else "make it one (docker swarm init), or name another manager in the host's swarm entry",
        )

    def _none(self, failures: Sequence[tuple[str, BackendError]]) -> BackendError:
        first = failures[0][1]
        if len(failures) == 1 or all(isinstance(one, NotPermitted) for _, one in failures):
            return first
        told = "; ".join(f"{address}: {one.problem}" for address, one in failures)
        return Unreachable(
            self.host,
            "connect",
            f"none of its managers answers: {told}",
            advice="see on one of them whether the swarm is there: docker node ls",
        )

    async def close(self) -> None:
        """Closes the ways to managers: what they have begun, they go on with. May be called again."""
        if self._closed:
            return
        self._closed = True
        for task in list(self._changes):
            task.cancel()
        async with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                self._calls += engine.calls
                await engine.close()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_PATIENCE)


def _cluster_of(swarm: Body) -> str:
    return str((swarm.get("Cluster") or {}).get("ID", ""))


async def _close(engine: "Engine") -> None:
    with contextlib.suppress(BackendError, OSError, TimeoutError):
        await engine.close()


def _close_late(task: "asyncio.Task[tuple[Engine, str, Body]]") -> None:
    """One that was opened in the moment in which another one was chosen."""
    if not task.cancelled() and task.exception() is None:
        closing = asyncio.get_running_loop().create_task(_close(task.result()[0]))
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()
