"""A target as screens show it: one mark and one word for all that can be wrong, its hosts, its router, and whether the way back is open.

Values for pictures, made from the journal alone.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from quarterdeck.history.records import Debt, Drilled, Ended, RolloutState, Said, Standing
from quarterdeck.rollouts.picture.host import Expected, HostSeen, health_of, healths_of
from quarterdeck.rollouts.picture.hosts import counted, hosts_seen, times_of
from quarterdeck.rollouts.picture.rollout import MOVES, RolloutSeen, rollout_seen
from quarterdeck.rollouts.picture.router import RouterSeen, router_seen
from quarterdeck.rollouts.picture.swarm import SwarmSeen
from quarterdeck.rollouts.version_words import shown

if TYPE_CHECKING:
    from quarterdeck.history.journal import Journal
    from quarterdeck.rollouts.picture.needs import PicturedTarget


class Mark(StrEnum):
    """The state of a target in one character and one word; colour only ever repeats it."""

    OK = "="
    ROLLING = ">"
    FAILED = "x"
    DRIFT = "~"
    STALE = "?"
    FROZEN = "#"
    NOTHING = "."  # nothing was ever released there


class WayBack(msgspec.Struct, frozen=True):
    """Where a rollback would lead. ``state``: ready, degraded or closed; ``seconds``: the median of earlier rollbacks. ``asked``: of a
    Swarm, when a registry was asked whether it has the image, ISO 8601 UTC, the oldest of several; None: it was not, or nobody need."""

    state: str = "closed"
    release: str | None = None
    version: str | None = None
    reasons: tuple[str, ...] = ()
    seconds: float | None = None
    asked: str | None = None


_NO_WAY_BACK: Final = WayBack()


class TargetSeen(msgspec.Struct, frozen=True):
    """A cell of the matrix and everything the card of a target shows."""

    target: str
    environment: str
    service: str
    release: str | None = None
    version: str | None = None
    digest: str | None = None
    since: str | None = None
    by: str | None = None
    reason: str = ""
    health: str = "unknown"  # healthy | degraded | down | unknown
    hosts: Sequence[HostSeen] = ()
    back: WayBack = _NO_WAY_BACK
    moving: RolloutSeen | None = None
    last: Ended | None = None  # the last one that ended after it had begun
    owed: tuple[Debt, ...] = ()  # hosts that could not be finished
    router: RouterSeen | None = None  # None: there is none, or nothing is known of it
    drill: Drilled | None = None  # the last one that went well
    # Derived once, whatever is given: every pane asks for them, several times a frame, and a target may have a thousand hosts.
    mark: Mark = Mark.NOTHING
    oldest: str | None = None  # when the host that was seen longest ago was seen; None: one was never seen
    newest: str = ""  # when the one was seen that was seen last; empty: none ever was
    healthy: int = 0  # hosts
    unasked: bool = False  # whether one of them can't be asked
    on_swarm: bool = False  # whether a host of it is a Swarm that was seen: then tasks are counted and not hosts
    # How many of its hosts run its release, and how many there are; of a Swarm, of the tasks that it should have. There one that a rollout
    # has replaced already runs as well.
    counted: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        kinds = counted(self.hosts)
        oldest, newest = times_of(self.hosts)
        force = msgspec.structs.force_setattr
        force(self, "mark", self._mark([kind for kind, _ in kinds]))
        force(self, "oldest", oldest)
        force(self, "newest", newest)
        force(self, "healthy", sum(count for kind, count in kinds if kind.health == "healthy"))
        force(self, "unasked", any(kind.error is not None for kind, _ in kinds))
        force(self, "on_swarm", any(kind.swarm is not None for kind, _ in kinds))
        force(self, "counted", self._counted(kinds))

    def _mark(self, kinds: Iterable[HostSeen]) -> Mark:
        """One value, derived here only. What is going on comes first, then what is wrong, then what is not known."""
        if self.moving is not None:
            return Mark.FAILED if self.moving.rollout.state is RolloutState.ORPHANED else Mark.ROLLING
        if self.last is not None and self.last.state is RolloutState.FAILED:
            return Mark.FAILED
        if self.release is None:
            return Mark.DRIFT if any(host.release is not None for host in kinds) else Mark.NOTHING
        if self.health in ("degraded", "down") and any(host.health == "unhealthy" for host in kinds):
            return Mark.FAILED
        if any(host.drift for host in kinds) or (self.router is not None and self.router.changed):
            return Mark.DRIFT
        if any(host.error is not None for host in kinds) or self.health == "unknown":
            return Mark.STALE
        return Mark.OK

    @property
    def word(self) -> str:
        """What the mark means here, in one word."""
        if self.moving is not None:
            return str(self.moving.rollout.state).replace("_", " ")
        match self.mark:
            case Mark.FAILED:
                return "failed" if self.last is not None and self.last.state is RolloutState.FAILED else self.health
            case Mark.DRIFT:
                return "drift"
            case Mark.STALE:
                return "stale" if self.unasked else "unknown"
            case Mark.NOTHING:
                return "nothing"
            case _:
                return "ok"

    @property
    def well(self) -> int:
        """How many of ``counted`` are well by their checks: of hosts those that are healthy, of a Swarm tasks, where they were asked."""
        found = 0
        for host, count in counted(self.hosts):
            if host.swarm is None:
                found += count * (host.health == "healthy")
            else:
                running = host.swarm.running(self.release)
                found += count * (running if host.swarm.well is None else min(host.swarm.well, running))
        return found

    def _counted(self, kinds: Iterable[tuple[HostSeen, int]]) -> tuple[int, int]:
        running, total = 0, 0
        coming = self.moving.rollout.to_release if self.moving is not None else None
        for host, count in kinds:
            if host.swarm is None:
                running += count * (self.release is not None and host.release == self.release)
                total += count
            else:
                running += count * host.swarm.running(self.release, coming)
                total += count * max(host.swarm.wanted, 1)
        return running, total


def target_seen(
    target: "PicturedTarget",
    names: tuple[str, ...],
    standing: Standing,
    said: Said | None,
    owed: Sequence[Debt],
    journal: "Journal",
) -> TargetSeen:
    """As the journal has it now. ``names``: of its hosts; ``owed``: of this target."""
    settled = standing.last.seq if standing.last is not None else 0
    hosts = hosts_seen(names, said, Expected(standing.current, settled, standing.active))
    router = _router(target, journal)
    return TargetSeen(
        target.name,
        target.environment,
        target.service,
        release=standing.current,
        version=shown(standing.version),
        digest=standing.digest,
        since=standing.since,
        by=standing.by,
        reason=standing.reason,
        health=_health(hosts),
        hosts=hosts,
        back=_way_back(
            WayBack("", standing.back, shown(standing.back_version), (), standing.back_seconds), hosts, owed, router
        ),
        moving=rollout_seen(standing.active, journal) if standing.active is not None else None,
        last=standing.last,
        owed=tuple(owed),
        router=router,
        drill=standing.drill,
    )


def progress_of(seen: RolloutSeen, target: TargetSeen | None) -> tuple[int, int]:
    """How far it is, and how far it goes: hosts, or on a Swarm, which one step changes, tasks. (0, 0) before there is a plan."""
    done, total = seen.progress
    if not total or target is None or not target.on_swarm:
        return done, total
    moves = {step.host for step in seen.steps if step.action in MOVES}
    tasks = [
        host.swarm.progress(seen.rollout.to_release)
        for host in target.hosts
        if host.swarm is not None and host.host in moves
    ]
    others = total - len(tasks)
    if not tasks or others:
        return done, total
    return sum(run for run, _ in tasks), sum(all for _, all in tasks)


def _router(target: "PicturedTarget", journal: "Journal") -> RouterSeen | None:
    if not target.routed:
        return None
    told = journal.events(target=target.name, kind="routed", newest_first=True, limit=1)
    return router_seen(journal.router_observation(target.name), told[0] if told else None)


def looked_at_again(
    known: TargetSeen, target: "PicturedTarget", names: tuple[str, ...], said: Said | None, journal: "Journal"
) -> TargetSeen:
    """The target with what its hosts were seen running now; all else is as the journal told it. ``known`` itself, where they say nothing
    else than before."""
    hosts, router = hosts_seen(names, said, _expected(known)), _router(target, journal)
    if hosts == known.hosts and router == known.router:
        return known
    back = _way_back(known.back, hosts, known.owed, router)
    return msgspec.structs.replace(known, hosts=hosts, health=_health(hosts), back=back, router=router)


def _health(hosts: Sequence[HostSeen]) -> str:
    return health_of(healths_of(kind for kind, _ in counted(hosts)))


def _expected(seen: TargetSeen) -> Expected:
    settled = seen.last.seq if seen.last is not None else 0
    return Expected(seen.release, settled, seen.moving.rollout if seen.moving is not None else None)


def _way_back(
    to: WayBack, hosts: Sequence[HostSeen], owed: Iterable[Debt], router: RouterSeen | None = None
) -> WayBack:
    """Whether the way to the release of ``to`` is open, by what was last seen of the hosts and of the router."""
    if to.release is None:
        return WayBack("closed", reasons=("no earlier release that worked",), seconds=to.seconds)
    reasons: list[str] = []
    for host in hosts if any(_in_the_way(kind, to) for kind, _ in counted(hosts)) else ():
        if reason := _in_the_way(host, to):
            reasons.append(reason)
    reasons += [f"{debt.host}: owed since {debt.since}" for debt in owed]
    if router is not None and router.error is not None:
        reasons.append(f"router {router.name}: {router.error}")
    asked = [
        host.swarm.asked[to.release]
        for host, _ in counted(hosts)
        if host.swarm is not None and to.release in host.swarm.asked
    ]
    state = "degraded" if reasons else "ready"
    return msgspec.structs.replace(to, state=state, reasons=tuple(reasons), asked=min(asked, default=None))


def _in_the_way(host: HostSeen, to: WayBack) -> str:
    """Why the way to the release of ``to`` is not open there; empty: it is."""
    if host.kept is not None and to.release not in host.kept:
        return no_copy(host.host, to.version) if host.swarm is None else _not_on(host, host.swarm, to)
    if host.error is not None:
        return f"{host.host}: can't be reached"
    if host.kept is None and host.seen is None:
        return f"{host.host}: not seen"
    return ""  # a rollout that has just left it did not count the copies: it keeps the one that a rollback needs


def no_copy(host: str, version: str | None) -> str:
    """Why the way back to that version is not open on a host, wherever it is told."""
    return f"{host}: no copy of {version}"


def no_image(swarm: str, version: str | None) -> str:
    """The same of a Swarm, whose nodes have no copies of their own but fetch images."""
    return f"{swarm}: the image of {version} can't be fetched: its registry does not answer, or has it no more"


def _not_on(host: HostSeen, swarm: SwarmSeen, to: WayBack) -> str:
    if to.release in swarm.unfetched:
        return no_image(host.host, to.version)
    return f"{host.host}: the swarm has nothing of {to.version} any more"
