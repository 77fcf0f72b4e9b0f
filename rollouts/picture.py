"""The picture that a screen shows of a fleet: frozen values, made from the journal alone. Nothing here asks a host."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard, TypeVar

import msgspec

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import (
    ENDED,
    ROUTER,
    Debt,
    Ended,
    Event,
    MadeFreeze,
    Observation,
    Rollout,
    RolloutState,
    Standing,
    Step,
    StepState,
)
from quarterdeck.rollouts.router_seen import RouterSeen, router_seen
from quarterdeck.rollouts.version_words import shown
from quarterdeck.rollouts.version_words import version_of as version_of

if TYPE_CHECKING:  # the first paint has a description of the fleet of its own, and no time for what reads fleet files
    from quarterdeck.history.journal import Journal
    from quarterdeck.rollouts.pictured import PicturedFleet, PicturedTarget

_OfTarget = TypeVar("_OfTarget", Debt, Observation)

RECENT_ROLLOUTS = 30
MOVES = frozenset({"switch", "withdraw"})  # actions of steps that change what a host runs (see plan.Action)


class Mark(StrEnum):
    """The state of a target in one character and one word; colour only ever repeats it."""

    OK = "="
    ROLLING = ">"
    FAILED = "x"
    DRIFT = "~"
    STALE = "?"
    FROZEN = "#"
    NOTHING = "."  # nothing was ever released there


class HostSeen(msgspec.Struct, frozen=True, gc=False):  # tens of thousands, and nothing in one leads back to it
    """A host of a target as it was last seen. ``seen``: ISO 8601 UTC, None: never; ``error``: why it can't be asked."""

    host: str
    release: str | None = None
    version: str | None = None
    health: str = "unknown"  # healthy | unhealthy | unknown
    seen: str | None = None
    error: str | None = None
    drift: bool = False
    changed: tuple[str, ...] = ()  # what somebody else has changed there, in the host's words
    detail: str = ""  # what its health check said
    kept: frozenset[str] | None = None  # releases that lie there intact; None: not known
    warm: frozenset[str] = (
        frozenset()
    )  # those whose container is kept there, stopped: it is started again without a registry

    @property
    def trouble(self) -> str:
        """``error`` where the host's name stands beside it."""
        return (self.error or "").removeprefix(f"{self.host}: ")


class WayBack(msgspec.Struct, frozen=True):
    """Where a rollback would lead. ``state``: ready, degraded or closed; ``seconds``: the median of earlier rollbacks."""

    state: str = "closed"
    release: str | None = None
    version: str | None = None
    reasons: tuple[str, ...] = ()
    seconds: float | None = None


class RolloutSeen(msgspec.Struct, frozen=True):
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
    hosts: tuple[HostSeen, ...] = ()
    back: WayBack = _NO_WAY_BACK
    moving: RolloutSeen | None = None
    last: Ended | None = None  # the last one that ended after it had begun
    owed: tuple[Debt, ...] = ()  # hosts that could not be finished
    router: RouterSeen | None = None  # None: there is none, or nothing is known of it
    mark: Mark = Mark.NOTHING  # derived once, whatever is given: every pane asks for it, several times a frame

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "mark", self._mark())

    def _mark(self) -> Mark:
        """One value, derived here only. What is going on comes first, then what is wrong, then what is not known."""
        if self.moving is not None:
            return Mark.FAILED if self.moving.rollout.state is RolloutState.ORPHANED else Mark.ROLLING
        if self.last is not None and self.last.state is RolloutState.FAILED:
            return Mark.FAILED
        if self.release is None:
            return Mark.DRIFT if any(host.release is not None for host in self.hosts) else Mark.NOTHING
        if self.health in ("degraded", "down") and any(host.health == "unhealthy" for host in self.hosts):
            return Mark.FAILED
        if any(host.drift for host in self.hosts) or (self.router is not None and self.router.changed):
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


class RoomSeen(msgspec.Struct, frozen=True):
    """A control room that is open: whose it is, and what it shows."""

    who: str
    pid: int
    view: str
    target: str | None
    since: str


