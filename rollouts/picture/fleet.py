"""The picture that a screen shows of a fleet: frozen values, made from the journal alone. Nothing here asks a host."""

import os
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeGuard, TypeVar

import msgspec

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import ENDED, ROUTER, Debt, Event, MadeFreeze, Observation, Standing
from quarterdeck.rollouts.picture.host import HostSeen, shows_another
from quarterdeck.rollouts.picture.rollout import RolloutSeen, renewed_rollouts, rollouts_seen
from quarterdeck.rollouts.picture.router import shows_another_look
from quarterdeck.rollouts.picture.target import TargetSeen, looked_at_again, target_seen

if TYPE_CHECKING:  # the first paint has a description of the fleet of its own, and no time for what reads fleet files
    from quarterdeck.history.journal import Journal
    from quarterdeck.rollouts.picture.needs import PicturedFleet

_OfTarget = TypeVar("_OfTarget", Debt, Observation)


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
    targets = {
        name: TargetSeen(name, target.environment, target.service, hosts=tuple(HostSeen(h.name) for h in target.hosts))
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


def lifetimes(fleet: "PicturedFleet") -> dict[str, str]:
    """The previews, and when each is over."""
    return {name: one.until for name, one in fleet.environments.items() if one.until is not None}


def take_picture(fleet: "PicturedFleet", journal: "Journal", only: Collection[str] | None = None) -> Picture:
    """The whole picture as the journal has it now. ``only``: no other targets than these are in it."""
    head, _ = journal.head()
    wanted = {name: target for name, target in fleet.targets.items() if only is None or name in only}
    observed = (
        journal.observed() if only is None else {}
    )  # before the rows: what comes in between is then read once more
    standings = journal.standings(None if only is None else tuple(wanted))
    owed = _by_target(journal.debts())
    targets = {
        # Target by target: of a large fleet what hosts said is more than one wants in memory at once.
        name: target_seen(
            target, standings.get(name, Standing(name)), journal.observations(name), owed.get(name, ()), journal
        )
        for name, target in wanted.items()
    }
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
            targets[str(name)] = target_seen(target, standing, observations, owed.get(str(name), ()), journal)
        elif (known := targets.get(str(name))) is not None:
            targets[str(name)] = looked_at_again(known, target, observations, journal)
    concerned = {event.rollout for event in news if event.rollout is not None}
    rollouts = renewed_rollouts(picture.rollouts, concerned, fleet, journal) if concerned else picture.rollouts
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
        if shows_another(picture.targets[name].hosts, journal.observations(name))
        or (
            ROUTER in observed[name]
            and shows_another_look(picture.targets[name].router, journal.router_observation(name))
        )
    }


def _by_target(rows: Iterable[_OfTarget]) -> dict[str, list[_OfTarget]]:
    found: dict[str, list[_OfTarget]] = {}
    for row in rows:
        found.setdefault(row.target, []).append(row)
    return found
