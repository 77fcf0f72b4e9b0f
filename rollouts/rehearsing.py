"""Sending a test message to where notifications go, and what came of it. Journals nothing: nothing has happened."""

from collections.abc import Collection
from datetime import UTC, datetime

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.records import Operator

DEADLINE = 20.0  # seconds for all of them: somebody is looking on
RESOLVE = 20.0


class Tried(msgspec.Struct, frozen=True):
    """``service``: by the URL's scheme, empty where that could not be read. ``problem``: empty: the service took it."""

    number: int
    service: str
    problem: str


async def rehearse(fleet: Fleet, numbers: Collection[int], operator: Operator) -> list[Tried]:
    """A message to each destination of these numbers (none: to all), side by side. Raises nothing for what a service does."""
    from quarterdeck.backends.notify.addresses import addresses
    from quarterdeck.backends.notify.contract import Delivery
    from quarterdeck.backends.notify.through_apprise import ThroughApprise
    from quarterdeck.rollouts.telling import TEST, message, rehearsed

    wanted = [one for one in fleet.notify if not numbers or one.number in numbers]
    found = await addresses(wanted, base=fleet.file.parent, deadline=RESOLVE)
    values = rehearsed(fleet.name, operator.label, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    there = [address for address in found if address.error is None]
    deliveries = [Delivery(address.name, address.url, message(address.destination, TEST, values)) for address in there]
    outcomes = await ThroughApprise().tell(deliveries, deadline=DEADLINE)
    errors = {address.destination.number: error for address, error in zip(there, outcomes, strict=True)}
    errors |= {address.destination.number: address.error for address in found if address.error is not None}
    return [
        Tried(number, address.service, error.problem if error is not None else "")
        for address in found
        for number, error in [(address.destination.number, errors[address.destination.number])]
    ]
