"""One host that is being looked at: keeps a connection open while it is wanted, asks when something is due, backs off while the
host can't be asked, and recovers by itself. Raises nothing for a host, writes nothing on it."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import msgspec

from quarterdeck.backends.errors import BackendError, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.contract import Connection, HostBackend, Vitals, Watchable, Watched
from quarterdeck.config.model import Host, Target
from quarterdeck.config.release import Release
from quarterdeck.history.clock import boottime, now
from quarterdeck.history.records import Metric, Sample
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.looking import Look, look, reason_of
from quarterdeck.rollouts.observer.changes import Changes

CONNECT = 10.0  # seconds
ANSWER = 8.0  # seconds for what runs
WHOLE_LOOK = 25.0  # seconds with all health checks
AT_ONCE = 4  # looks on one connection: servers open ten sessions at most, and a worker may need some
OFTEN = (
    3.0  # seconds: who is looked at so often is looked at in step with its neighbours, and tried again soon when lost
)
IDLE = 30.0  # a connection that is needed more rarely is not kept
STUCK = 30.0  # seconds until a target is asked again whose look hung while its host answers
FIRST_WAIT, LONGEST_WAIT, LONGEST_WAIT_OFTEN = 1.0, 30.0, 5.0  # seconds before a lost host is tried again

_log = logging.getLogger("quarterdeck.observer")

Known = Callable[[str], Awaitable[tuple[Mapping[str, Release], int]]]
"""From a target's name to its releases, and the last event of the journal that they are as of."""


class Findings(msgspec.Struct):
    """What was found since it was last written down. ``lost``: why (target, host) can't be asked."""

    looks: dict[tuple[str, str], Look] = msgspec.field(default_factory=dict)
    lost: dict[tuple[str, str], str] = msgspec.field(default_factory=dict)
    samples: list[Sample] = msgspec.field(default_factory=list)

    def saw(self, seen: Look) -> None:
        key = (seen.observation.target, seen.observation.host)
        self.lost.pop(key, None)
        self.looks[key] = seen

    def lose(self, target: str, host: str, reason: str) -> None:
        self.looks.pop((target, host), None)
        self.lost[target, host] = reason


