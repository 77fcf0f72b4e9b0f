"""The control room's only way to the journal: a thread that follows it, and one that answers questions and carries out what
operators ask for. The screen's own loop never waits for a disk."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.errors import JournalError, JournalMissing, JournalOutdated
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Event, Operator
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.health import Measures
from quarterdeck.rollouts.picture.fleet import Picture, around, empty_picture, is_of, renew, take_picture
from quarterdeck.rollouts.picture.samples import SampleReading

T = TypeVar("T")

LOOK_EVERY = 0.05  # seconds between two looks at the journal's version: 5 µs each
OBSERVATIONS_EVERY = 0.5  # seconds: what hosts were last seen running is read no oftener ...
OBSERVATIONS_REST = (
    5.0  # ... and of thousands of hosts, where that takes long, only after so many times as long as it took
)
LONGEST_REST = 15.0  # seconds
AROUND_EVERY = 5.0  # seconds: rooms go without a word
RECENT_EVENTS = 400  # that a screen has at once; older ones are asked for by the page
AT_A_TIME = 1000  # events
ANSWER_DEADLINE = 10.0  # seconds


class News(msgspec.Struct, frozen=True):
    """The picture as it is now, and what has been journalled since the last news (all that is recent, the first time)."""

    picture: Picture
    events: tuple[Event, ...]
    measures: Measures | None = None  # figures of what is watched; None: those that are known stand
    fault: str = ""  # why the journal can't be read; the picture is the last one that could


class Desk:
    """``tell`` is called from a thread of the desk; it must only hand over. ``known``: a picture of the same journal, from which the
    first one is made, as that is quicker."""

    def __init__(
        self,
        fleet: Fleet,
        operator: Operator,
        *,
        read_only: bool,
        tell: Callable[[News], None],
        known: Picture | None = None,
    ) -> None:
        self.fleet = fleet
        self.operator = operator
        self.read_only = read_only
        self._tell = tell
        self._known = known
        self._stop = threading.Event()
        self._nudge = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="follow the journal", daemon=True)
        self._clerk = ThreadPoolExecutor(1, thread_name_prefix="ask the journal")
        self._journal: Journal | None = None
        self._fleet_changed = False
        self._watched: tuple[str | None, bool] = (None, False)

    def start(self) -> None:
        self._follower.start()

    def close(self) -> None:
        """Stops both threads; a question that is being answered is not waited for longer than a moment."""
        self._stop.set()
        self._nudge.set()
        self._clerk.shutdown(wait=False, cancel_futures=True)
        if self._follower.is_alive():  # it is started with the first keys, and the room may have ended before
            self._follower.join(timeout=0.2)  # a daemon: it may be in the middle of a long read

    def change_fleet(self, fleet: Fleet) -> None:
        """The fleet file was edited: the picture is taken anew."""
        self.fleet = fleet
        self._fleet_changed = True
        self._nudge.set()

    def watch(self, target: str | None, *, everything: bool) -> None:
        """Whose figures are wanted with the news: of one target, and, roughly, of all of them."""
        if (target, everything) != self._watched:
            self._watched = (target, everything)
            self._nudge.set()

    # questions

    async def ask(self, question: Callable[[Journal], T]) -> T:
        """What ``question`` finds in the journal. Raises JournalError, TimeoutError."""
        return await self._answered(lambda: question(self._opened()))

    async def act(self, wish: Callable[[Control], T]) -> T:
        """Carries out what an operator asks for. Raises Refused and its kin, JournalError, TimeoutError."""
        return await self._answered(
            lambda: wish(Control(self.fleet, self._opened(), self.operator, read_only=self.read_only))
        )

    async def _answered(self, work: Callable[[], T]) -> T:
        async with asyncio.timeout(ANSWER_DEADLINE):
            return await asyncio.get_running_loop().run_in_executor(self._clerk, work)

    def _opened(self) -> Journal:
        """The clerk's own connection, opened in the clerk's thread. A journal that does not exist is made by who may write."""
        if self._journal is None:
            self._journal = Journal.open(self.fleet.state, operator=self.operator, read_only=self.read_only)
        return self._journal

    # following

    def _follow(self) -> None:
        """Runs until it is stopped; a journal that is missing, busy or broken is tried again, and said."""
        fault, brought_up = "", False
        while not self._stop.is_set():
            try:
                with Journal.open(self.fleet.state, operator=self.operator, create=False, read_only=True) as journal:
                    self._follow_open(journal)
                    return
            except JournalMissing:
                now = ""  # nothing was ever released: an empty room is the truth
                if fault == "" and not self._stop.is_set():
                    self._tell(News(empty_picture(self.fleet), ()))
                fault = " "
            except JournalError as error:
                if isinstance(error, JournalOutdated) and not self.read_only and not brought_up:
                    brought_up = True  # once: what keeps it from being brought up is said until somebody mends it
                    kept = self._bring_up()
                    if kept is None:
                        continue
                    error = kept
                now = _words(error)
                if now != fault:
                    self._tell(News(empty_picture(self.fleet), (), fault=now))
                fault = now
            self._stop.wait(0.5)

    def _bring_up(self) -> JournalError | None:
        """Brings a journal of an older format to the newest, as any command that writes does; what kept it from that."""
        try:
            Journal.open(self.fleet.state, operator=self.operator, create=False).close()
        except JournalError as error:
            return error
        return None

    def _follow_open(self, journal: Journal) -> None:
        version = journal.data_version()
        picture = self._brought_up(journal) or take_picture(self.fleet, journal)
        recent = journal.events(limit=RECENT_EVENTS, newest_first=True)
        self._tell(News(picture, tuple(reversed(recent))))
        looked_at = around_at = time.monotonic()
        pause = OBSERVATIONS_EVERY
        measuring = SampleReading()
        while not self._stop.is_set():
            self._nudge.wait(LOOK_EVERY)
            self._nudge.clear()
            if self._fleet_changed:
                self._fleet_changed = False
                missed = journal.events(picture.head, limit=AT_A_TIME)
                picture = take_picture(self.fleet, journal)
                self._tell(News(picture, tuple(event for event in missed if event.seq <= picture.head)))
                continue
            now = journal.data_version()
            before, events = picture, []
            if now != version:
                events = journal.events(picture.head, limit=AT_A_TIME)
                begun = time.monotonic()
                looked = begun - looked_at >= pause
                if looked:
                    version, looked_at, around_at = now, begun, begun
                if events or looked:  # else seen again with the next look: ``version`` stays as it was
                    picture = renew(picture, self.fleet, journal, events, looked=looked)
                    if looked:
                        took = time.monotonic() - begun
                        pause = min(max(OBSERVATIONS_EVERY, OBSERVATIONS_REST * took), LONGEST_REST)
            if time.monotonic() - around_at >= AROUND_EVERY:
                around_at = time.monotonic()
                picture = msgspec.structs.replace(picture, around=around(journal))
            measures = measuring.take_when_due(*self._watched, picture, journal, now)
            if events or measures is not None or picture != before:
                self._tell(News(picture, tuple(events), measures))

    def _brought_up(self, journal: Journal) -> Picture | None:
        """What was known before, with all that happened since; None where that would be no quicker."""
        known, self._known = self._known, None
        if not is_of(known, self.fleet):
            return None
        since = journal.events(known.head, limit=AT_A_TIME)
        return None if len(since) == AT_A_TIME else renew(known, self.fleet, journal, since, looked=True)


def _words(error: JournalError) -> str:
    """Why the journal can't be read, so short that what helps is on the screen too."""
    if isinstance(error, JournalOutdated):
        return f"older format {error.found}; any command that writes brings it up: qd note TEXT"
    return str(error)
