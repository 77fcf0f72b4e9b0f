"""From the fleet file's destinations to the URLs that they stand for, in memory. No URL gets into an error."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from quarterdeck.backends.errors import NotTold
from quarterdeck.backends.notify.through_apprise import LEFT, SEND, service_of
from quarterdeck.backends.secrets import resolve_each
from quarterdeck.config.notifications import Destination


class Address:
    """Where a destination's messages go. ``url`` is empty where it could not be read, which ``error`` says."""

    def __init__(self, destination: Destination, url: str, error: NotTold | None = None) -> None:
        self.destination = destination
        self.url = url
        self.error = error

    def __repr__(self) -> str:
        return f"Address({self.name!r})"

    @property
    def service(self) -> str:
        """By its scheme: all of the URL that may be shown."""
        return service_of(self.url)

    @property
    def name(self) -> str:
        """What it is called in errors: its place in the fleet file, and the service."""
        return name_of(self.destination, self.service)


def name_of(destination: Destination, service: str) -> str:
    return f"notify {destination.number}{f' ({service})' if service else ''}"


async def addresses(destinations: Sequence[Destination], *, base: Path, deadline: float) -> list[Address]:
    """One for each, in their order. ``base``: the fleet file's directory; ``deadline``: seconds for all of them. Raises nothing."""

    async def one(destination: Destination) -> Address:
        if destination.secret is None:
            return Address(destination, destination.url)
        found, refused = await resolve_each({"to": destination.secret}, base=base, deadline=deadline)
        url = found.values.get("to", "").strip()
        if url:
            return Address(destination, url)
        why = refused.problem if refused is not None else "to: there is nothing but spaces"
        error = NotTold(name_of(destination, ""), SEND, f"its URL can't be read: {why}", left=LEFT)
        return Address(destination, "", error)

    return list(await asyncio.gather(*map(one, destinations)))
