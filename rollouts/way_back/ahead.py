"""Whether there is a way back from a deploy that is about to begin. Pure: what hosts, journal, registry and the secrets' sources said
is given.

The way leads to the release that a rollback after it would bring back: the last good one. It is open where each host that moves has a copy
of it, or can fetch one, and its secrets can be read. Before anything was ever good there is none to be had, and a host on which nothing
runs has none of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.rollouts.picture.target import no_copy, no_image
from quarterdeck.rollouts.plans.plan import HostNow

OPEN = "open"
FIRST = "first"  # nothing was ever good there: there is none, and nothing is wrong
CLOSED = "closed"


class BackFrom(msgspec.Struct, frozen=True):
    """``to`` and ``version``: where it leads, None: nowhere. ``copies``: hosts that have one; ``fetched``: hosts that would
    fetch one, as a Swarm always does; ``bare``: hosts on which nothing runs yet."""

    state: str
    to: str | None = None
    version: str | None = None
    reasons: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """``open: v1 lies on 3 hosts; box-2 can fetch it``, ``open: sw can fetch v1``, ``closed: web-2: no copy of v1``."""
        if self.state == CLOSED:
            return f"closed: {'; '.join(self.reasons)}"
        if self.state == FIRST:
            return "none: nothing that worked was ever there"
        parts = []
        if self.copies or not self.fetched:
            parts.append(f"{self.version} lies on {len(self.copies)} host{'s' if len(self.copies) != 1 else ''}")
        if self.fetched:
            parts.append(f"{', '.join(self.fetched)} can fetch {'it' if parts else self.version}")
        if self.bare:
            parts.append(f"nothing runs yet on {', '.join(self.bare)}")
        return f"open: {'; '.join(parts)}"

    def value(self) -> dict[str, Any]:
        """As the plan holds it."""
        return dict(msgspec.to_builtins(self)) | {"words": self.words}


def without_copy(release: str, hosts: Iterable[HostNow]) -> list[str]:
    """Those that answered and have no intact copy of it: neither its directory, nor its image, nor a container of it."""
    return [host.host for host in hosts if host.error is None and release not in host.kept]


def back_from(
    to: str,
    version: str,
    hosts: Sequence[HostNow],
    *,
    fetchable: bool,
    fetch_fault: str = "",
    secrets: Mapping[str, str],
) -> BackFrom:
    """The way to the release ``to``. ``hosts``: those that move. ``fetchable``: whether a host without a copy fetches it by itself, which
    it can't because of ``fetch_fault``. ``secrets``: by name what became of them (see ``old_secrets``)."""
    bare = tuple(host.host for host in hosts if host.error is None and host.current is None)
    lacking = [name for name in without_copy(to, hosts) if name not in bare]
    reasons = []
    swarms = [host.host for host in hosts if host.swarm and host.error is None]
    if lacking and not fetchable:
        reasons = [no_image(name, version) if name in swarms else no_copy(name, version) for name in lacking]
    elif lacking and fetch_fault:
        without = [name for name in lacking if name not in swarms]
        reasons = [
            f"{name}: the image of {version} can't be fetched: {fetch_fault}" for name in lacking if name in swarms
        ]
        if without:
            reasons.append(f"{no_copy(', '.join(without), version)}, and it can't be fetched: {fetch_fault}")
    reasons += [
        f"secret {name} of {version} can't be read" for name, state in secrets.items() if state == "unavailable"
    ]
    copies = tuple(host.host for host in hosts if host.error is None and to in host.kept and not host.swarm)
    fetched = () if reasons else tuple(name for name in swarms if name not in bare and name not in lacking)
    fetched += () if reasons else tuple(lacking)
    return BackFrom(CLOSED if reasons else OPEN, to, version, tuple(reasons), copies, fetched, bare)


def back_to_nothing(hosts: Sequence[HostNow], known: Iterable[str], *, was_good: bool) -> BackFrom:
    """Where no release is good that a rollback could bring back. ``known``: releases of the journal; ``was_good``: whether another one was
    good once, and is bad now."""
    ours = set(known)
    strange = [
        f"{host.host} runs {host.current}" for host in hosts if host.current is not None and host.current not in ours
    ]
    if strange:
        return BackFrom(
            CLOSED, reasons=(f"the journal does not know what runs there ({', '.join(strange)}): qd adopt first",)
        )
    if was_good:
        return BackFrom(CLOSED, reasons=("no earlier release that worked",))
    return BackFrom(FIRST)
