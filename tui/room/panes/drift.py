"""Drift: every host that does not run what was released to it, every router that somebody changed by hand, and those of both that can't
be asked, with their age."""

import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.hosts import counted
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.once import Once
from quarterdeck.tui.room.rows import Joined, Lazily, Role, Row, Span, ellipsis, pad

WIDE = 110  # columns from which names have all the room they want


def drifting(picture: Picture, find: Matcher = EVERYTHING) -> list[tuple[TargetSeen, HostSeen]]:
    """What differs first, then what is not known; the last environment (production) before the others."""
    order = {name: -number for number, name in enumerate(picture.environments)}
    found = [
        (seen, host)
        for seen in picture.targets.values()
        if seen.release is not None
        for host in (*(seen.hosts if _differs(seen) else ()), *_router(seen))
        if (host.drift or host.error is not None) and find.matches(_searched(seen, host))
    ]
    return sorted(
        found, key=lambda pair: (not pair[1].drift, order.get(pair[0].environment, 0), pair[0].target, pair[1].host)
    )


def _differs(seen: TargetSeen) -> bool:
    """Whether one of its hosts drifts or can't be asked: most are asked no further."""
    return seen.unasked or any(kind.drift for kind, _ in counted(seen.hosts))


def _router(seen: TargetSeen) -> tuple[HostSeen, ...]:
    """As if it were a host, on which nothing runs."""
    router = seen.router
    if router is None:
        return ()
    why = router.error and " ".join(router.error.split())
    return (
        HostSeen(
            router.name, version="-", seen=router.seen, error=why, drift=bool(router.changed), changed=router.changed
        ),
    )


def _searched(seen: TargetSeen, host: HostSeen) -> str:
    """All that a filter looks at: what the row says."""
    return f"{seen.target} {host.host} {seen.version} {host.version or host.release or 'nothing'} {_why(host)}"


def _why(host: HostSeen) -> str:
    return host.trouble or "; ".join(host.changed) or "not expected: D or R puts it right"


def drift_rows(
    picture: Picture,
    found: Sequence[tuple[TargetSeen, HostSeen]],
    chosen: tuple[str, str] | None,
    width: int,
    find: Matcher = EVERYTHING,
    now: datetime | None = None,
) -> Sequence[Row]:
    """``found``: what drifts and passes the filter ``find``."""
    if not found and find.active and drifting(picture):
        return [(Span(" nothing passes the filter", Role.DIM),)]
    if not found:
        known = sum(
            count for seen in picture.targets.values() for kind, count in counted(seen.hosts) if kind.seen is not None
        )
        text = f"no drift: {known} hosts of targets run what was released" if known else "no host has been seen yet"
        return [(Span(f" = {text}", Role.OK if known else Role.DIM),)]
    wide, host_wide, short = (22, 14, 14) if width >= WIDE else (18, 8, 8)
    head: list[Row] = [
        (
            Span(
                f"   {pad('TARGET', wide)} {pad('HOST', host_wide)} {pad('RELEASED', short)} {pad('RUNS', short)} SEEN WHY",
                Role.DIM,
            ),
        )
    ]

    def made(at: int) -> Row:
        seen, host = found[at]
        here = chosen == (seen.target, host.host)
        role = Role.DRIFT if host.drift else Role.STALE
        why = _why(host)
        line = (
            f"{pad(seen.target, wide)} {pad(host.host, host_wide)} {pad(seen.version or '-', short)}"
            f" {pad(host.version or host.release or 'nothing', short)} {pad(age(host.seen, now), 4)} "
        )
        mark = "~" if host.drift else "?"
        return (
            Span(f"{'>' if here else ' '}{mark} ", role),
            Span(line, Role.STRONG if here else Role.PLAIN),
            Span(ellipsis(why, max(width - len(line) - 3, 0)), role),
        )

    whole = _whole(next((host for seen, host in found if chosen == (seen.target, host.host)), None), width)
    return Joined(head, Lazily(len(found), made), whole)


def _whole(host: HostSeen | None, width: int) -> list[Row]:
    """What was changed on the chosen host, with nothing cut off."""
    if host is None or not host.changed:
        return []
    rows: list[Row] = [(), (Span(f" {host.host}", Role.STRONG),)]
    for words in host.changed:
        rows += [(Span(f"   {line}", Role.DRIFT),) for line in textwrap.wrap(words, max(width - 4, 20))]
    return rows


class Drift(Pane):
    """The chosen host is known by its target and name, and is always one of the chosen target: no key acts on what is not marked."""

    name_of: ClassVar[str] = "drift"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.host: tuple[str, str] | None = None
        self._once = Once(drifting)

    def heading(self) -> str:
        return "drift: declared against running"

    def heading_right(self) -> str:
        target = self.room.place.target
        act = f"keys act on {target}   " if target is not None and self.chosen() is None else ""
        return f"{act}c compares environments"

    def _found(self) -> list[tuple[TargetSeen, HostSeen]]:
        return self._once.of(self.room.picture, self.matcher)

    def _keys(self) -> list[tuple[str, str]]:
        return [(seen.target, host.host) for seen, host in self._found()]

    def chosen(self) -> tuple[str, str] | None:
        here = [key for key in self._keys() if key[0] == self.room.place.target]
        return self.host if self.host in here else (here[0] if here else None)

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        return drift_rows(room.picture, self._found(), self.chosen(), size.width, self.matcher, room.now())

    def chosen_row(self) -> int | None:
        chosen = self.chosen()
        return self._keys().index(chosen) + 1 if chosen is not None else None

    def move(self, by: int) -> None:
        keys, chosen = self._keys(), self.chosen()
        if keys:
            at = keys.index(chosen) + by if chosen is not None else 0
            self.host = keys[max(0, min(at, len(keys) - 1))]
            self.room.choose(self.host[0])

    def open_chosen(self) -> None:
        chosen = self.chosen()
        if chosen is not None:
            self.room.visit("health", target=chosen[0])
