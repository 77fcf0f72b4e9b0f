"""What telling somebody asks for and gives. Every way to do it passes the same tests (tests/backends/notify/)."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from quarterdeck.backends.errors import NotTold

Tone = Literal["info", "success", "warning", "failure"]  # how a service colours it


class Message(msgspec.Struct, frozen=True):
    """Plain text, in which there is no secret any more."""

    title: str
    body: str
    tone: Tone = "info"


class Delivery(msgspec.Struct, frozen=True):
    """A message on its way. ``to``: what its destination is called in errors; ``url``: a secret, as most services have it."""

    to: str
    url: str
    message: Message

    def __repr__(self) -> str:
        return f"Delivery({self.to!r})"


class Notifier(Protocol):
    """A way to tell. It has no memory: what was told already is known by who asks."""

    async def tell(self, deliveries: Sequence[Delivery], *, deadline: float) -> tuple[NotTold | None, ...]:
        """Sends each one once, in their order where they go to the same URL, side by side where they do not; in this order, why one was
        not taken, or None. Never raises for a service's fault. ``deadline``: seconds for all of them; what has not been answered by then
        may or may not have arrived."""
        ...
