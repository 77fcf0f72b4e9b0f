"""A blocking iterator of the SDK as an asynchronous one: a thread reads ahead only so far, and ends as soon as nobody reads."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

import docker

from quarterdeck.backends.hosts.docker.client import Work

_AHEAD: Final = 256
_LEAVING: Final = 5.0  # seconds for a thread to see that its socket was shut down

T = TypeVar("T")


class Stream(Generic[T]):
    """Made on the loop. ``opened`` is done when the iterator is there (the engine has answered), or failed with what it raised."""

    def __init__(
        self, name: str, client: docker.APIClient, work: Work, function: Callable[[docker.APIClient], Iterable[T]]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._work = work
        self._function = function
        self._room = threading.Condition()
        self._waiting: deque[T] = deque()
        self._failure: BaseException | None = None
        self._done = False
        self._some = asyncio.Event()
        self._left = asyncio.Event()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def next_ones(self) -> list[T]:
        """What has come, at least one; nothing: the iterator has ended. Raises what it raised, after everything before that."""
        while True:
            self._some.clear()
            with self._room:
                taken = list(self._waiting)
                self._waiting.clear()
                self._room.notify()
                done = self._done
            if taken:
                return taken
            if done:
                if self._failure is not None:
                    raise self._failure
                return []
            await self._some.wait()

    async def close(self) -> None:
        """Ends the HTTP response and the thread."""
        self._work.end()
        with self._room:
            self._room.notify()
        if self.opened.done() and not self.opened.cancelled():
            self.opened.exception()  # looked at
        async with asyncio.timeout(_LEAVING):
            await self._left.wait()
        self._thread.join(_LEAVING)  # it has nothing more to do

    def _run(self) -> None:
        try:
            with self._work.here():
                items = iter(self._function(self._client))
                self._tell(self._set_opened)
                for item in items:
                    with self._room:
                        while len(self._waiting) >= _AHEAD and not self._work.ended:
                            self._room.wait()
                        if self._work.ended:
                            break
                        self._waiting.append(item)
                        first = len(self._waiting) == 1
                    if first:
                        self._tell(self._some.set)
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            self._failure = error
        finally:
            with self._room:
                self._done = True
            self._tell(self._end)

    def _tell(self, what: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop is closed: the program ends
            self._work.end()

    def _set_opened(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)

    def _end(self) -> None:
        if not self.opened.done():
            if self._failure is None:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(self._failure)
        self._some.set()
        self._left.set()