class HostWatch:
    """``want`` says what is wanted of the host, ``hurry`` that it is wanted now; ``run`` never ends by itself."""

    def __init__(
        self, host: Host, targets: Mapping[str, Target], backend: HostBackend, known: Known, findings: Findings
    ) -> None:
        self.host = host
        self.executions = 0  # of connections that are closed
        self._targets = targets
        self._backend = backend
        self._known = known
        self._findings = findings
        self._every: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._vitals_every = 60.0
        self._vitals_due = 0.0
        self._figured: frozenset[str] = frozenset()
        self._figures_due = 0.0
        self._before: Vitals | None = None
        self._phase = random.random()  # noqa: S311 - spreads looks
        self._connection: Connection | None = None
        self._watched: Watched | None = None  # the same connection, of a host that tells of changes by itself
        self._changes: Changes | None = None
        self._begun = 0  # looks so far
        self._newest: dict[str, int] = {}  # by target, the look that was begun last of those that have ended
        self._failures = 0
        self._not_before = 0.0  # while it is lost
        self._changed = asyncio.Event()

    def want(self, every: Mapping[str, float], vitals: float, figured: Collection[str] = ()) -> None:
        """Seconds between two looks at each target, and at the host's own figures. ``figured``: targets of which it is wanted, as often,
        what their containers use; of no other it is asked. What is new is looked at soon."""
        now = time.monotonic()
        for name, seconds in every.items():
            if name not in self._due:
                self._due[name] = now + (0.0 if seconds <= OFTEN else random.uniform(0.0, min(seconds, 3.0)))  # noqa: S311 - spreads looks
            elif seconds != self._every.get(name):
                self._due[name] = min(self._due[name], self._next(now, seconds))
        self._every = dict(every)
        if not self._figured.issuperset(figured):
            self._figures_due = now
        self._vitals_every, self._figured = vitals, frozenset(figured)
        self._vitals_due = min(self._vitals_due, now + vitals)
        self._changed.set()

    def hurry(self, targets: frozenset[str] | None = None) -> None:
        """All wanted targets, or those of them, are looked at now, also when the host was lost."""
        now = time.monotonic()
        for name in self._every:
            if targets is None or name in targets:
                self._due[name] = now
                self._not_before = 0.0
        self._changed.set()

    async def run(self) -> None:
        try:
            while True:
                await self._until_due()
                try:
                    await self._round()
                except BackendError as error:
                    await self._lost(str(error))
                except Exception as error:  # an answer that nobody foresaw must not end the watching
                    _log.exception("host=%s the look failed", self.host.name)
                    await self._lost(f"{self.host.name}: {reason_of(error, CONNECT)}")
        finally:
            await self._disconnect()

    async def _until_due(self) -> None:
        while True:
            self._changed.clear()
            due = min((self._due[name] for name in self._every), default=float("inf"))
            wait = max(due, self._not_before) - time.monotonic()
            if wait <= 0:
                return
            try:
                async with asyncio.timeout(min(wait, 3600.0)):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _round(self) -> None:
        """Looks at everything that is due. Raises BackendError when the host is lost."""
        now = time.monotonic()
        due = [name for name, seconds in self._every.items() if self._due[name] <= now + seconds / 20]
        if not due:
            return
        if self._connection is None:
            self._connection = await self._backend.connect(self.host, deadline=CONNECT)
            self._watched = self._connection.watched() if isinstance(self._connection, Watchable) else None
        connection = self._watched or self._connection
        if self._watched is not None and self._changes is None and min(self._every.values()) <= IDLE:
            self._changes = Changes(self._watched, self._look_now, self.hurry)
            await self._changes.begun()
            due = list(self._every)  # nobody has told what happened before
        for name in due:
            self._due[name] = self._next(now, self._every[name])
        # Looks that share what they read are begun together; it is their connection then that makes only a few calls at a time.
        limit = asyncio.Semaphore(AT_ONCE if self._watched is None else len(due) + 1)
        patience = WHOLE_LOOK if self._watched is None else WHOLE_LOOK * (1 + len(due) // AT_ONCE)
        tasks = [asyncio.create_task(self._look(connection, self._targets[name], limit, patience)) for name in due]
        if self._vitals_due <= now:
            self._vitals_due = now + self._vitals_every * 0.95
            tasks.append(asyncio.create_task(self._vitals(connection, self._targets[due[0]].path, limit)))
        try:
            stuck = [name for name in await asyncio.gather(*tasks) if name]
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        if stuck:
            if self._watched is None or len(stuck) == len(tasks):
                await self._disconnect()  # the server counts a session for as long as its command hangs
            if len(stuck) == len(tasks):
                raise Unreachable(self.host.name, "look at it", f"no answer within {ANSWER:g} s")
            for name in self._due.keys() & set(stuck):
                self._due[name] = time.monotonic() + STUCK
        if self._watched is not None and self._figured and self._figures_due <= now:
            self._figures_due = now + self._vitals_every * 0.95
            await self._containers(self._watched, self._figured & self._every.keys())
        self._failures, self._not_before = 0, 0.0
        if min(self._every.values()) > IDLE:
            await self._disconnect()

    async def _look_now(self, target: str) -> None:
        """Something has happened to it. Raises Unreachable."""
        connection = self._watched
        if connection is not None and target in self._every:
            await self._look(connection, self._targets[target], asyncio.Semaphore(1), WHOLE_LOOK)

    async def _look(self, connection: Connection, target: Target, limit: asyncio.Semaphore, patience: float) -> str:
        """One target; its name when the look hung. Raises Unreachable."""
        number = self._begun = self._begun + 1
        try:
            async with limit, asyncio.timeout(patience):
                releases, head = await self._known(target.name)
                seen = await look(connection, target, releases, head, deadline=ANSWER)
        except Unreachable:
            raise
        except (BackendError, TimeoutError) as error:
            # This target can't be asked, the host perhaps can.
            if self._is_newest(target.name, number):
                self._findings.lose(target.name, self.host.name, reason_of(error, patience))
            return target.name if isinstance(error, (CommandTimedOut, TimeoutError)) else ""
        if not self._is_newest(target.name, number):
            return ""
        self._findings.saw(seen)
        release = seen.observation.release
        probe, at = seen.probe, boottime()
        if probe is not None:
            metric = Metric.LATENCY if probe.healthy else Metric.FAILURE
            self._sample(target.name, release, metric, probe.seconds, at)
        elif release is not None and seen.observation.health == "unhealthy":
            self._sample(target.name, release, Metric.FAILURE, 0.0, at)  # it does not run: nothing there could be asked
        return ""

    def _is_newest(self, target: str, number: int) -> bool:
        """False for a look that ends when one that was begun after it has ended already: what it saw is older."""
        if number < self._newest.get(target, 0):
            return False
        self._newest[target] = number
        return True

    async def _vitals(self, connection: Connection, path: str, limit: asyncio.Semaphore) -> str:
        """The host's own figures; "vitals" when that hung. Raises Unreachable."""
        try:
            async with limit:
                vitals = await connection.vitals(path, deadline=ANSWER)
        except Unreachable:
            raise
        except BackendError as error:
            self._vitals_due = time.monotonic() + 60.0  # no /proc: the figures are left out
            return "vitals" if isinstance(error, CommandTimedOut) else ""
        before, self._before, at = self._before, vitals, boottime()
        if vitals.load_1m >= 0:
            self._sample("", None, Metric.LOAD, vitals.load_1m, at)
        if before is not None and vitals.cpu_total > before.cpu_total:
            share = (vitals.cpu_busy - before.cpu_busy) / (vitals.cpu_total - before.cpu_total)
            self._sample("", None, Metric.CPU, 100 * max(0.0, min(share, 1.0)), at)
        if vitals.memory_total > 0 and vitals.memory_available >= 0:
            self._sample("", None, Metric.MEMORY, 100 * (1 - vitals.memory_available / vitals.memory_total), at)
        if vitals.disk_total > 0:
            self._sample("", None, Metric.DISK, 100 * (1 - vitals.disk_free / vitals.disk_total), at)
        return ""

    async def _containers(self, connection: Watched, targets: frozenset[str]) -> None:
        """What the containers use. All that is found together has one time: what is not in it does not run any more. Raises Unreachable."""
        try:
            found = await connection.figures(targets, deadline=ANSWER)
        except Unreachable:
            raise
        except BackendError as error:
            _log.info("host=%s tells nothing of what its containers use: %s", self.host.name, error)
            self._figures_due = time.monotonic() + STUCK  # what hangs here holds up the next round
            return
        at = boottime()
        for target, containers in found.items():
            for one in containers:
                for metric, value in (
                    (Metric.CONTAINER_CPU, one.cpu),
                    (Metric.CONTAINER_MEMORY, one.memory),
                    (Metric.CONTAINER_LIMIT, one.memory_limit),
                    (Metric.CONTAINER_RESTARTS, one.restarts),
                    (Metric.CONTAINER_OUT_OF_MEMORY, one.out_of_memory),
                    (Metric.CONTAINER_RECEIVED, one.received),
                    (Metric.CONTAINER_SENT, one.sent),
                ):
                    if value is not None:
                        self._sample(target, one.release, metric, float(value), at)

    def _sample(self, target: str, release: str | None, metric: Metric, value: float, at: int) -> None:
        self._findings.samples.append(Sample(target, self.host.name, release, metric, value, now(), at))

    async def _lost(self, reason: str) -> None:
        """Every target on it is shown with what was last known; the next try comes after a growing, random wait."""
        await self._disconnect()
        self._before = None
        for name in self._every:
            self._findings.lose(name, self.host.name, reason)
        longest = LONGEST_WAIT_OFTEN if min(self._every.values(), default=60.0) <= OFTEN else LONGEST_WAIT
        wait = min(FIRST_WAIT * 2 ** min(self._failures, 10), longest)
        self._failures += 1
        self._not_before = time.monotonic() + wait * random.uniform(0.7, 1.3)  # noqa: S311 - spreads tries

    async def _disconnect(self) -> None:
        changes, self._changes = self._changes, None
        if changes is not None:
            await changes.end()
        connection, self._connection, self._watched = self._connection, None, None
        if connection is not None:
            self.executions += connection.executions
            await leave(connection)

    def _next(self, now: float, seconds: float) -> float:
        """When it is due again: with all other hosts where it is looked at often, so that they are written down together;
        else at a moment of its own."""
        offset = 0.0 if seconds <= OFTEN else self._phase * seconds
        return ((now - offset) // seconds + 1) * seconds + offset
