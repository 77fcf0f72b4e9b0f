"""What the leading observer does about ways back: looks whether one has closed or is open again, journals it, and has people told."""

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Event, Operator
from quarterdeck.rollouts.observer.clerk import Clerk
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.way_back.telling import WORD, journalled, tell, untold
from quarterdeck.rollouts.way_back.watch import Turned, WayWatch, said_closed, turned_of

GATHERED: Final = (
    60.0  # seconds at most that what has turned waits for others that are about to: hosts are not all looked at at once
)
LATELY: Final = 600.0  # seconds: what was journalled within them and told by nobody is told by the next leader
EVERY: Final = 5.0  # seconds between two looks at what may have turned; less where little patience is asked for
RESTS: Final = 5.0  # times as long as a look took until the next one at the earliest
PASSED: Final = 20  # targets that are looked at besides each time, one after the other, though nobody said that anything is new there
AGAIN: Final = (2.0, 10.0, 30.0)  # times ``hold`` after which what reached nobody is sent again, while it is still so

_log = logging.getLogger("quarterdeck.observer")


class _Untold(msgspec.Struct):
    """A message that destination ``to`` did not take. ``tries``: how often; ``at``: when it is sent again."""

    to: int
    turned: tuple[Turned, ...]
    events: Mapping[str, int]
    operator: Operator
    tries: int
    at: float


