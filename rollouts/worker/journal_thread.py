"""The journal as a coroutine: its writes run in one thread of their own, so that a commit never stops the event
loop."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from quarterdeck.history.errors import JournalBusy
from quarterdeck.history.journal import Journal

P = ParamSpec("P")
R = TypeVar("R")

WAY_BACK: Final = 120.0
"""Seconds of patience with a journal that others hold, for who is on a way back: half of it must not be left standing."""
_AGAIN: Final = 0.2
_Asked = tuple[Callable[[], Any], "Future[Any]"]


class JournalThread:
    """``do(journal.method, …)`` for everything that writes; reads may be made directly on ``reader``, a connection of
    the loop's own.

    What has gathered while a commit was on its way is one transaction: fifty hosts that end a step at the same time
    wait for the disk once or twice, not fifty times.
    """

    def __init__(self, journal: Journal, reader: Journal) -> None:
        self.journal = journal
        self.reader = reader
        self.patience = 0.0  # seconds for which a write that found the journal held is tried again
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._asked: deque[_Asked] = deque()

    async def do(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs a method of ``journal`` in its thread, perhaps twice (see ``Journal.together``); it is durable when this
        returns. A cancelled caller does not undo the write: it waits for it.

        The write's own deadline is the journal's busy time-out (3 s), and ``patience`` beyond that, so the wait is bounded. Raises
        ``JournalBusy``: others held it for all of that, and nothing was written.
        """
        since = time.monotonic()
        while True:
            try:
                return await self._once(partial(function, *args, **kwargs))
            except JournalBusy:
                if time.monotonic() - since >= self.patience:
                    raise
            await asyncio.sleep(_AGAIN)

    async def _once(self, function: Callable[[], R]) -> R:
        asked: Future[R] = Future()
        self._asked.append((function, asked))
        self._executor.submit(self._take)
        future = asyncio.wrap_future(asked)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    def _take(self) -> None:
        """In the thread, once for each that was asked: all that are there now, in their order. Mostly the first one finds them all."""
        found = []
        while self._asked:
            work, asked = self._asked.popleft()
            if asked.set_running_or_notify_cancel():
                found.append((work, asked))
        if len(found) > 1:
            try:
                results = self.journal.together(lambda: [work() for work, _ in found])
            except BaseException:  # nothing was written: each one for itself, and whose fault it was has the error
                results = None
            if results is not None:
                for (_, asked), result in zip(found, results, strict=True):
                    asked.set_result(result)
                return
        for work, asked in found:
            try:
                asked.set_result(work())
            except BaseException as error:  # it is the caller's
                asked.set_exception(error)
