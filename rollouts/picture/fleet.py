"""The picture that a screen shows of a fleet: frozen values, made from the journal alone. Nothing here asks a host."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeGuard

import msgspec

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import ENDED, Debt, Event, MadeFreeze, Said, Standing
from quarterdeck.rollouts.picture.hosts import HostsSeen, Names, names_of
from quarterdeck.rollouts.picture.rollout import RolloutSeen, renewed_rollouts, rollouts_seen
from quarterdeck.rollouts.picture.target import TargetSeen, looked_at_again, target_seen

if TYPE_CHECKING:  # the first paint has a description of the fleet of its own, and no time for what reads fleet files
    from quarterdeck.history.journal import Journal
    from quarterdeck.rollouts.picture.needs import PicturedFleet, PicturedTarget


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
HOSTS_AT_ONCE: Final = 2000  # of which it is read together what they said
TARGETS_AT_ONCE: Final = 100


class Picture(msgspec.Struct, frozen=True, eq=False):
    """The fleet as one value. ``head``: the last event that is in it. Two that show the same are equal, whatever ``observed`` says."""

    fleet: str
    environments: tuple[str, ...]
    services: tuple[str, ...]
    targets: Mapping[str, TargetSeen] = msgspec.field(default_factory=dict)
    rollouts: tuple[RolloutSeen, ...] = ()  # those that have not ended, newest first, then the newest ended ones
    head: int = 0
    around: Around = _ALONE
    observed: Mapping[str, int] = msgspec.field(default_factory=dict)  # see Hosts.observed, when hosts were read
    previews: Mapping[str, str] = msgspec.field(
        default_factory=dict
    )  # environments with a lifetime, and when it is over (ISO 8601 UTC)

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

    def is_over(self, environment: str, now: str) -> bool:
        """Whether it is a preview whose lifetime is over at ``now`` (ISO 8601 UTC)."""
        until = self.previews.get(environment)
        return until is not None and until[:19] <= now[:19]

    def rollout(self, id: int) -> RolloutSeen | None:
        return next((seen for seen in self.rollouts if seen.id == id), None)

    @property
    def moving(self) -> tuple[RolloutSeen, ...]:
        return tuple(seen for seen in self.rollouts if seen.rollout.state not in ENDED)


def empty_picture(fleet: "PicturedFleet") -> Picture:
    """What can be shown before the journal was read."""
    names = Names()
    targets = {
        name: TargetSeen(name, target.environment, target.service, hosts=HostsSeen(names.of(target)))
        for name, target in fleet.targets.items()
    }
    return Picture(fleet.name, promotion_order(fleet), fleet.services, targets, previews=lifetimes(fleet))


def is_of(picture: Picture | None, fleet: "PicturedFleet") -> "TypeGuard[Picture]":
    """Whether it is a picture of this fleet, as the fleet is declared now."""
    return (
        picture is not None
        and (picture.fleet, picture.environments, picture.services)
        == (fleet.name, promotion_order(fleet), fleet.services)
        and picture.previews == lifetimes(fleet)
        and picture.targets.keys() == fleet.targets.keys()
        and _same_hosts(picture, fleet)
    )


def _same_hosts(picture: Picture, fleet: "PicturedFleet") -> bool:
    names = Names()
    pairs = {
        (id(seen), id(declared)): (seen, declared)  # many targets have the same hosts
        for seen, declared in (
            (names_of(picture.targets[name].hosts), names.of(target)) for name, target in fleet.targets.items()
        )
    }
    return all(seen == declared for seen, declared in pairs.values())


def promotion_order(fleet: "PicturedFleet") -> tuple[str, ...]:
    """The environments as a release goes through them, the last one being production; equals in the order of the file."""

    def depth(name: str | None) -> int:
        steps = 0
        while name is not None and (environment := fleet.environments.get(name)) is not None:
            name, steps = environment.after, steps + 1
        return steps

    return tuple(sorted(fleet.environments, key=depth))


def lifetimes(fleet: "PicturedFleet") -> dict[str, str]:
    """The previews, and when each is over."""
    return {name: one.until for name, one in fleet.environments.items() if one.until is not None}


def take_picture(fleet: "PicturedFleet", journal: "Journal", only: Collection[str] | None = None) -> Picture:
    """The whole picture as the journal has it now. ``only``: no other targets than these are in it."""
    head, _ = journal.head()
    wanted = {name: target for name, target in fleet.targets.items() if only is None or name in only}
    standings = journal.standings(None if only is None else tuple(wanted))
    owed = _by_target(journal.debts())
    names = Names()
    targets: dict[str, TargetSeen] = {}
    observed: dict[str, int] = {}
    for name, said in _what_hosts_said(wanted, journal):
        target = wanted[name]
        if said is not None:
            observed[name] = said.fingerprint
        standing = standings.get(name, Standing(name))
        targets[name] = target_seen(target, names.of(target), standing, said, owed.get(name, ()), journal)
    return Picture(
        fleet.name,
        promotion_order(fleet),
        fleet.services,
        targets,
        rollouts_seen(fleet, journal),
        head,
        around(journal),
        observed,
        lifetimes(fleet),
    )


def _what_hosts_said(targets: "Mapping[str, PicturedTarget]", journal: "Journal") -> Iterator[tuple[str, Said | None]]:
    """Some targets at a time: a question for each takes long, and of a large fleet it all is more than one wants in memory at once."""
    names: list[str] = []
    hosts = 0
    for name, target in targets.items():
        names.append(name)
        hosts += len(target.hosts)
        if hosts >= HOSTS_AT_ONCE or len(names) >= TARGETS_AT_ONCE:
            yield from _each(names, journal)
            names, hosts = [], 0
    yield from _each(names, journal)


def _each(names: Sequence[str], journal: "Journal") -> Iterator[tuple[str, Said | None]]:
    said = journal.said(names) if names else {}
    return ((name, said.get(name)) for name in names)


def renew(
    picture: Picture, fleet: "PicturedFleet", journal: "Journal", events: Iterable[Event], *, looked: bool
) -> Picture:
    """``picture`` brought up to what ``events`` tell; what they don't concern stays the same object.

    ``looked``: what hosts were last seen running may have changed as well. ``picture`` itself when nothing did.
    """
    news = list(events)
    told = {event.target for event in news if event.target is not None and event.target in fleet.targets}
    looked = looked or any(event.kind.startswith("freeze") for event in news)
    observed = dict(picture.observed)
    targets = dict(picture.targets)
    names = Names()
    if told:
        standings = journal.standings(tuple(told))
        owed = _by_target(journal.debts())
        for name, said in _what_hosts_said({name: fleet.targets[name] for name in told}, journal):
            if said is not None:
                observed[name] = said.fingerprint
            target, standing = fleet.targets[name], standings.get(name, Standing(name))
            targets[name] = target_seen(target, names.of(target), standing, said, owed.get(name, ()), journal)
    if looked:
        found = journal.observed()
        other = {
            name: fleet.targets[name]
            for name, now in found.items()
            if now != observed.get(name) and name in fleet.targets and name in targets
        }
        for name, said in _what_hosts_said(other, journal):
            observed[name] = said.fingerprint if said is not None else found[name]
            targets[name] = looked_at_again(targets[name], other[name], names.of(other[name]), said, journal)
    changed = any(seen is not picture.targets.get(name) for name, seen in targets.items())
    concerned = {event.rollout for event in news if event.rollout is not None}
    renewed = msgspec.structs.replace(
        picture,
        targets=targets if changed else picture.targets,
        rollouts=renewed_rollouts(picture.rollouts, concerned, fleet, journal) if concerned else picture.rollouts,
        head=news[-1].seq if news else picture.head,
        around=around(journal) if looked else picture.around,
        observed=observed,
    )
    same = renewed.around == picture.around and observed == picture.observed
    return picture if same and not news and not changed else renewed


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


def _by_target(debts: Iterable[Debt]) -> dict[str, list[Debt]]:
    found: dict[str, list[Debt]] = {}
    for debt in debts:
        found.setdefault(debt.target, []).append(debt)
    return found
