"""How a host was last seen, beside what it should run: what somebody else put there is drift, what a rollout did there is not.

Values for pictures, made from the journal alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import Observation, Rollout
from quarterdeck.rollouts.picture.swarm import ASKED, KEY, SwarmSeen, swarm_seen
from quarterdeck.rollouts.version_words import shown


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
    swarm: SwarmSeen | None = None  # where the host is a Swarm that was seen: what runs on which of its nodes

    @property
    def trouble(self) -> str:
        """``error`` where the host's name stands beside it."""
        return (self.error or "").removeprefix(f"{self.host}: ")


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


class _Told(NamedTuple):
    """What the body of an observation says of a host."""

    never: bool
    detail: str
    kept: frozenset[str] | None
    changed: tuple[str, ...]
    warm: frozenset[str]
    swarm: SwarmSeen | None


def _told_by(body: Mapping[str, Any]) -> _Told:
    kept = body.get("kept")
    return _Told(
        bool(body.get("never")),
        clean(str(body.get("detail", ""))),
        frozenset(kept) if kept is not None else None,
        tuple(clean(str(words)) for words in body.get("drift", ())),
        frozenset(body.get("warm", ())),
        swarm_seen(body[KEY], body.get(ASKED)) if KEY in body else None,
    )


def host_seen(name: str, seen: Observation, expected: Expected) -> HostSeen:
    """The host of that name as it was seen, beside what it should run."""
    body = _told_by(seen.body)
    changed = body.changed if expected.is_settled(seen) else ()
    return HostSeen(
        name,
        seen.release,
        shown(seen.version),
        expected.health(seen),
        None if body.never else seen.time,
        None if seen.error is None else clean(seen.error),
        expected.is_drift(seen) or bool(changed),
        changed,
        body.detail,
        body.kept,
        body.warm,
        body.swarm,
    )


def healths_of(hosts: Iterable[HostSeen]) -> list[str]:
    """For ``health_of``: one a host. A Swarm on which some of the tasks are well, and not all, is well in part."""
    found = []
    for host in hosts:
        found.append(host.health)
        if host.swarm is not None and host.health == "unhealthy" and host.swarm.in_part(host.release):
            found.append("healthy")
    return found


def health_of(states: Iterable[str]) -> str:
    """healthy: all hosts are; down: none of those that are known; unknown: nothing is known; else degraded."""
    every = list(states)
    known = [state for state in every if state != "unknown"]
    if not known:
        return "unknown"
    if all(state == "healthy" for state in every):
        return "healthy"
    return "degraded" if "healthy" in known else "down"
