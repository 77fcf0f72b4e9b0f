"""An open way to one Docker engine: calls in a few threads, each with a deadline, and streams. Knows nothing of releases.

Must never leave a thread, a socket or a directory behind, and never let an error of the SDK out.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import docker

from quarterdeck.backends.errors import BackendError, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.contract import LogBatch, Vitals
from quarterdeck.backends.hosts.docker.client import CALLS_AT_ONCE, STREAMS_AT_ONCE, Work, speak
from quarterdeck.backends.hosts.docker.events import Happening, follow_events
from quarterdeck.backends.hosts.docker.figures import ContainerStats, LastLooks, read_stats, read_vitals_of
from quarterdeck.backends.hosts.docker.logs import follow_container
from quarterdeck.backends.hosts.docker.place import Place
from quarterdeck.backends.hosts.docker.refusals import SDK_ERRORS, UNKNOWN, explain
from quarterdeck.backends.hosts.docker.stream import Stream
from quarterdeck.backends.hosts.docker.way import Way
from quarterdeck.backends.numbers import number_in

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.ssh.connection import SshConnection

OLDEST_API: Final = "1.41"  # Docker 20.10
NEWEST_API: Final = "1.47"  # Docker 27: newer engines speak it too
_ANSWER: Final = 3.0  # seconds at least for the first answer, once there is a way to it
_OPENING: Final = 20.0  # seconds for a stream to begin
_LEAVING: Final = 5.0

T = TypeVar("T")


class Engine:
    """Made by ``DockerBackend.open_engine``. ``calls``: requests to the engine's API, those that open a stream included."""

    def __init__(self, host: str, way: Way, fleet: str = "") -> None:
        self.host = host
        self.fleet = fleet  # of what is made there from here
        self.calls = 0
        self.api_version = ""
        self.engine_version = ""
        self._way = way
        self._client: docker.APIClient | None = None
        self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix=f"engine {host}")
        self._works: set[Work] = set()
        self._streams: set[Stream[Any]] = set()
        self._changes: set[asyncio.Task[Any]] = set()
        self._looks = LastLooks()
        self._closed = False

    @property
    def place(self) -> Place:
        """Where it listens; what a context stands for."""
        return self._way.place

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def encrypted(self) -> bool:
        """Whether TLS lies between: such a connection has no end of its own in each direction."""
        return self._client is not None and self._client.base_url.startswith("https")

    @property
    def ssh(self) -> "SshConnection | None":
        """Where it is reached over SSH: the connection of now, another one after it was cut."""
        return self._way.ssh

    @property
    def address(self) -> str:
        """Of the machine, for checks that are made from here."""
        return self._way.address

    @property
    def is_there(self) -> bool:
        """Whether ``open_tcp`` reaches what the engine's machine reaches. Over TCP it does not, and the address that a container has there
        may be that of another one here."""
        return self._way.is_there

    async def open(self, deadline: float) -> None:
        """Connects and agrees on the version of the API. ``Unreachable`` and its kinds, ``NotPermitted``."""
        end = time.monotonic() + deadline
        try:
            await self._way.ready(deadline)
            # What it waited for others that connect is in no deadline: what is reached gets the time for one answer.
            async with asyncio.timeout(max(min(deadline, _ANSWER), end - time.monotonic())):
                self._client = await asyncio.to_thread(self._way.client)
                version = await self.call(
                    "connect", lambda client: client.version(api_version=False), deadline=deadline
                )
        except CommandTimedOut as error:
            raise Unreachable(self.host, "connect", "its Docker engine does not answer", advice=error.advice) from None
        except TimeoutError:
            raise Unreachable(
                self.host,
                "connect",
                f"its Docker engine gave no answer within {round(deadline, 1):g} s",
                advice="is it stopped, or its machine overloaded? See: systemctl status docker, there",
            ) from None
        except BackendError as error:
            raise await self._way.explain(error, max(1.0, end - time.monotonic())) from None
        self._agree(version)

    def _agree(self, version: dict[str, Any]) -> None:
        theirs, least = str(version.get("ApiVersion", "")), str(version.get("MinAPIVersion", ""))
        self.engine_version = str(version.get("Version", ""))
        if not _number(theirs):
            raise Unreachable(
                self.host, "connect", f"what answers at {self._way.place} tells no version of Docker's API"
            )
        if _number(theirs) < _number(OLDEST_API):
            raise Unreachable(
                self.host,
                "connect",
                f"its Docker engine {self.engine_version} is too old: it speaks version {theirs} of the API, {OLDEST_API} is needed",
                left="Nothing was changed there",
                advice="update it to Docker 20.10 or newer",
            )
        if least and _number(least) > _number(NEWEST_API):
            raise Unreachable(
                self.host,
                "connect",
                f"its Docker engine {self.engine_version} is too new: it speaks version {least} of the API and newer, {NEWEST_API} is the "
                "newest that is known here",
                left="Nothing was changed there",
                advice="update qd",
            )
        self.api_version = min(theirs, NEWEST_API, key=_number)
        speak(self._open_client(), self.api_version)

    def _open_client(self) -> docker.APIClient:
        if self._closed or self._client is None:
            raise Unreachable(self.host, "ask the engine", "the connection to it was closed here")
        return self._client

    def _count(self) -> None:
        self.calls += 1  # from several threads: a figure that tests watch, one lost would be seen there

    async def call(self, action: str, function: Callable[[docker.APIClient], T], *, deadline: float) -> T:
        """What ``function`` gives, which runs in a thread with the SDK's client; ``action`` is for errors. It may ask several things.

        When nobody waits any more (``deadline`` seconds, or cancelled), what it waits for is ended, and the thread is free again.
        Raises ``Unreachable``, ``CommandTimedOut``, ``EngineRefused``, ``NoSpace``, ``NotPermitted``.
        """
        client = self._open_client()
        work = Work(self._count, time.monotonic() + deadline)

        def run() -> T:
            with work.here():
                return function(client)

        self._works.add(work)
        try:
            async with asyncio.timeout(deadline):
                await self._way.ready(deadline * 0.9)  # so that it is that which says why
                return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except TimeoutError as error:
            if not work.begun:
                raise CommandTimedOut(
                    self.host,
                    action,
                    f"not begun within {round(deadline, 1):g} s: the calls before it still wait for the engine",
                    exit_status=None,
                    left="Nothing was asked of the engine",
                ) from None
            if isinstance(error.__cause__, asyncio.CancelledError):
                raise CommandTimedOut(
                    self.host, action, f"no answer within {round(deadline, 1):g} s", exit_status=None, left=UNKNOWN
                ) from None
            raise explain(self.host, self._way.place, action, error) from None
        except SDK_ERRORS as error:
            raise self._explained(action, error) from None
        finally:
            work.end()
            self._works.discard(work)

    async def change(self, action: str, function: Callable[[docker.APIClient], T], *, deadline: float) -> T:
        """``call`` for what the engine goes on with, though nobody waits any more: it is not ended then, and ``settled`` tells when it is
        over. Raises as ``call`` does."""
        task = asyncio.create_task(self.call(action, function, deadline=deadline))
        self._changes.add(task)
        task.add_done_callback(self._is_over)
        return await asyncio.shield(task)

    def later(self, action: str, function: Callable[[docker.APIClient], object], *, deadline: float) -> None:
        """``change`` that nobody waits for, and whose failure is nobody's affair: what is cleaned up."""
        task = asyncio.create_task(self.call(action, function, deadline=deadline))
        self._changes.add(task)
        task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[Any]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: whoever waited for it was told, or does not wait any more

    async def settled(self, deadline: float) -> None:
        """Returns when no ``change`` is under way that nobody waits for any more, or after ``deadline`` seconds."""
        if self._changes:
            await asyncio.wait(self._changes, timeout=deadline)

    async def stream(
        self, action: str, function: Callable[[docker.APIClient], Iterable[T]], *, opening: float = _OPENING
    ) -> AsyncGenerator[T, None]:
        """What the iterator that ``function`` gives yields, in a thread of its own, which reads ahead only a little.

        ``opening``: seconds for the engine to begin; then it may be silent for as long as it likes. Close the generator
        (``contextlib.aclosing``): that ends the response and the thread. Raises as ``call`` does.
        """
        if len(self._streams) >= STREAMS_AT_ONCE:
            raise BackendError(
                self.host, action, f"{STREAMS_AT_ONCE} streams of this engine are open", advice="close some of the logs"
            )
        client = self._open_client()
        work = Work(self._count)
        stream: Stream[T] = Stream(f"engine {self.host}: {action}", client, work, function)
        self._streams.add(stream)
        started = False
        try:
            try:
                async with asyncio.timeout(opening):
                    await self._way.ready(opening)
                    stream.start()
                    started = True
                    await stream.opened
            except TimeoutError:
                raise CommandTimedOut(
                    self.host, action, f"no answer within {opening:g} s", exit_status=None, left=UNKNOWN
                ) from None
            while items := await stream.next_ones():
                for item in items:
                    yield item
        except SDK_ERRORS as error:
            raise self._explained(action, error) from None
        finally:
            self._streams.discard(stream)
            if started:
                await stream.close()

    def _explained(self, action: str, error: BaseException) -> BackendError:
        if self._closed:
            return Unreachable(self.host, action, "the connection to the engine was closed here", left=UNKNOWN)
        ssh = self._way.ssh
        if ssh is not None and ssh.ssh.is_closed() and isinstance(error, OSError):
            return Unreachable(
                self.host,
                action,
                "the SSH connection was lost",
                left=UNKNOWN,
                advice="the outcome is read from the engine as soon as it can be reached again",
            )
        return explain(self.host, self._way.place, action, error)

    def events(
        self, filters: Mapping[str, Sequence[str]] | None = None, *, silence: float = 30.0
    ) -> AsyncGenerator[Happening, None]:
        """What happens, for ever: over restarts of the engine and cut connections. A ``Resync`` comes before the first event and after
        every cut (``Cut``, with the reason): then the consumer lists anew.

        ``filters`` as the API names them (``{"type": ["container"]}``); ``silence``: seconds without an event after which the engine is
        asked whether it is there. Raises where trying again is of no use: ``follow_events``.
        """
        return follow_events(self, filters, silence)

    def container_logs(
        self, container: str, *, lines: int = 100, follow: bool = False, since: str = ""
    ) -> AsyncGenerator[LogBatch, None]:
        """The last ``lines`` and, with ``follow``, what comes: over restarts of the container and of the engine, until it is removed.

        ``since``: ISO 8601 UTC, ending in Z: only lines of that time and later. Raises as ``follow_container`` does.
        """
        return follow_container(self, container, lines=lines, follow=follow, since=since)

    async def one_shot_stats(self, containers: Iterable[str], *, deadline: float = 10.0) -> dict[str, ContainerStats]:
        """Of those that run, by what they were asked for as. The processor's share needs two looks."""
        return await read_stats(self, self._looks, containers, deadline)

    async def vitals(self, *, deadline: float = 10.0) -> Vitals:
        """Of the engine's machine: over TCP only its cores and memory. ``CommandFailed`` where it has no /proc."""
        return await read_vitals_of(self, deadline)

    async def open_tcp(self, address: str, port: int, *, deadline: float) -> tuple[Any, Any]:
        """(reader, writer) of a connection as the engine's machine sees it: made by its SSH server, or directly (127.0.0.1 is then the
        machine's own address).

        ``OSError`` (``ConnectionRefusedError``, ``TimeoutError``) where nothing answers there; ``Unreachable`` for a lost host,
        ``NotPermitted`` where its SSH server opens no connections.
        """
        async with asyncio.timeout(deadline):
            await self._way.ready(deadline)
            return await self._way.open_tcp(address, port)

    async def close(self) -> None:
        """Ends what is under way, the threads, the connection and what was made for it. May be called again."""
        if self._closed:
            return
        self._closed = True
        for task in list(self._changes):
            task.cancel()
        for work in list(self._works):
            work.end()
        for stream in list(self._streams):
            await stream.close()
        try:
            async with asyncio.timeout(_LEAVING):
                await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        except TimeoutError:
            pass  # a name that is being looked up: the thread ends with that
        finally:
            if self._client is not None:
                self._client.close()
            await self._way.close()


def _number(version: str) -> tuple[int, ...]:
    """ "1.41" as (1, 41); nothing where it is none."""
    parts = [number_in(part) for part in version.split(".")]
    return () if None in parts else tuple(part for part in parts if part is not None)