class Around(msgspec.Struct, frozen=True):
    """What is there beside the fleet. ``here``: the control rooms that are open; ``looked``: boot time (nanoseconds) when an observer
    last wrote what hosts said, 0: not known; ``workers``: that are alive; ``journal_bytes``: its file, to a tenth of a megabyte;
    ``freezes``: made by hand, and not ended."""

    here: tuple[RoomSeen, ...] = ()
    looked: int = 0
    workers: int = 0
    journal_bytes: int = 0
    freezes: tuple[MadeFreeze, ...] = ()


_ALONE: Final = Around()


class Picture(msgspec.Struct, frozen=True, eq=False):
    """The fleet as one value. ``head``: the last event that is in it. Two that show the same are equal, whatever ``observed`` says."""

    fleet: str
    environments: tuple[str, ...]
    services: tuple[str, ...]
    targets: Mapping[str, TargetSeen] = msgspec.field(default_factory=dict)
    rollouts: tuple[RolloutSeen, ...] = ()  # those that have not ended, newest first, then the newest ended ones
    head: int = 0
    around: Around = _ALONE
    observed: Mapping[str, str] = msgspec.field(default_factory=dict)  # see Hosts.observed, when hosts were read

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and all(
            getattr(self, name) == getattr(other, name) for name in self.__struct_fields__ if name != "observed"
        )

    def others_on(self, target: str, pid: int) -> tuple[str, ...]:
        """Who has this target open, in another control room than that of process ``pid``."""
        return tuple(one.who for one in self.around.here if one.target == target and one.pid != pid)

    @property
    def production(self) -> str:
        """The last environment of the promotion order; empty in an empty fleet."""
        return self.environments[-1] if self.environments else ""

    def rollout(self, id: int) -> RolloutSeen | None:
        return next((seen for seen in self.rollouts if seen.id == id), None)

    @property
    def moving(self) -> tuple[RolloutSeen, ...]:
        return tuple(seen for seen in self.rollouts if seen.rollout.state not in ENDED)


def empty_picture(fleet: "PicturedFleet") -> Picture:
    """What can be shown before the journal was read."""
    targets = {
        name: TargetSeen(name, target.environment, target.service, hosts=tuple(HostSeen(h.name) for h in target.hosts))
        for name, target in fleet.targets.items()
    }
    return Picture(fleet.name, promotion_order(fleet), fleet.services, targets)


def is_of(picture: Picture | None, fleet: "PicturedFleet") -> "TypeGuard[Picture]":
    """Whether it is a picture of this fleet, as the fleet is declared now."""
    return (
        picture is not None
        and (picture.fleet, picture.environments, picture.services)
        == (fleet.name, promotion_order(fleet), fleet.services)
        and picture.targets.keys() == fleet.targets.keys()
        and all(
            [host.host for host in picture.targets[name].hosts] == [host.name for host in target.hosts]
            for name, target in fleet.targets.items()
        )
    )


def promotion_order(fleet: "PicturedFleet") -> tuple[str, ...]:
    """The environments as a release goes through them, the last one being production; equals in the order of the file."""

    def depth(name: str | None) -> int:
        steps = 0
        while name is not None and (environment := fleet.environments.get(name)) is not None:
            name, steps = environment.after, steps + 1
        return steps

    return tuple(sorted(fleet.environments, key=depth))


def take_picture(fleet: "PicturedFleet", journal: "Journal", only: Collection[str] | None = None) -> Picture:
    """The whole picture as the journal has it now. ``only``: no other targets than these are in it."""
    head, _ = journal.head()
    wanted = {name: target for name, target in fleet.targets.items() if only is None or name in only}
    observed = (
        journal.observed() if only is None else {}
    )  # before the rows: what comes in between is then read once more
    standings = journal.standings(None if only is None else tuple(wanted))
    owed = _by_target(journal.debts())
    seen = _by_target(journal.observations() if only is None else _observations(journal, wanted))
    targets = {
        name: _target(target, standings.get(name, Standing(name)), seen.get(name, ()), owed.get(name, ()), journal)
        for name, target in wanted.items()
    }
    return Picture(
        fleet.name,
        promotion_order(fleet),
        fleet.services,
        targets,
        _rollouts(fleet, journal),
        head,
        around(journal),
        observed,
    )


