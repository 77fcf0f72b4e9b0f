"""What the leading observer does about ways back: looks whether one has closed or is open again, journals it, and has people told."""

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from quarterdeck.config.model import Fleet
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Event, Operator
from quarterdeck.rollouts.observer.clerk import Clerk
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.rollouts.way_back.telling import WORD, journalled, tell, untold
from quarterdeck.rollouts.way_back.watch import Turned, WayWatch, said_closed, turned_of

GATHERED: Final = (
    60.0  # seconds at most that what has turned waits for others that are about to: hosts are not all looked at at once
)
LATELY: Final = 600.0  # seconds: what was journalled within them and told by nobody is told by the next leader
EVERY: Final = 5.0  # seconds between two looks at what may have turned; less where little patience is asked for

_log = logging.getLogger("quarterdeck.observer")


class Ways:
    """One for a leader. ``hold``: seconds that a way must stay as it has turned."""

    def __init__(self, fleet: Fleet, clerk: Clerk, *, hold: float) -> None:
        self._fleet = fleet
        self._clerk = clerk
        self._hold = hold
        self._watch: WayWatch | None = None  # None: the journal has not told yet what was said last
        self._due = set(fleet.targets)  # something was seen of them, or happened to them, since the last look
        self._looked = 0.0
        self._ready_since = math.inf  # when the first of those that wait for others had turned for long enough

    def happened(self, targets: Iterable[str]) -> None:
        self._due.update(name for name in targets if name in self._fleet.targets)

    def heard(self, events: Iterable[Event]) -> None:
        """What others have journalled, a timer for instance."""
        if self._watch is not None:
            for event in events:
                self._watch.said(turned_of(event))

    async def look(self, group: asyncio.TaskGroup) -> None:
        """At most every few seconds. Telling goes on beside, in ``group``. Raises JournalError: then it is looked at again."""
        now = time.monotonic()
        if now - self._looked < min(EVERY, self._hold):
            return
        self._looked = now
        try:
            await self._look(group)
        except JournalError:
            raise
        except Exception:  # of a row that another version wrote, for instance: hosts are observed all the same
            _log.exception("ways back could not be looked at")

    async def _look(self, group: asyncio.TaskGroup) -> None:
        watch = self._watch or await self._begin(group)
        names = self._due | watch.turning
        if not names:
            return
        picture = await self._clerk.do(lambda journal: take_picture(self._fleet, journal, names))
        self._due -= names
        now = time.monotonic()
        turned = watch.look(picture.targets.values(), now)
        self._ready_since = min(self._ready_since, now) if turned else math.inf
        others = watch.turning - {one.target for one in turned}
        if not turned or (others and now - self._ready_since < min(GATHERED, 2 * self._hold)):
            return
        self._ready_since = math.inf
        events, operator = await self._clerk.do(lambda journal: (journalled(journal, turned), journal.operator))
        for one in turned:
            watch.said(one)
        self._tell_beside(group, [one for one in turned if one.target in events], events, operator)

    async def _begin(self, group: asyncio.TaskGroup) -> WayWatch:
        since = (datetime.now(UTC) - timedelta(seconds=LATELY)).strftime("%Y-%m-%dT%H:%M:%S")

        def read(journal: Journal) -> tuple[set[str], dict[int, Turned], Operator]:
            return said_closed(journal), untold(journal, self._fleet.targets, since), journal.operator

        closed, left, operator = await self._clerk.do(read)
        self._watch = WayWatch(closed.intersection(self._fleet.targets), hold=self._hold)
        last = {one.target: (seq, one) for seq, one in sorted(left.items())}  # of each the newest alone
        self._tell_beside(
            group, [one for _, one in last.values()], {target: seq for target, (seq, _) in last.items()}, operator
        )
        return self._watch

    def _tell_beside(
        self, group: asyncio.TaskGroup, turned: Sequence[Turned], events: dict[str, int], operator: Operator
    ) -> None:
        if turned and any(WORD in one.on for one in self._fleet.notify):
            group.create_task(self._tell(turned, events, operator), name="tell of ways back")

    async def _tell(self, turned: Sequence[Turned], events: dict[str, int], operator: Operator) -> None:
        try:
            records = await tell(self._fleet, turned, events, operator)
            for _, target, body in records:
                if "why" in body:
                    _log.warning("not told that a way back has turned, target=%s reason=%s", target, body["why"])
            await self._clerk.do(
                lambda journal: [journal.record(kind, target=target, body=dict(body)) for kind, target, body in records]
            )
        except JournalError as error:
            _log.warning("what came of a notification is not journalled: %s", error)
        except Exception:  # of a service's or a secret's: looking goes on
            _log.exception("telling of ways back failed")
