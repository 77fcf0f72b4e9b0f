"""The observer's way to the journal: one thread that opens it, asks it and writes it, so that the loop never waits for a disk."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.place import JOURNAL
from quarterdeck.history.records import Operator

T = TypeVar("T")

FileIdentity = tuple[int, int]


class Clerk:
    """Opens the journal when it is first needed, never makes one. ``file``: which file it is, None while it is not open."""

    def __init__(self, state: Path, operator: Operator) -> None:
        self._state = state
        self._operator = operator
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._journal: Journal | None = None
        self.file: FileIdentity | None = None

    async def do(self, deed: Callable[[Journal], T]) -> T:
        """What ``deed`` gives. Bounded by the journal's own busy time-out. Raises JournalError."""

        def done() -> T:
            if self._journal is None:
                found = self._found()
                self._journal = Journal.open(self._state, operator=self._operator, create=False)
                self.file = found
            return deed(self._journal)

        return await asyncio.get_running_loop().run_in_executor(self._thread, done)

    async def still_the_same(self) -> bool:
        """False, once, when the journal was moved away or put back from a backup: it is closed, and opened anew for the next deed."""
        if self._journal is None or self._found() == self.file:
            return True
        journal, self._journal, self.file = self._journal, None, None
        with contextlib.suppress(JournalError):
            await asyncio.get_running_loop().run_in_executor(self._thread, journal.close)
        return False

    def _found(self) -> FileIdentity | None:
        try:
            found = os.stat(self._state / JOURNAL)
        except OSError:
            return None
        return found.st_dev, found.st_ino
