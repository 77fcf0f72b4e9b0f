"""Operators' wishes as the worker sees them: it follows the journal and keeps what is asked of it until it can be
answered."""

import asyncio
import contextlib
import logging

from quarterdeck.history.errors import JournalError, RequestRefused
from quarterdeck.history.records import Request, RolloutState
from quarterdeck.rollouts.worker.journal_thread import JournalThread

log = logging.getLogger("quarterdeck.worker")

EAGER = 0.002  # seconds between two looks while an operator's finger is on the key: a look costs 5 µs
CALM = 0.05


class Wishes:
    """``aborted`` is set by the first abort and never cleared; the others are taken, once, by whoever can do them. ``overtaken`` is set
    when another rollout has taken this one's place: whoever only waits goes then, and does not hold its connections for hours."""

    def __init__(self, journal: JournalThread, rollout: int) -> None:
        self._journal = journal
        self._rollout = rollout
        self._open: dict[int, Request] = {}
        self._answered: set[int] = set()
        self._changed = asyncio.Event()
        self.aborted = asyncio.Event()
        self.overtaken = asyncio.Event()
        self.moved = asyncio.Event()  # something was journalled; whoever waits for that clears it
        self.abort_request: Request | None = None
        self.eager = False

    async def follow(self) -> None:
        """Runs until cancelled."""
        version = -1
        reader = self._journal.reader
        while True:
            try:
                now = reader.data_version()
                if now != version:
                    self._read()
                    version = now
                    self.moved.set()
            except JournalError as error:  # busy for a while: an abort must be heard all the same, at the next look
                log.warning("the journal could not be read, rollout=%d reason=%s", self._rollout, error)
            await asyncio.sleep(EAGER if self.eager else CALM)

    def _read(self) -> None:
        if self._journal.reader.state_of(self._rollout) is RolloutState.SUPERSEDED:
            self.overtaken.set()
        waiting = self._journal.reader.open_requests(self._rollout)
        fresh = {request.id: request for request in waiting if request.id not in self._answered}
        if fresh.keys() != self._open.keys():
            self._open = fresh
            for request in fresh.values():
                if request.kind == "abort" and self.abort_request is None:
                    self.abort_request = request
                    self.aborted.set()
            self._changed.set()

    def heard_abort(self) -> bool:
        """Whether an abort is asked for now, without waiting for the next look."""
        self._read()
        return self.aborted.is_set()

    async def next(self, *kinds: str, but_in_full: bool = False) -> Request:
        """The oldest open wish of one of ``kinds``; waits for one. ``but_in_full``: not a promotion that leaves out pauses to come."""
        while True:
            found = self.pending(*kinds, but_in_full=but_in_full)
            if found is not None:
                return found
            self._changed.clear()
            await self._changed.wait()

    def pending(self, *kinds: str, but_in_full: bool = False) -> Request | None:
        for request in sorted(self._open.values(), key=lambda r: r.id):
            if request.kind in kinds and not (but_in_full and request.arguments.get("full")):
                return request
        return None

    def forget(self, request: Request) -> None:
        """It has been answered."""
        self._open.pop(request.id, None)
        self._answered.add(request.id)

    async def answer(self, request: Request, answer: str, *, state: str = "done") -> None:
        """Journals what became of the wish. ``state``: done or refused."""
        self.forget(request)
        with contextlib.suppress(RequestRefused):  # answered already, by a worker before this one
            await self._journal.do(self._journal.journal.answer, request.id, state, answer)