class Ways:
    """One for a leader. ``hold``: seconds that a way must stay as it has turned."""

    def __init__(self, fleet: Fleet, clerk: Clerk, *, hold: float) -> None:
        self._fleet = fleet
        self._clerk = clerk
        self._hold = hold
        self._watch: WayWatch | None = None  # None: the journal has not told yet what was said last
        self._due = set(fleet.targets)  # something was seen of them, or happened to them, since the last look
        self._next = 0.0
        self._round = itertools.cycle(fleet.targets)
        self._last: dict[str, int] = {}  # by target, the event by which it was said last here
        self._untold: list[_Untold] = []
        self._passed_closed = 0
        self._odd: set[str] = set()  # those that could not be looked at, and it was said
        self._ready_since = math.inf  # when the first of those that wait for others had turned for long enough

    def happened(self, targets: Iterable[str]) -> None:
        self._due.update(name for name in targets if name in self._fleet.targets)

    def heard(self, events: Iterable[Event]) -> None:
        """What others have journalled, a timer for instance."""
        if self._watch is not None:
            for event in events:
                self._watch.said(turned_of(event))
                self._last[event.target or ""] = event.seq
                self.happened([event.target or ""])

    async def look(self, group: asyncio.TaskGroup) -> None:
        """At most every few seconds. Telling goes on beside, in ``group``. Raises JournalError: then it is looked at again."""
        begun = time.monotonic()
        if begun < self._next:
            return
        self._next = begun + min(EVERY, self._hold)
        try:
            await self._look(group)
            took = time.monotonic() - begun
            self._next = max(self._next, begun + RESTS * took)  # hosts are observed by the same loop
        except JournalError:
            raise
        except Exception:  # of a row that another version wrote, for instance: hosts are observed all the same
            _log.exception("ways back could not be looked at")

    async def _look(self, group: asyncio.TaskGroup) -> None:
        watch = self._watch or await self._begin(group)
        self._tell_again(group, watch)
        # What others wrote of a host, a timer or a worker at its end, may differ from what was seen here, which then does not change.
        names = self._due | watch.turning | self._passed(watch.closed)
        if not names:
            return
        seen = await self._clerk.do(lambda journal: self._pictured(journal, names))
        self._due -= names
        now = time.monotonic()
        turned = watch.look(seen, now)
        self._ready_since = min(self._ready_since, now) if turned else math.inf
        others = watch.turning - {one.target for one in turned}
        if not turned or (others and now - self._ready_since < min(GATHERED, 2 * self._hold)):
            return
        self._ready_since = math.inf
        events, operator = await self._clerk.do(lambda journal: (journalled(journal, turned), journal.operator))
        for one in turned:
            watch.said(one)
        self._last.update(events)
        self._tell_beside(group, [one for one in turned if one.target in events], events, operator)

    def _passed(self, closed: Collection[str]) -> set[str]:
        """Some of those that have closed, and of all: each in its turn."""
        again = sorted(closed)
        if len(again) > PASSED:
            self._passed_closed = (self._passed_closed + PASSED) % len(again)
            again = (again[self._passed_closed :] + again)[:PASSED]
        return {*again, *itertools.islice(self._round, PASSED)}

    def _pictured(self, journal: Journal, names: Collection[str]) -> list[TargetSeen]:
        """Without those that can't be read: a row that another version wrote, for instance. Raises JournalError."""
        try:
            return list(take_picture(self._fleet, journal, names).targets.values())
        except JournalError:
            raise
        except Exception:
            if len(names) > 1:
                each = sorted(names)
                half = len(each) // 2
                return [*self._pictured(journal, each[:half]), *self._pictured(journal, each[half:])]
            (name,) = names
            if name not in self._odd:
                self._odd.add(name)
                _log.exception("target=%s its way back could not be looked at", name)
            return []

    async def _begin(self, group: asyncio.TaskGroup) -> WayWatch:
        since = (datetime.now(UTC) - timedelta(seconds=LATELY)).strftime("%Y-%m-%dT%H:%M:%S")

        def read(journal: Journal) -> tuple[set[str], dict[int, Turned], Operator]:
            return said_closed(journal), untold(journal, self._fleet.targets, since), journal.operator

        closed, left, operator = await self._clerk.do(read)
        self._watch = WayWatch(closed.intersection(self._fleet.targets), hold=self._hold)
        self._last = {one.target: seq for seq, one in left.items()}
        self._tell_beside(group, list(left.values()), self._last, operator)
        return self._watch

    def _tell_beside(
        self, group: asyncio.TaskGroup, turned: Sequence[Turned], events: Mapping[str, int], operator: Operator
    ) -> None:
        if turned and any(WORD in one.on for one in self._fleet.notify):
            group.create_task(self._tell(turned, dict(events), operator), name="tell of ways back")

    def _tell_again(self, group: asyncio.TaskGroup, watch: WayWatch) -> None:
        """What is still so."""
        now = time.monotonic()
        due = [one for one in self._untold if one.at <= now]
        self._untold = [one for one in self._untold if one.at > now]
        for one in due:
            still = tuple(
                turned
                for turned in one.turned
                if turned.closed is (turned.target in watch.closed)
                and self._last.get(turned.target) == one.events[turned.target]
            )
            if still:
                telling = self._tell(still, one.events, one.operator, to=one.to, tries=one.tries)
                group.create_task(telling, name="tell of ways back again")

    async def _tell(
        self,
        turned: Sequence[Turned],
        events: Mapping[str, int],
        operator: Operator,
        *,
        to: int | None = None,
        tries: int = 0,
    ) -> None:
        try:
            records = await tell(self._fleet, turned, events, operator, to=to)
            for _, target, body in records:
                if "why" in body:
                    _log.warning("not told that a way back has turned, target=%s reason=%s", target, body["why"])
                    self._keep_untold(body, turned, events, operator, tries)
            await self._clerk.do(
                lambda journal: [journal.record(kind, target=target, body=dict(body)) for kind, target, body in records]
            )
        except JournalError as error:
            _log.warning("what came of a notification is not journalled: %s", error)
        except Exception:  # of a service's or a secret's: looking goes on
            _log.exception("telling of ways back failed")

    def _keep_untold(
        self,
        body: Mapping[str, Any],
        turned: Sequence[Turned],
        events: Mapping[str, int],
        operator: Operator,
        tries: int,
    ) -> None:
        if tries < len(AGAIN):
            about = {int(body["about"]), *map(int, body.get("with", ()))}
            those = tuple(one for one in turned if events[one.target] in about)
            at = time.monotonic() + AGAIN[tries] * self._hold
            self._untold.append(_Untold(int(body["to"]), those, events, operator, tries + 1, at))