def renew(
    picture: Picture, fleet: "PicturedFleet", journal: "Journal", events: Iterable[Event], *, looked: bool
) -> Picture:
    """``picture`` brought up to what ``events`` tell; what they don't concern stays the same object.

    ``looked``: what hosts were last seen running may have changed as well. ``picture`` itself when nothing did.
    """
    news = list(events)
    told = {event.target for event in news if event.target in fleet.targets}
    looked = looked or any(event.kind.startswith("freeze") for event in news)
    observed = journal.observed() if looked else picture.observed
    looked_at = _changed_observations(picture, journal, observed) if looked else set()
    if observed != picture.observed:
        picture = msgspec.structs.replace(picture, observed=observed)
    if not news and not looked_at:
        return _with_around(picture, journal) if looked else picture
    targets = dict(picture.targets)
    named = [str(name) for name in told]
    standings = journal.standings(named) if named else {}
    seen = _by_target(_observations(journal, told | looked_at))
    owed = _by_target(journal.debts()) if told else {}
    for name in told | looked_at:
        target, observations = fleet.targets[str(name)], seen.get(str(name), ())
        if name in told:
            standing = standings.get(str(name), Standing(str(name)))
            targets[str(name)] = _target(target, standing, observations, owed.get(str(name), ()), journal)
        elif (known := targets.get(str(name))) is not None:
            hosts = _hosts(target, observations, _expected(known))
            targets[str(name)] = _looked(known, hosts, _router(target, journal))
    concerned = {event.rollout for event in news if event.rollout is not None}
    rollouts = _renewed_rollouts(picture.rollouts, concerned, fleet, journal) if concerned else picture.rollouts
    renewed = msgspec.structs.replace(
        picture, targets=targets, rollouts=rollouts, head=news[-1].seq if news else picture.head
    )
    return _with_around(renewed, journal) if looked else renewed


def around(journal: "Journal") -> Around:
    """Who else is here, whether somebody looks at the hosts, how many workers are alive."""
    from quarterdeck.history.lease import lock_is_held  # only here: the first paint stays quick

    rooms = journal.presences()
    try:
        size = os.stat(journal.path).st_size
    except OSError:
        size = 0
    return Around(
        tuple(RoomSeen(clean(one.who), one.pid, one.view, one.target, one.since) for one in rooms),
        max((one.looked for one in rooms), default=0),
        sum(lock_is_held(journal.state, rollout.id) for rollout in journal.living()),
        size // 100_000 * 100_000,
        tuple(
            msgspec.structs.replace(one, reason=clean(one.reason), by=clean(one.by)) for one in journal.made_freezes()
        ),
    )


def _with_around(picture: Picture, journal: "Journal") -> Picture:
    now = around(journal)
    return picture if now == picture.around else msgspec.structs.replace(picture, around=now)


def _observations(journal: "Journal", targets: Iterable[str | None]) -> list[Observation]:
    return [observation for name in targets if name is not None for observation in journal.observations(name)]


def _changed_observations(picture: Picture, journal: "Journal", observed: Mapping[str, str]) -> set[str]:
    """Targets with a host that was seen, or failed to be seen, since the picture was made."""
    anew = [name for name, text in observed.items() if picture.observed.get(name) != text and name in picture.targets]
    return {
        name
        for name in anew
        if _shows_another(picture.targets[name], journal.observations(name))
        or (ROUTER in observed[name] and _other_way(picture.targets[name].router, journal.router_observation(name)))
    }


def _other_way(seen: RouterSeen | None, look: Observation | None) -> bool:
    """Whether a look at the router is newer than what is on the screen."""
    if look is None or seen is None:
        return look is not None
    return (look.time, look.error and clean(look.error)) != (seen.seen or look.time, seen.error)


