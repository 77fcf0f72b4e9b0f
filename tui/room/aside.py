"""A question to something that is not the journal (a CI system, git), in a thread and a loop of its own: the screen waits for none of them,
and a room that is left does not wait for its answer either."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(question: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Its answer, or what it raises. The question has a deadline of its own."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def told(value: T) -> None:
        if not answer.done():  # else nobody waits any more
            answer.set_result(value)

    def failed(error: Exception) -> None:
        if not answer.done():
            answer.set_exception(error)

    def ask() -> None:
        try:
            tell = partial(told, asyncio.run(question()))
        except Exception as error:
            tell = partial(failed, error)
        with contextlib.suppress(RuntimeError):  # the room has ended meanwhile
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=ask, name="ask aside", daemon=True).start()
    return await answer
