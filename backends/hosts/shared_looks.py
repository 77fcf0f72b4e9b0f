"""Looks at many targets of one host, made together: what is read once serves all who ask at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from quarterdeck.backends.errors import CommandTimedOut

T = TypeVar("T")


@dataclass(slots=True)
class _Asked(Generic[T]):
    target: str
    name: str  # that it has, or would have, while it is live; empty: not known
    until: float
    answer: "asyncio.Future[T]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class SharedLooks(Generic[T]):
    """``read`` is given the names of those that are asked about, by target, and seconds. Who asks while that is under way gets the next
    answer, which is asked for after the question. Keeps none of them."""

    def __init__(self, host: str, action: str, read: Callable[[Mapping[str, str], float], Awaitable[T]]) -> None:
        self._host = host
        self._action = action
        self._read = read
        self._asked: list[_Asked[T]] = []
        self._serving: asyncio.Task[None] | None = None

    async def now(self, target: str, name: str, deadline: float) -> T:
        """Raises what ``read`` does, and ``CommandTimedOut``."""
        asked: _Asked[T] = _Asked(target, name, time.monotonic() + deadline)
        self._asked.append(asked)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        try:
            async with asyncio.timeout(deadline):
                return await asked.answer
        except TimeoutError:
            raise CommandTimedOut(
                self._host, self._action, f"no answer within {round(deadline, 1):g} s", exit_status=None
            ) from None

    async def _serve(self) -> None:
        while self._asked:
            asked, self._asked = [one for one in self._asked if not one.answer.done()], []
            if not asked:
                continue
            deadline = max(0.05, max(one.until for one in asked) - time.monotonic())
            try:
                found = await self._read({one.target: one.name for one in asked}, deadline)
            except Exception as error:  # theirs, whatever it is: they wait for it
                for one in asked:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                for one in asked:
                    if not one.answer.done():
                        one.answer.set_result(found)