def _shows_another(seen: TargetSeen, observations: Iterable[Observation]) -> bool:
    """Whether one of these says something that is not on the screen."""
    known = {host.host: (host.seen, host.release, host.version, host.health, host.error) for host in seen.hosts}
    for one in observations:
        before = known.get(one.host)
        now = (one.time, one.release, shown(one.version), one.health, None if one.error is None else clean(one.error))
        if before is None or before == now:
            continue
        if before[0] is None and before[-1] is not None and before[1:] == now[1:]:
            continue  # never seen, and again not: the time is that of the last try
        if before[:3] == now[:3] and before[3:] == ("unknown", None) and now[3:] == ("unhealthy", None):
            continue  # the same answer: it was given before the last rollout ended (see Expected.health)
        return True
    return False


def _target(
    target: "PicturedTarget",
    standing: Standing,
    observations: Iterable[Observation],
    owed: Sequence[Debt],
    journal: "Journal",
) -> TargetSeen:
    settled = standing.last.seq if standing.last is not None else 0
    hosts = _hosts(target, observations, Expected(standing.current, settled, standing.active))
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
        health=health_of([host.health for host in hosts]),
        hosts=hosts,
        back=_way_back(
            WayBack("", standing.back, shown(standing.back_version), (), standing.back_seconds), hosts, owed, router
        ),
        moving=_seen(standing.active, journal) if standing.active is not None else None,
        last=standing.last,
        owed=tuple(owed),
        router=router,
    )


def _router(target: "PicturedTarget", journal: "Journal") -> RouterSeen | None:
    if not target.routed:
        return None
    told = journal.events(target=target.name, kind="routed", newest_first=True, limit=1)
    return router_seen(journal.router_observation(target.name), told[0] if told else None)


def _looked(known: TargetSeen, hosts: tuple[HostSeen, ...], router: RouterSeen | None) -> TargetSeen:
    """The target with what its hosts were seen running now; all else is as the journal told it."""
    health = health_of([host.health for host in hosts])
    back = _way_back(known.back, hosts, known.owed, router)
    return msgspec.structs.replace(known, hosts=hosts, health=health, back=back, router=router)


class Expected(msgspec.Struct, frozen=True):
    """What hosts should run: ``current`` since the event ``settled``; while ``moving`` goes on, also what it moves from and to."""

    current: str | None
    settled: int
    moving: Rollout | None

    def is_drift(self, seen: Observation) -> bool:
        """Whether the host runs something that nobody put there. What it said before the last rollout ended tells nothing."""
        if seen.error is not None or seen.release == self.current or self._is_older(seen):
            return False
        return self.moving is None or seen.release not in (self.moving.from_release, self.moving.to_release)

    def is_settled(self, seen: Observation) -> bool:
        """Whether what was seen is not the work of a rollout."""
        return seen.error is None and self.moving is None and not self._is_older(seen)

    def health(self, seen: Observation) -> str:
        """As it was seen; a service that was down while it was being moved is not known to be down afterwards, and one that
        nobody ever released is not down."""
        if self.current is None and self.moving is None and seen.release is None and seen.health == "unhealthy":
            return "unknown"
        return "unknown" if seen.health == "unhealthy" and self._is_older(seen) else seen.health

    def _is_older(self, seen: Observation) -> bool:
        return self.moving is None and int(seen.body.get("seq", self.settled)) < self.settled


def _expected(seen: TargetSeen) -> Expected:
    settled = seen.last.seq if seen.last is not None else 0
    return Expected(seen.release, settled, seen.moving.rollout if seen.moving is not None else None)


def _hosts(target: "PicturedTarget", observations: Iterable[Observation], expected: Expected) -> tuple[HostSeen, ...]:
    known = {observation.host: observation for observation in observations}
    told: dict[int, _Told] = {}  # the hosts of a target mostly say the same, and share the body that says so
    return tuple(_host(host.name, known.get(host.name), expected, told) for host in target.hosts)


class _Told(NamedTuple):
    """What the body of an observation says of a host."""

    never: bool
    detail: str
    kept: frozenset[str] | None
    changed: tuple[str, ...]
    warm: frozenset[str]


def _told_by(body: Mapping[str, Any]) -> _Told:
    kept = body.get("kept")
    return _Told(
        bool(body.get("never")),
        clean(str(body.get("detail", ""))),
        frozenset(kept) if kept is not None else None,
        tuple(clean(str(words)) for words in body.get("drift", ())),
        frozenset(body.get("warm", ())),
    )


