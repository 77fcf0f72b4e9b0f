"""What the leading observer does about ways back: looks whether one has closed or is open again, journals it, and has people told."""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from quarterdeck.config.model import Fleet
from quarterdeck.history.errors import JournalError
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.observer.clerk import Clerk
from quarterdeck.rollouts.picture import take_picture
from quarterdeck.rollouts.way_telling import WORD, journalled, tell
from quarterdeck.rollouts.way_watch import Turned, WayWatch, said_closed

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

    def happened(self, targets: Iterable[str]) -> None:
        self._due.update(name for name in targets if name in self._fleet.targets)

    async def look(self, group: asyncio.TaskGroup) -> None:
        """At most every few seconds. Telling goes on beside, in ``group``. Raises JournalError: then it is looked at again."""
        now = time.monotonic()
        if now - self._looked < min(EVERY, self._hold):
            return
        self._looked = now
        watch = self._watch
        if watch is None:
            closed = await self._clerk.do(said_closed)
            watch = self._watch = WayWatch(closed.intersection(self._fleet.targets), hold=self._hold)
        names = self._due | watch.turning
        if not names:
            return
        picture = await self._clerk.do(lambda journal: take_picture(self._fleet, journal, names))
        self._due -= names
        turned = watch.look(picture.targets.values(), time.monotonic())
        if turned:
            events, operator = await self._clerk.do(lambda journal: (journalled(journal, turned), journal.operator))
            for one in turned:
                watch.said(one)
            if any(WORD in one.on for one in self._fleet.notify):
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
