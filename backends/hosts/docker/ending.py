"""What an engine refuses of a container whose process has just ended, while it does not know that yet.

Asked for an update then, it tells its runtime, and that says "container not running" or "cannot update a stopped container"; a little later
the task is "not found", the process "deleted", or the line to it "closed". Each engine and each runtime has its own words, all with a
status of 500, and each time the engine goes back to what it had stored: a restart policy is not kept, and it would start the container with
its next boot. Once it has seen the end it only stores what it is told. Renames, networks, logs and starts are not of that kind: they wait
for the end, or do not mind it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from quarterdeck.backends.errors import EngineRefused

_TRIES: Final = 30
_PAUSE: Final = 0.1  # seconds


async def though_it_ends(change: Callable[[], Awaitable[object]]) -> None:
    """Makes the change, anew where the engine fails at it, until it has seen the end. Raises ``EngineRefused`` where it never does it."""
    for _ in range(_TRIES - 1):
        try:
            await change()
        except EngineRefused as error:
            if error.status < 500:
                raise
            await asyncio.sleep(_PAUSE)
        else:
            return
    await change()