def _host(name: str, seen: Observation | None, expected: Expected, told: dict[int, _Told]) -> HostSeen:
    if seen is None:
        return HostSeen(name)
    body = told.get(id(seen.body))
    if body is None:
        body = told[id(seen.body)] = _told_by(seen.body)
    changed = body.changed if expected.is_settled(seen) else ()
    return HostSeen(
        name,
        seen.release,
        shown(seen.version),
        expected.health(seen),
        None if body.never else seen.time,
        None if seen.error is None else clean(seen.error),
        drift=expected.is_drift(seen) or bool(changed),
        detail=body.detail,
        kept=body.kept,
        changed=changed,
        warm=body.warm,
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
    to: WayBack, hosts: Iterable[HostSeen], owed: Iterable[Debt], router: RouterSeen | None = None
) -> WayBack:
    """Whether the way to the release of ``to`` is open, by what was last seen of the hosts and of the router."""
    if to.release is None:
        return WayBack("closed", reasons=("no earlier release that worked",), seconds=to.seconds)
    reasons: list[str] = []
    for host in hosts:
        if host.kept is not None and to.release not in host.kept:
            reasons.append(no_copy(host.host, to.version))
        elif host.error is not None:
            reasons.append(f"{host.host}: can't be reached")
        elif host.kept is None and host.seen is None:
            reasons.append(f"{host.host}: not seen")
        # else a rollout has just left it, and did not count the copies: it keeps the one that a rollback needs
    reasons += [f"{debt.host}: owed since {debt.since}" for debt in owed]
    if router is not None and router.error is not None:
        reasons.append(f"router {router.name}: {router.error}")
    return msgspec.structs.replace(to, state="degraded" if reasons else "ready", reasons=tuple(reasons))


def no_copy(host: str, version: str | None) -> str:
    """Why the way back to that version is not open on a host, wherever it is told."""
    return f"{host}: no copy of {version}"


def _rollouts(fleet: "PicturedFleet", journal: "Journal") -> tuple[RolloutSeen, ...]:
    living = [r for r in journal.living() if r.target in fleet.targets]
    known = {r.id for r in living}
    recent = [r for r in journal.rollouts(limit=RECENT_ROLLOUTS) if r.target in fleet.targets]
    ended = [r for r in recent if r.id not in known and r.state in ENDED]
    return tuple(_seen(rollout, journal) for rollout in [*reversed(living), *ended])


def _renewed_rollouts(
    before: tuple[RolloutSeen, ...], concerned: Collection[int], fleet: "PicturedFleet", journal: "Journal"
) -> tuple[RolloutSeen, ...]:
    """Only those that events told of are read anew."""
    known = {seen.id: seen for seen in before}
    ended = [seen for seen in before if seen.rollout.state in ENDED]
    living = []
    for rollout in reversed([r for r in journal.living() if r.target in fleet.targets]):
        old = known.get(rollout.id)
        same = old is not None and rollout.id not in concerned
        living.append(old if same and old is not None else _seen(rollout, journal))
    ids = {seen.id for seen in (*living, *ended)}
    for id in sorted(concerned):
        if id not in ids and (rollout := journal.rollout(id)).state in ENDED and rollout.target in fleet.targets:
            ended.append(_seen(rollout, journal))
    ended.sort(key=lambda seen: seen.id, reverse=True)
    return (*living, *ended[:RECENT_ROLLOUTS])


def _seen(rollout: Rollout, journal: "Journal") -> RolloutSeen:
    steps = () if rollout.state in ENDED else tuple(journal.steps(rollout.id))
    wanted = rollout.to_release or (str(rollout.options.get("version") or "") or None)
    return RolloutSeen(rollout, version_of(rollout.from_release), version_of(wanted), steps)


def _by_target(rows: Iterable[_OfTarget]) -> dict[str, list[_OfTarget]]:
    found: dict[str, list[_OfTarget]] = {}
    for row in rows:
        found.setdefault(row.target, []).append(row)
    return found
