"""What the tests of a Swarm share."""

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Waits for what the Swarm itself tells."""
    end = asyncio.get_running_loop().time() + seconds
    while not await asyncio.to_thread(holds):
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not so within {seconds:g} s: {what}")
        await asyncio.sleep(0.1)
