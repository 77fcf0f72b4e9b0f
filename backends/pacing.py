"""How many do something at the same time, where none may hold up the others: whoever takes long gives its place to the next and goes on.

It bounds work that this process does (handshakes, answers that are read, archives that are sent), not how many wait for something. It is
never a deadline: nothing is ended here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

CONNECTING_AT_ONCE: Final = 100
"""Hosts of one kind in all: of thousands that begin together none would be done within its deadline. A handshake, or an engine's first
answer, is some milliseconds of processor."""

SLOW_TO_CONNECT: Final = 1.0
"""Seconds until a host that has not answered gives its place to the next one."""


class Turn:
    """A place that somebody has. It is given on once, when it is left or when nothing has moved for ``patience`` seconds."""

    def __init__(self, places: asyncio.Semaphore, patience: float) -> None:
        self._places = places
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._moved = self._loop.time()
        self._held = True
        self._timer = self._loop.call_later(patience, self._look)

    def moved(self) -> None:
        """Something has gone on: the patience begins anew."""
        self._moved = self._loop.time()

    def leave(self) -> None:
        if self._held:
            self._held = False
            self._timer.cancel()
            self._places.release()

    def _look(self) -> None:
        left = self._moved + self._patience - self._loop.time()
        if left <= 0:
            self.leave()
        else:
            self._timer = self._loop.call_later(left, self._look)


class Pace:
    """``at_once`` places; the next ones come in the order in which they were asked for. ``patience``: seconds."""

    def __init__(self, at_once: int, patience: float) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._patience = patience

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Turn]:
        """Waits for a place: at most until those who came before have left theirs, or were slow."""
        await self._places.acquire()
        turn = Turn(self._places, self._patience)
        try:
            yield turn
        finally:
            turn.leave()
