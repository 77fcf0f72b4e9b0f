"""The routers that are being looked at: each service of one at its own pace, all of a router over one connection, which is kept while one
of them is wanted. Backs off while a router can't be asked, and recovers by itself. Raises nothing for a router, changes nothing there."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.routers.contract import RouterConnection
from quarterdeck.backends.routers.opening import open_over, reach_of
from quarterdeck.config.model import Fleet, Target
from quarterdeck.history.records import ROUTER
from quarterdeck.rollouts.looking import Look, reason_of
from quarterdeck.rollouts.observer.host import FIRST_WAIT, LONGEST_WAIT, LONGEST_WAIT_OFTEN, OFTEN, Findings
from quarterdeck.rollouts.router_looking import ANSWER, Counting, Told, look_at_router

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.opening import Hosts
    from quarterdeck.backends.routers.reach import Reach

GAP = 0.5  # seconds between two looks, however much happens
WHOLE_LOOK = 2 * ANSWER + 10.0  # seconds, with connecting and counting
LEAVE = 3.0  # seconds for saying goodbye
_NEVER = float("inf")

_log = logging.getLogger("quarterdeck.observer")

KnownOf = Callable[[str], Awaitable[Told]]


class RouterWatch:
    """One service. ``want`` says how often it is wanted (None: not at all), ``hurry`` that it is wanted now."""

    def __init__(self, target: Target, router: RouterConnection, known: KnownOf, findings: Findings) -> None:
        self._target = target
        self._router = router
        self._known = known
        self._findings = findings
        self._counting = Counting()
        self._every: float | None = None
        self._due = _NEVER
        self._not_before = 0.0
        self._failures = 0
        self._changed = asyncio.Event()

    @property
    def wanted(self) -> bool:
        return self._every is not None

    def want(self, every: float | None) -> None:
        if every == self._every:
            return
        now = time.monotonic()
        self._due = _NEVER if every is None else now if self._every is None else min(self._due, now + every)
        self._every = every
        self._changed.set()

    def hurry(self, *, although_lost: bool = False) -> None:
        if self._every is not None:
            self._due = time.monotonic()
            self._not_before = 0.0 if although_lost else self._not_before
            self._changed.set()

    async def run(self) -> None:
        while True:
            await self._until_due()
            every = self._every
            if every is None:
                continue
            begun = time.monotonic()
            self._due = begun + every
            try:
                await self._look()
            except (BackendError, TimeoutError) as error:
                if self._every is None:
                    continue  # nobody looks any more, and the way there was closed in the middle of it
                self._lost(reason_of(error, WHOLE_LOOK), every)
            except Exception as error:  # an answer that nobody foresaw must not end the watching
                _log.exception("router=%s the look failed", self._router.host)
                self._lost(f"{self._router.host}: {reason_of(error, WHOLE_LOOK)}", every)
            self._not_before = max(self._not_before, begun + GAP)

    async def _look(self) -> None:
        async with asyncio.timeout(WHOLE_LOOK):
            seen = await look_at_router(
                self._router, self._target, lambda: self._known(self._target.name), self._counting
            )
        self._failures, self._not_before = 0, 0.0
        self._findings.saw(Look(seen, None))

    def _lost(self, reason: str, every: float) -> None:
        self._findings.lose(self._target.name, ROUTER, reason)
        longest = LONGEST_WAIT_OFTEN if every <= OFTEN else LONGEST_WAIT
        wait = min(FIRST_WAIT * 2 ** min(self._failures, 10), longest)
        self._failures += 1
        self._not_before = time.monotonic() + wait * random.uniform(0.7, 1.3)  # noqa: S311 - spreads tries

    async def _until_due(self) -> None:
        while True:
            self._changed.clear()
            wait = max(self._due, self._not_before) - time.monotonic()
            if wait <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait, 3600.0)):
                    await self._changed.wait()


class RouterWatches:
    """Of all targets of the fleet that are behind a router."""

    def __init__(self, fleet: Fleet, backend: "Hosts", known: KnownOf, findings: Findings) -> None:
        self._reaches: dict[str, Reach] = {}
        self._watches: dict[str, RouterWatch] = {}
        self._idle = True
        for name, target in fleet.targets.items():
            if target.routed is None or target.router is None:
                continue
            router = target.router
            try:
                reach = self._reaches.get(router.name) or reach_of(router, backend, fleet.hosts)
            except BackendError as error:
                findings.lose(name, ROUTER, str(error))
                continue
            self._reaches[router.name] = reach
            self._watches[name] = RouterWatch(target, open_over(router, target.routed, reach), known, findings)

    def start(self, group: asyncio.TaskGroup) -> None:
        for name, watch in self._watches.items():
            group.create_task(watch.run(), name=f"watch the router of {name}")

    async def want(self, every: Mapping[str, float], shown: Collection[str]) -> None:
        """Seconds between two looks at each target; those that are not ``shown`` are not looked at."""
        for name, watch in self._watches.items():
            watch.want(every[name] if name in shown else None)
        idle = not any(watch.wanted for watch in self._watches.values())
        if idle and not self._idle:
            await self.close()
        self._idle = idle

    def hurry(self, targets: Collection[str], *, although_lost: bool = False) -> None:
        for name in targets:
            if (watch := self._watches.get(name)) is not None:
                watch.hurry(although_lost=although_lost)

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE):
                await asyncio.gather(*(reach.close() for reach in self._reaches.values()), return_exceptions=True)
