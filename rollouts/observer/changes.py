"""What a host tells by itself: the targets concerned are looked at at once, also while a round of looks is under way or hangs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import Watched

BEGIN = 3.0  # seconds that the first look waits for the host to begin telling
SETTLED = 0.05  # seconds: what belongs to one change comes together
AGAIN = 0.25  # seconds between two looks at a target to which something happens again and again

_log = logging.getLogger("quarterdeck.observer")


class Changes:
    """Hears what ``host`` tells until ``end``. ``look`` is asked for each target that something has happened to, never twice at a time;
    ``look_at_all`` where nobody knows what happened. Where the host does not tell, nothing happens here: it is looked at regularly."""

    def __init__(self, host: Watched, look: Callable[[str], Awaitable[None]], look_at_all: Callable[[], None]) -> None:
        self._host = host
        self._look = look
        self._look_at_all = look_at_all
        self._told = asyncio.Event()  # it has begun, or never will, or is not waited for any longer
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._hearing = asyncio.create_task(self._hear(), name=f"changes of {host.host}")

    async def begun(self) -> None:
        """What happens from now on is told; or it is not, for now: once it begins, all is looked at, for what happened until then."""
        try:
            async with asyncio.timeout(BEGIN):
                await self._told.wait()
        except TimeoutError:
            self._told.set()

    async def end(self) -> None:
        tasks = [self._hearing, *self._looking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self) -> None:
        try:
            async with aclosing(self._host.changes()) as changes:
                async for targets in changes:
                    if targets is not None:
                        for target in targets:
                            self._happened(target)
                    elif self._told.is_set():
                        self._look_at_all()
                    self._told.set()
        except BackendError as error:
            _log.info("host=%s tells of no changes: %s", self._host.host, error)
        except Exception:  # an answer that nobody foresaw: it is looked at regularly
            _log.exception("host=%s tells of changes in a way that is not understood", self._host.host)
        finally:
            self._told.set()

    def _happened(self, target: str) -> None:
        if target in self._looking:
            self._again.add(target)
        else:
            self._looking[target] = asyncio.create_task(self._look_until_quiet(target))

    async def _look_until_quiet(self, target: str) -> None:
        try:
            await asyncio.sleep(SETTLED)
            while True:
                self._again.discard(target)
                try:
                    await self._look(target)
                except BackendError:
                    self._look_at_all()  # the host is lost, as the next look at all finds and tells
                    return
                if target not in self._again:
                    return
                await asyncio.sleep(AGAIN)
        finally:
            del self._looking[target]
