"""Work with an engine beside everything else, in a thread with an event loop of its own: whoever starts or removes a playground may have
a loop already, or none."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Errand(Generic[T]):
    """Begins at once. Its thread never holds up the end of the process."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._future: Future[T] = Future()
        self._task: asyncio.Task[T] | None = None
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine errand", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            outcome = asyncio.run(self._whole())
        except BaseException as error:
            self._begun.set()
            self._future.set_exception(error)
        else:
            self._future.set_result(outcome)

    async def _whole(self) -> T:
        self._task = asyncio.create_task(self._work())
        self._begun.set()
        return await self._task

    def result(self, deadline: float) -> T:
        """What the work gives; raises what it raises, and ``TimeoutError`` when it is not over ``deadline`` seconds from now."""
        return self._future.result(deadline)

    def give_up(self, deadline: float) -> None:
        """Cancels what is under way and waits until it has left; does nothing when it is over."""
        self._begun.wait(deadline)
        if self._task is not None and not self._future.done():
            with contextlib.suppress(RuntimeError):  # its loop was closed just now
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        self._thread.join(deadline)
