"""What happens at an engine, as it happens, over restarts and cut connections. Never claims that nothing was missed meanwhile."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import docker

from quarterdeck.backends.errors import (
    BackendError,
    EngineRefused,
    HostKeyRejected,
    LoginRefused,
    NotPermitted,
    Unreachable,
)

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_ACTION: Final = "follow its events"
_LIVED: Final = 10.0  # seconds that a stream has to last for the next one to be asked for at once
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 15.0
_ANSWER: Final = 10.0


@dataclass(frozen=True, slots=True)
class EngineEvent:
    kind: str  # container, image, network, volume, daemon, …
    action: str  # start, die, "health_status: healthy", …
    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)  # of a container: name, image, exitCode, its labels
    time: float = 0.0  # seconds since 1970, by the engine's clock

    @property
    def name(self) -> str:
        return self.attributes.get("name", "")


@dataclass(frozen=True, slots=True)
class Resync:
    """Events come from now on: list anew what is there. ``first`` False: it was cut before, and nothing is known of what happened."""

    first: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """No events come, because of this; it is tried again."""

    error: BackendError


Happening = EngineEvent | Resync | Cut


async def follow_events(
    engine: "Engine", filters: Mapping[str, Sequence[str]] | None, silence: float
) -> AsyncGenerator[Happening, None]:
    """For ever, but for errors that time does not heal: ``HostKeyRejected``, ``LoginRefused``, ``NotPermitted``, a filter that the
    engine does not know (``EngineRefused``), and ``Unreachable`` once the engine was closed here."""
    wanted = {name: list(values) for name, values in (filters or {}).items()}

    def begin(client: docker.APIClient) -> Iterable[dict[str, Any] | None]:
        # None: the engine has answered, although nothing has happened yet
        return chain([None], client.events(filters=wanted, decode=True))

    tries, first = 0, True
    while True:
        opened = time.monotonic()
        try:
            async with (
                aclosing(engine.stream(_ACTION, begin)) as items,
                aclosing(_while_it_answers(engine, items, silence)) as seen,
            ):
                async for item in seen:
                    if item is None:
                        opened = time.monotonic()
                        yield Resync(first)
                        first = False
                    else:
                        yield _event(item)
            error: BackendError = Unreachable(engine.host, _ACTION, "the engine has ended the stream of its events")
        except (HostKeyRejected, LoginRefused, NotPermitted):
            raise
        except EngineRefused as refusal:
            if 400 <= refusal.status < 500:
                raise
            error = refusal
        except BackendError as lost:
            error = lost
        if engine.closed:
            raise error
        yield Cut(error)
        tries = 0 if time.monotonic() - opened > _LIVED else tries + 1
        await pause(tries)


async def pause(tries: int) -> None:
    """Before the next try: longer each time, and never the same for two engines that were lost together."""
    await asyncio.sleep(random.uniform(0.5, 1.0) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(tries, 10)))  # noqa: S311 # hides nothing


async def _while_it_answers(
    engine: "Engine", items: AsyncGenerator[dict[str, Any] | None, None], silence: float
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """The items; where none came for ``silence`` seconds the engine is asked whether it is still there, as a stream alone never tells."""
    next_one: asyncio.Task[dict[str, Any] | None] | None = None
    try:
        while True:
            next_one = asyncio.create_task(_next(items))
            while not (await asyncio.wait({next_one}, timeout=silence))[0]:
                await engine.call("see whether it still answers", lambda client: client.ping(), deadline=_ANSWER)
            try:
                yield next_one.result()
            except StopAsyncIteration:
                return
    finally:
        if next_one is not None and not next_one.done():
            next_one.cancel()
            await asyncio.wait({next_one})


async def _next(items: AsyncGenerator[dict[str, Any] | None, None]) -> dict[str, Any] | None:
    return await anext(items)


def _event(item: dict[str, Any]) -> EngineEvent:
    actor = item.get("Actor") or {}
    return EngineEvent(
        kind=str(item.get("Type", "")),
        action=str(item.get("Action", "")),
        id=str(actor.get("ID", "")),
        attributes={str(name): str(value) for name, value in (actor.get("Attributes") or {}).items()},
        time=int(item.get("timeNano") or 0) / 1e9 or float(item.get("time") or 0),
    )
