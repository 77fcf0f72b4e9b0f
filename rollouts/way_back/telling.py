"""Telling people that the way back of a target has closed, or is open again: what the fleet file's `notify` asks for by `unready`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quarterdeck.config.model import Fleet
from quarterdeck.config.notifications import BODY
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.telling import NOT_TOLD, TOLD
from quarterdeck.rollouts.way_back.watch import CLOSED, OPEN, Turned, is_said_closed, turned_of, values_of

if TYPE_CHECKING:
    from quarterdeck.config.notifications import Destination
    from quarterdeck.history.journal import Journal
    from quarterdeck.history.records import Event

WORD = "unready"
RESOLVE = 5.0  # seconds in which the URLs must be found
LATELY = 100  # events of each kind that are looked through for what was told by nobody
DEADLINE = 15.0  # seconds for all messages, whatever the services do
OWN_BODY = "{{outcome}}\nseen by {{by}}, fleet {{fleet}}: qd ready {{environment}}"
"""In the place of the usual body, which speaks of a rollout."""

Record = tuple[str, str, Mapping[str, Any]]
"""What came of a message, to be journalled: kind, target and body of an event."""


def journalled(journal: "Journal", turned: Sequence[Turned]) -> dict[str, int]:
    """Writes an event for each that nobody else, a timer or another room, has written meanwhile; its number, by target. Raises
    JournalError: then none of them is written."""
    return journal.together(
        lambda: {
            one.target: journal.record(one.kind, target=one.target, body=one.body()).seq
            for one in turned
            if is_said_closed(journal, one.target) is not one.closed
        }
    )


def untold(journal: "Journal", targets: Collection[str], since: str) -> dict[int, Turned]:
    """By event, what was journalled after ``since`` (ISO 8601 UTC) and reached nobody: whoever was to tell it has ended. Of each target the
    newest alone, for nothing else is so any more. Raises JournalError."""
    last: dict[str, Event] = {}
    for kind in (CLOSED, OPEN):
        for event in journal.events(kind=kind, newest_first=True, limit=LATELY):
            if event.target in targets and event.time > since:
                known = last.setdefault(str(event.target), event)
                last[known.target or ""] = max(known, event, key=lambda one: one.seq)
    found = {event.seq: turned_of(event) for event in last.values()}
    if found:
        for event in journal.events(min(found), kind=TOLD, limit=10 * LATELY):
            if event.body.get("event") == WORD:
                found.pop(int(event.body.get("about", 0)), None)
                for seq in event.body.get("with", ()):
                    found.pop(int(seq), None)
    return found


async def tell(
    fleet: Fleet, turned: Sequence[Turned], events: Mapping[str, int], operator: Operator, *, to: int | None = None
) -> list[Record]:
    """One message to each destination about all that closed, and one about all that is open again. ``events``: the number of the event of
    each target; ``to``: of the one destination that is told, all without it. Takes some twenty seconds at most; raises nothing for what a
    service does."""
    wanted = [one for one in fleet.notify if WORD in one.on and to in (None, one.number)]
    told: list[tuple[Destination, list[Turned]]] = []
    for closed in (True, False):
        for destination in wanted:
            about = [one for one in turned if one.closed is closed and destination.is_about(*_parts(one))]
            if about:
                told.append((destination, about))
    return await _send(fleet, told, events, operator) if told else []


async def _send(
    fleet: Fleet, told: "Sequence[tuple[Destination, list[Turned]]]", events: Mapping[str, int], operator: Operator
) -> list[Record]:
    from quarterdeck.backends.notify.addresses import addresses
    from quarterdeck.backends.notify.contract import Delivery
    from quarterdeck.backends.notify.through_apprise import ThroughApprise
    from quarterdeck.backends.secrets import Masker
    from quarterdeck.rollouts.telling import message

    each = {destination.number: destination for destination, _ in told}
    found = {
        one.destination.number: one
        for one in await addresses(list(each.values()), base=fleet.file.parent, deadline=RESOLVE)
    }
    masker = Masker([one.url for one in found.values() if one.destination.secret is not None])
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    deliveries, sent, records = [], [], []
    for destination, about in told:
        address = found[destination.number]
        if address.error is not None:
            records.append(_record(about, destination, "", str(address.error), events))
            continue
        values = {name: masker.mask(text) for name, text in values_of(about, fleet.name, operator.label, time).items()}
        own = {"body": OWN_BODY} if destination.body == BODY else None
        deliveries.append(Delivery(address.name, address.url, message(destination, WORD, values, own)))
        sent.append((destination, about, address.service))
    outcomes = await ThroughApprise().tell(deliveries, deadline=DEADLINE)
    for (destination, about, service), error in zip(sent, outcomes, strict=True):
        why = masker.mask(str(error)) if error is not None else ""
        records.append(_record(about, destination, service, why, events))
    return records


def _record(
    about: Sequence[Turned], destination: "Destination", service: str, why: str, events: Mapping[str, int]
) -> Record:
    """By the first target that it was about: what a worker writes of a rollout's."""
    first = about[0].target
    body: dict[str, Any] = {"about": events[first], "event": WORD, "to": destination.number, "service": service}
    if len(about) > 1:
        body["with"] = [events[one.target] for one in about[1:]]
    return (NOT_TOLD if why else TOLD), first, body | ({"why": why} if why else {})


def _parts(turned: Turned) -> tuple[str, str]:
    environment, _, service = turned.target.partition("/")
    return environment, service
