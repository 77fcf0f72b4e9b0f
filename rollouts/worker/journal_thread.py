"""The journal as a coroutine: its writes run in one thread of their own, so that a commit never stops the event
loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from quarterdeck.history.journal import Journal

P = ParamSpec("P")
R = TypeVar("R")


class JournalThread:
    """``do(journal.method, …)`` for everything that writes; reads may be made directly on ``reader``, a connection of
    the loop's own."""

    def __init__(self, journal: Journal, reader: Journal) -> None:
        self.journal = journal
        self.reader = reader
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def do(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs a method of ``journal`` in its thread. A cancelled caller does not undo the write: it waits for it.

        The write's own deadline is the journal's busy time-out (3 s), so the wait is bounded.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def close(self) -> None:
        self._executor.shutdown(wait=True)
