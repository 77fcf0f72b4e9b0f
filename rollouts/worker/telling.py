"""Telling people of the rollout while it goes on beside it: it follows the journal, sends what the fleet file asks for, and journals what
came of each message. Nothing here stops, delays or fails a rollout.

What was told, or could not be, is journalled, so that a worker that takes over tells only of the rest. A message that was on its way when
its worker died is sent again: twice is better than never.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.config.model import Target
from quarterdeck.history.errors import JournalError
from quarterdeck.history.records import Event, Rollout
from quarterdeck.rollouts.worker.journal_thread import JournalThread
from quarterdeck.rollouts.worker.own_log import own_log

if TYPE_CHECKING:
    from quarterdeck.backends.notify.addresses import Address
    from quarterdeck.backends.secrets import Masker
    from quarterdeck.config.notifications import Destination
    from quarterdeck.rollouts.telling import Moment

log = logging.getLogger("quarterdeck.worker")

LOOK = 0.1  # seconds between two looks
LATER = 0.5  # seconds to the next one where the journal is busy
DEADLINE = 15.0  # seconds for messages that are sent together, whatever the services do
RESOLVE = 5.0  # seconds in which their URLs must be found
LAST = 2 * (DEADLINE + RESOLVE) + 5.0  # seconds that a worker whose rollout is over stays for them at the most
BATCH = 50  # messages that are sent together


class Telling:
    """One for a rollout's worker. It does nothing where nobody is to be told."""

    def __init__(self, rollout: Rollout, target: Target, journal: JournalThread, base: Path) -> None:
        self._rollout = rollout
        self._target = target
        self._journal = journal
        self._base = base
        self._over = asyncio.Event()
        self._secrets: set[str] | None = None
        self._version = -1
        self._seen = 0
        self._stood: str | None = None
        self._waiting: list[tuple[Moment, Destination]] = []
        self._done: set[tuple[int, int]] = set()  # what was told already: the event, and to whom

    def hide(self, values: Iterable[str]) -> None:
        """Secrets that are known by now: they are in nothing that is sent, and in no line of the worker's log."""
        self._secrets = {*(self._secrets or ()), *values}
        own_log.hide(self._secrets)

    @contextlib.asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Tells while what is within goes on, and afterwards of the rest, for which nobody waits: the rollout is over and said so."""
        following = asyncio.create_task(self._follow())
        try:
            yield
            await self._finish(following)
        finally:
            following.cancel()
            (result,) = await asyncio.gather(following, return_exceptions=True)
            if isinstance(result, Exception):
                log.error("telling ended early, rollout=%d", self._rollout.id, exc_info=result)

    async def _follow(self) -> None:
        """Until the rollout is over and told of. At once where nobody is to be told."""
        listed = self._rollout.options.get("notify")
        if not listed:
            return
        from quarterdeck.config.notifications import Destination

        destinations = msgspec.convert(listed, tuple[Destination, ...])
        while True:
            last = self._over.is_set()
            try:
                self._look(destinations)
            except JournalError as error:
                log.warning("the journal could not be read, rollout=%d reason=%s", self._rollout.id, error)
                await asyncio.sleep(LATER)
                continue
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._tell(batch)
            if last:
                return
            await self._pause()

    async def _finish(self, following: "asyncio.Task[None]") -> None:
        """What has happened is told, within ``LAST`` seconds. Raises nothing but a cancellation."""
        self._over.set()
        _, late = await asyncio.wait([following], timeout=LAST)
        if late:
            log.warning("the last notifications were not sent in time, rollout=%d", self._rollout.id)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK):
                await self._over.wait()
        except TimeoutError:
            return

    def _look(self, destinations: "Sequence[Destination]") -> None:
        """What has happened since the last look, and was not told already."""
        from quarterdeck.rollouts.telling import NOT_TOLD, TOLD, moments, wanted

        reader = self._journal.reader
        version = reader.data_version()
        if version == self._version:
            return
        events: list[Event] = []
        seen = self._seen
        while more := reader.events(seen, rollout=self._rollout.id):
            events += more
            seen = more[-1].seq
        self._seen, self._version = seen, version
        for event in events:
            if event.kind in (TOLD, NOT_TOLD):
                self._done.add((int(event.body["about"]), int(event.body["to"])))
        found, self._stood = moments(events, self._rollout.kind, self._stood)
        self._waiting += [
            (moment, one)
            for moment in found
            for one in destinations
            if wanted(one, moment) and (moment.seq, one.number) not in self._done
        ]

    async def _tell(self, batch: "Sequence[tuple[Moment, Destination]]") -> None:
        from quarterdeck.backends.notify.addresses import addresses
        from quarterdeck.backends.notify.contract import Delivery
        from quarterdeck.backends.notify.through_apprise import ThroughApprise

        each = {one.number: one for _, one in batch}
        found = await addresses(list(each.values()), base=self._base, deadline=RESOLVE)
        known = {address.destination.number: address for address in found}
        masker = await self._masker(found)
        sent = []
        for moment, one in batch:
            address = known[one.number]
            if address.error is not None:
                await self._record(moment, address, str(address.error))
            else:
                sent.append((moment, address))
        values = self._values([moment for moment, _ in sent], masker)
        deliveries = [
            Delivery(address.name, address.url, _message(address, moment, values[moment.seq]))
            for moment, address in sent
        ]
        outcomes = await ThroughApprise().tell(deliveries, deadline=DEADLINE)
        for (moment, address), error in zip(sent, outcomes, strict=True):
            await self._record(moment, address, masker.mask(str(error)) if error is not None else "")

    def _values(self, about: "Sequence[Moment]", masker: "Masker") -> dict[int, dict[str, str]]:
        """By event, what may be filled in, without secrets."""
        from quarterdeck.rollouts.telling import values_of

        options = self._rollout.options
        version = str(options.get("version") or "")
        try:
            rollout = self._journal.reader.rollout(self._rollout.id)
            row = self._journal.reader.release(rollout.to_release) if rollout.to_release else None
            version = row.release.version if row is not None else version
        except JournalError:
            rollout = self._rollout
        fleet = str(options.get("fleet") or "")
        return {
            one.seq: {name: masker.mask(text) for name, text in values_of(one, rollout, version, fleet).items()}
            for one in about
        }

    async def _masker(self, found: "Sequence[Address]") -> "Masker":
        """For every secret that the rollout may know, and where the messages go."""
        from quarterdeck.backends.secrets import Masker, resolve_each

        if self._secrets is None and self._target.secrets:
            # It ended, or waits, before anybody had read them.
            values, _ = await resolve_each(self._target.secrets, base=self._base, deadline=RESOLVE)
            self.hide(values.values.values())
        return Masker([*(self._secrets or ()), *(one.url for one in found if one.destination.secret is not None)])

    async def _record(self, moment: "Moment", address: "Address", why: str) -> None:
        from quarterdeck.rollouts.telling import NOT_TOLD, TOLD

        number = address.destination.number
        self._done.add((moment.seq, number))
        body: dict[str, Any] = {
            "about": moment.seq,
            "event": moment.words[0],
            "to": number,
            "service": address.service,
            **({"why": why} if why else {}),
        }
        try:
            await self._journal.do(
                self._journal.journal.record,
                NOT_TOLD if why else TOLD,
                target=self._rollout.target,
                rollout=self._rollout.id,
                body=body,
            )
        except JournalError as error:
            log.warning("what came of a notification is not journalled, rollout=%d reason=%s", self._rollout.id, error)
        if why:
            log.warning("not told, rollout=%d event=%s reason=%s", self._rollout.id, moment.words[0], why)


def _message(address: "Address", moment: "Moment", values: dict[str, str]) -> Any:
    from quarterdeck.rollouts.telling import message

    return message(address.destination, moment.words[0], values, moment.notice)
