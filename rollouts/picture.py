"""The picture that a screen shows of a fleet: frozen values, made from the journal alone. Nothing here asks a host."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from quarterdeck.config.model import Fleet, Target
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED, Event, Observation, Rollout, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.outcome import seconds
from quarterdeck.rollouts.plan import Action

RECENT_ROLLOUTS = 30
MOVES = frozenset({str(Action.SWITCH), str(Action.WITHDRAW)})  # steps that change what a host runs


class Mark(StrEnum):
    """The state of a target in one character and one word; colour only ever repeats it."""

    OK = "="
    ROLLING = ">"
    FAILED = "x"
    DRIFT = "~"
    STALE = "?"
    FROZEN = "#"
    NOTHING = "."  # nothing was ever released there


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A host of a target as it was last seen. ``seen``: ISO 8601 UTC, None: never; ``error``: why it can't be asked."""

    host: str
    release: str | None = None
    version: str | None = None
    health: str = "unknown"  # healthy | unhealthy | unknown
    seen: str | None = None
    error: str | None = None
    drift: bool = False
    kept: frozenset[str] | None = None  # releases that lie there intact; None: not known


@dataclass(frozen=True, slots=True)
class WayBack:
    """Where a rollback would lead. ``state``: ready, degraded or closed; ``seconds``: the median of earlier rollbacks."""

    state: str = "closed"
    release: str | None = None
    version: str | None = None
    reasons: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RolloutSeen:
    """A rollout with its steps (only of one that has not ended: ``steps`` is empty for the others)."""

    rollout: Rollout
    from_version: str | None
    to_version: str | None
    steps: tuple[Step, ...] = ()

    @property
    def id(self) -> int:
        return self.rollout.id

    @property
    def progress(self) -> tuple[int, int]:
        """Hosts that have been moved, and how many are to be moved; (0, 0) before there is a plan."""
        moves = {step.host: step.state for step in self.steps if step.action in MOVES}
        return sum(state is StepState.DONE for state in moves.values()), len(moves)


@dataclass(frozen=True, slots=True)
class TargetSeen:
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
    hosts: tuple[HostSeen, ...] = ()
    back: WayBack = WayBack()
    moving: RolloutSeen | None = None
    last: Rollout | None = None  # the last one that ended

    @property
    def mark(self) -> Mark:
        """One value, derived here only. What is going on comes first, then what is wrong, then what is not known."""
        if self.moving is not None:
            return Mark.FAILED if self.moving.rollout.state is RolloutState.ORPHANED else Mark.ROLLING
        if self.last is not None and self.last.state is RolloutState.FAILED:
            return Mark.FAILED
        if self.release is None:
            return Mark.NOTHING
        if self.health in ("degraded", "down") and any(host.health == "unhealthy" for host in self.hosts):
            return Mark.FAILED
        if any(host.drift for host in self.hosts):
            return Mark.DRIFT
        if any(host.error is not None for host in self.hosts) or self.health == "unknown":
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
                return "stale" if any(host.error is not None for host in self.hosts) else "unknown"
            case Mark.NOTHING:
                return "nothing"
            case _:
                return "ok"

    @property
    def oldest(self) -> str | None:
        """When the host that was seen longest ago was seen; None when one was never seen."""
        times = [host.seen for host in self.hosts]
        return None if not times or None in times else min(str(time) for time in times)


@dataclass(frozen=True, slots=True)
class Picture:
    """The fleet as one value. ``head``: the last event that is in it."""

    fleet: str
    environments: tuple[str, ...]
    services: tuple[str, ...]
    targets: Mapping[str, TargetSeen] = field(default_factory=dict)
    rollouts: tuple[RolloutSeen, ...] = ()  # those that have not ended, newest first, then the newest ended ones
    head: int = 0

    def rollout(self, id: int) -> RolloutSeen | None:
        return next((seen for seen in self.rollouts if seen.id == id), None)

    @property
    def moving(self) -> tuple[RolloutSeen, ...]:
        return tuple(seen for seen in self.rollouts if seen.rollout.state not in ENDED)


def empty_picture(fleet: Fleet) -> Picture:
    """What can be shown before the journal was read."""
    targets = {
        name: TargetSeen(name, target.environment, target.service, hosts=tuple(HostSeen(h.name) for h in target.hosts))
        for name, target in fleet.targets.items()
    }
    return Picture(fleet.name, tuple(fleet.environments), fleet.services, targets)


def take_picture(fleet: Fleet, journal: Journal) -> Picture:
    """The whole picture as the journal has it now."""
    head, _ = journal.head()
    seen: dict[str, list[Observation]] = {}
    for observation in journal.observations():
        seen.setdefault(observation.target, []).append(observation)
    targets = {name: _target(target, journal, seen.get(name, ())) for name, target in fleet.targets.items()}
    return replace(empty_picture(fleet), targets=targets, rollouts=_rollouts(fleet, journal), head=head)


