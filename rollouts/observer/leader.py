"""The leading observer: decides what is wanted, lets every host and router be looked at by a watch of its own, and writes down what they
found, one transaction a round. A journal that can't be written is tried again; nothing that was found since grows without bound."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.release import Release
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ROUTER, Event, Observation, Presence
from quarterdeck.rollouts.looking import unseen
from quarterdeck.rollouts.observer.clerk import Clerk
from quarterdeck.rollouts.observer.host import Findings, HostWatch
from quarterdeck.rollouts.observer.pace import Pace, figured, intervals, on_screen
from quarterdeck.rollouts.observer.ways import Ways
from quarterdeck.rollouts.picture.swarm import KEY as SWARM
from quarterdeck.rollouts.router_looking import Told, router_unseen, told
from quarterdeck.rollouts.way_back.watch import CLOSED, OPEN

if TYPE_CHECKING:
    from quarterdeck.rollouts.observer.routers import RouterWatches

TICK = 0.2  # seconds between two looks at the journal's version
RECOUNT = 5.0  # seconds: rooms may have gone without a word
WRITE_AGAIN = 10.0  # seconds after which an observation that did not change is written with its new time
PRUNE = 60.0
WRITE_EVERY = 2.0  # seconds: what nobody would act upon waits so long for its neighbours
WAITING_SAMPLES = 5000  # kept while the journal can't be written
RELEASES = 200  # of a target

_log = logging.getLogger("quarterdeck.observer")


class Leader:
    """Looks at the hosts of ``fleet`` for as long as it runs. ``mine``: the presence of its own room, now."""

    def __init__(
        self,
        fleet: Fleet,
        clerk: Clerk,
        mine: Callable[[], Presence | None],
        pace: Pace,
    ) -> None:
        self.fleet = fleet
        self._clerk = clerk
        self._mine = mine
        self._pace = pace
        self._findings = Findings()
        self._written: dict[tuple[str, str], tuple[Observation, float]] = {}
        self._by_host = by_host(fleet)
        self._watches: dict[str, HostWatch] = {}
        self._ways = Ways(fleet, clerk, hold=pace.hold)
        self._routers: RouterWatches | None = None  # None: no target is behind one
        self._releases: dict[str, Mapping[str, Release]] = {}
        self._head = 0
        self._version = -1
        self._counted = 0.0
        self._asked = 0
        self._pruned = time.monotonic() - PRUNE + 10.0
        self._last_write = 0.0
        self._not_before = 0.0

    async def run(self) -> None:
        """Until it is cancelled. Raises JournalError only when the journal could not be read at the start."""
        from quarterdeck.backends.hosts.opening import Hosts

        backend = Hosts.of(self.fleet)
        self._head = (await self._clerk.do(lambda journal: journal.head()))[0]
        for seen in await self._clerk.do(lambda journal: journal.observations()):
            self._written[seen.target, seen.host] = (seen, 0.0)
        routed = [target.name for target in self.fleet.targets.values() if target.routed is not None]
        for row in await self._clerk.do(lambda journal: [journal.router_observation(name) for name in routed]):
            if row is not None:
                self._written[row.target, ROUTER] = (row, 0.0)
        if any(target.routed is not None for target in self.fleet.targets.values()):
            from quarterdeck.rollouts.observer.routers import RouterWatches

            self._routers = RouterWatches(self.fleet, backend, self._told, self._findings)
        async with asyncio.TaskGroup() as group:
            if self._routers is not None:
                self._routers.start(group)
            for host, targets in self._by_host.items():
                watch = HostWatch(self.fleet.hosts[host], targets, backend, self._known, self._findings)
                self._watches[host] = watch
                group.create_task(watch.run(), name=f"watch {host}")
            while True:
                try:
                    await self._follow()
                    await self._write()
                    await self._ways.look(group)
                    await self._prune()
                except JournalError as error:
                    _log.warning("the journal: %s", error)
                    self._not_before = time.monotonic() + 1.0
                await asyncio.sleep(max(TICK, self._not_before - time.monotonic()))

    # what is wanted

    async def _follow(self) -> None:
        """What others wrote: who is here, what is moving, who wants to see anew."""
        version = await self._clerk.do(lambda journal: journal.data_version())
        now = time.monotonic()
        if version == self._version and now - self._counted < RECOUNT:
            return
        changed, moving, presences, ways = await self._clerk.do(self._read)
        self._version, self._counted = version, now
        self._ways.happened(changed)
        self._ways.heard(ways)
        wanted = intervals(self.fleet, presences, moving, self._pace)
        shown = figured(self.fleet, presences)
        for host, watch in self._watches.items():
            every = {name: wanted[name] for name in self._by_host[host]}
            often = min(every.values()) <= self._pace.chosen
            watch.want(every, self._pace.vitals if often else max(30.0, min(every.values())), shown.intersection(every))
            if changed & every.keys():
                watch.hurry(frozenset(changed))
        seen = on_screen(self.fleet, presences, self._pace)
        if self._routers is not None:
            await self._routers.want(wanted, seen | moving)
            self._routers.hurry(changed)
        asked = max((one.asked for one in presences), default=0)
        if asked > self._asked:
            self._asked = asked
            for watch in self._watches.values():
                watch.hurry(seen)
            if self._routers is not None:
                self._routers.hurry(seen, although_lost=True)

    def _read(self, journal: Journal) -> tuple[set[str], set[str], list[Presence], list[Event]]:
        """Targets that something happened to, those that a rollout is changing, the rooms, and what was journalled of ways back. In the
        journal's thread."""
        changed: set[str] = set()
        ways: list[Event] = []
        head = self._head
        while events := journal.events(head, limit=1000):
            head = events[-1].seq
            changed |= {event.target for event in events if event.target is not None and event.rollout is not None}
            ways += [event for event in events if event.kind in (CLOSED, OPEN)]
        moving = {rollout.target for rollout in journal.living() if rollout.epoch > 0}
        presences = journal.presences()
        self._head = head  # not before all was read: it is read again else
        for name in changed:
            self._releases.pop(name, None)
        return changed, moving, presences, ways

    async def _known(self, target: str) -> tuple[Mapping[str, Release], int]:
        head = self._head
        found = self._releases.get(target)
        if found is None:
            try:
                rows = await self._clerk.do(lambda journal: journal.releases(target, limit=RELEASES))
            except JournalError as error:
                _log.warning("the journal: %s", error)
                return {}, head
            found = self._releases[target] = {row.id: row.release for row in rows}
        return found, head

    async def _told(self, target: str) -> Told:
        """Of its router. A journal that can't be read tells of nothing that should hold, so nothing is called drift by it."""
        try:
            return await self._clerk.do(lambda journal: told(journal, target))
        except JournalError as error:
            _log.warning("the journal: %s", error)
            return Told(None, 0, quiet=False)

    # what was found

    async def _write(self) -> None:
        """One transaction a round; a change is written at once."""
        now = time.monotonic()
        found = self._findings
        observations = self._observations(now)
        urgent = any(_differs(self._written.get((o.target, o.host)), o) for o in observations)
        if not (found.looks or found.lost) or not (
            urgent or now - self._last_write >= min(self._pace.chosen, WRITE_EVERY)
        ):
            return
        samples, mine = found.samples[-WAITING_SAMPLES:], self._mine()
        found.samples = []
        looks, found.looks = found.looks, {}
        lost, found.lost = found.lost, {}
        try:
            if mine is None:
                await self._clerk.do(lambda journal: journal.write_round(observations, samples))
            else:
                await self._clerk.do(lambda journal: journal.write_look(mine, observations, samples))
        except JournalError:
            found.samples = [*samples, *found.samples]
            found.looks = {**looks, **found.looks}
            found.lost = {**{key: why for key, why in lost.items() if key not in found.looks}, **found.lost}
            raise
        self._last_write = now
        self._ways.happened(
            seen.target
            for seen in observations
            if _differs(self._written.get((seen.target, seen.host)), seen)
            or self._written[seen.target, seen.host][0].body.get("kept") != seen.body.get("kept")
        )
        for seen in observations:
            self._written[seen.target, seen.host] = (seen, now)

    def _observations(self, now: float) -> list[Observation]:
        """Those that say something new, or whose age would look older than it is."""
        wanted = [look.observation for look in self._findings.looks.values()]
        for (target, host), reason in self._findings.lost.items():
            before = self._written.get((target, host))
            last = before[0] if before else None
            if host == ROUTER:
                wanted.append(router_unseen(self.fleet.targets[target], last, reason))
            else:
                wanted.append(unseen(target, host, last, reason))
        result = []
        for seen in wanted:
            before = self._written.get((seen.target, seen.host))
            if (
                before is None
                or _differs(before, seen)
                or before[0].body != seen.body
                or (seen.error is None and now - before[1] >= WRITE_AGAIN)
            ):
                result.append(seen)
        return result

    async def _prune(self) -> None:
        now = time.monotonic()
        if now - self._pruned >= PRUNE:
            self._pruned = now
            await self._clerk.do(lambda journal: (journal.prune_samples(), journal.forget_the_gone()))


def by_host(fleet: Fleet) -> Mapping[str, Mapping[str, Target]]:
    """The targets of every host that has any."""
    found: dict[str, dict[str, Target]] = {}
    for name, target in fleet.targets.items():
        for host in target.hosts:
            found.setdefault(host.name, {})[name] = target
    return found


def _differs(before: tuple[Observation, float] | None, seen: Observation) -> bool:
    """Whether something is different that one would act upon; the time alone is not, nor the words of a check."""
    return (
        before is None
        or before[0].body.get("drift") != seen.body.get("drift")
        or before[0].body.get(SWARM) != seen.body.get(SWARM)
        or msgspec.structs.replace(before[0], time="", body={}) != msgspec.structs.replace(seen, time="", body={})
    )