def renew(picture: Picture, fleet: Fleet, journal: Journal, events: Iterable[Event], *, looked: bool) -> Picture:
    """``picture`` brought up to what ``events`` tell. ``looked``: hosts' observations are read anew as well."""
    news = list(events)
    changed = {event.target for event in news if event.target in fleet.targets}
    seen: dict[str, list[Observation]] = {}
    if looked or changed:
        for observation in journal.observations():
            seen.setdefault(observation.target, []).append(observation)
    targets = dict(picture.targets)
    for name, target in fleet.targets.items():
        observations = seen.get(name, ())
        if name in changed:
            targets[name] = _target(target, journal, observations)
        elif looked:
            hosts = _hosts(target, observations, targets[name].release)
            if hosts != targets[name].hosts:
                targets[name] = _target(target, journal, observations)
    rollouts = _rollouts(fleet, journal) if any(event.rollout is not None for event in news) else picture.rollouts
    return replace(picture, targets=targets, rollouts=rollouts, head=news[-1].seq if news else picture.head)


def _target(target: Target, journal: Journal, observations: Iterable[Observation]) -> TargetSeen:
    current = journal.current_release(target.name)
    row = journal.release(current) if current else None
    history = journal.rollouts(target.name, limit=20)
    brought = next((r for r in history if r.to_release == current and r.state is RolloutState.SUCCEEDED), None)
    last = next((r for r in history if r.state in ENDED and r.epoch > 0), None)
    active = journal.active(target.name)
    hosts = _hosts(target, observations, current)
    return TargetSeen(
        target.name,
        target.environment,
        target.service,
        release=current,
        version=row.release.version if row else None,
        digest=row.release.artifact.sha256 if row else None,
        since=brought.ended if brought else (row.last_good if row else None),
        by=brought.requested_by if brought else None,
        reason=brought.reason if brought else "",
        health=health_of([host.health for host in hosts]),
        hosts=hosts,
        back=_way_back(target, journal, hosts, current, history),
        moving=_seen(active, journal) if active is not None else None,
        last=last,
    )


def _hosts(target: Target, observations: Iterable[Observation], current: str | None) -> tuple[HostSeen, ...]:
    known = {observation.host: observation for observation in observations}
    return tuple(_host(host.name, known.get(host.name), current) for host in target.hosts)


def _host(name: str, seen: Observation | None, current: str | None) -> HostSeen:
    if seen is None:
        return HostSeen(name)
    kept = seen.body.get("kept")
    return HostSeen(
        name,
        seen.release,
        seen.version,
        seen.health,
        seen.time,
        seen.error,
        drift=seen.error is None and seen.release != current,
        kept=frozenset(kept) if kept is not None else None,
    )


def health_of(states: Iterable[str]) -> str:
    """healthy: all hosts are; down: none of those that are known; unknown: nothing is known; else degraded."""
    every = list(states)
    known = [state for state in every if state != "unknown"]
    if not known:
        return "unknown"
    if all(state == "healthy" for state in every):
        return "healthy"
    return "degraded" if "healthy" in known else "down"


def _way_back(
    target: Target, journal: Journal, hosts: Iterable[HostSeen], current: str | None, history: Iterable[Rollout]
) -> WayBack:
    row = journal.last_good(target.name, other_than=current)
    took = sorted(
        s
        for r in history
        if r.kind is RolloutKind.ROLLBACK and r.state is RolloutState.SUCCEEDED and (s := seconds(r)) is not None
    )
    middle = took[len(took) // 2] if took else None
    if row is None:
        return WayBack("closed", reasons=("no earlier release that worked",), seconds=middle)
    reasons: list[str] = []
    for host in hosts:
        if host.kept is None:
            reasons.append(f"{host.host}: not seen")
        elif row.id not in host.kept:
            reasons.append(f"{host.host}: no copy of {row.release.version}")
    reasons += [f"{debt.host}: owed since {debt.since}" for debt in journal.debts(target.name)]
    return WayBack("degraded" if reasons else "ready", row.id, row.release.version, tuple(reasons), middle)


def _rollouts(fleet: Fleet, journal: Journal) -> tuple[RolloutSeen, ...]:
    recent = [r for r in journal.rollouts(limit=RECENT_ROLLOUTS) if r.target in fleet.targets]
    living = [r for r in journal.living() if r.target in fleet.targets]
    known = {r.id for r in living}
    ended = [r for r in recent if r.id not in known and r.state in ENDED]
    return tuple(_seen(rollout, journal) for rollout in [*reversed(living), *ended])


def _seen(rollout: Rollout, journal: Journal) -> RolloutSeen:
    steps = () if rollout.state in ENDED else tuple(journal.steps(rollout.id))
    wanted = rollout.to_release or (str(rollout.options.get("version") or "") or None)
    return RolloutSeen(rollout, version_of(rollout.from_release), version_of(wanted), steps)


def version_of(release: str | None) -> str | None:
    """``v142`` of ``v142-3f9c0a1b2d``: a release's id is its version and ten hexadecimal digits."""
    if release is None:
        return None
    head, dash, tail = release.rpartition("-")
    return head if dash and len(tail) == 10 and all(c in "0123456789abcdef" for c in tail) else release
