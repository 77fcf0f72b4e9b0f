"""The first line: fleet, how live it is, who one is and may do what, who else is here, where this runs, the clock in UTC.

Everything but the clock is so coarse that it stands still while nothing happens.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec

from quarterdeck.rollouts.freezes import Frozen
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.hosts import lost_of, named, names_of
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.ages import coarse, since
from quarterdeck.tui.room.boxes import CLOCK_WIDTH, WIDE_WIDTH
from quarterdeck.tui.room.freezing import frozen_environments, header_span
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.permission import Standing
from quarterdeck.tui.room.rows import Role, Row, Span, row, spread, width_of

STALE = 30.0  # seconds without a word of an observer: what is shown is not live any more


class Way(msgspec.Struct, frozen=True):
    """How this room comes to know of the hosts. ``pid``: of this room."""

    pid: int
    read_only: bool = False
    observe: bool = True


def live(picture: Picture, way: Way, now: datetime) -> Span:
    """Whether somebody looks at the hosts, and how old the newest look is."""
    if picture.around.looked:
        seconds = since(picture.around.looked)
        return (
            Span(f"LIVE {coarse(seconds)}", Role.OK) if seconds < STALE else Span(f"STALE {coarse(seconds)}", Role.BAD)
        )
    newest = _hosts(picture).newest
    old = f" {age(newest, now)} old" if newest else ""
    if way.read_only:
        return Span(f"READ-ONLY no observer{old}", Role.WARN)
    if not way.observe:
        return Span(f"CACHED{old or ' nothing seen'}", Role.WARN)
    return Span(f"STALE{old}" if newest else "NOT SEEN YET", Role.WARN)


class _Hosts(msgspec.Struct, frozen=True):
    """What a picture says of all hosts, whatever the time is. ``newest``: when one was seen last; empty: none ever was. ``lost``: the one
    that has been lost longest, and when it was seen last."""

    picture: Picture
    newest: str
    fine: int
    total: int
    others_lost: int
    lost: str
    lost_seen: str


_known: _Hosts | None = None  # of the last picture: a header is built far more often than a picture is made


def _hosts(picture: Picture) -> _Hosts:
    global _known
    if _known is not None and _known.picture is picture:
        return _known
    every = {name for names in {names_of(target.hosts) for target in picture.targets.values()} for name in names}
    newest = max((target.newest for target in picture.targets.values()), default="")
    lost = _lost(picture)
    # Those that were never seen come last.
    longest = min(lost, key=lambda name: (lost[name] or "~", name), default="")
    others = max(len(lost) - 1, 0)
    _known = _Hosts(picture, newest, len(every) - len(lost), len(every), others, longest, lost.get(longest, ""))
    return _known


def _lost(picture: Picture) -> dict[str, str]:
    """The hosts that no target tells to be well, and when each was seen last; empty: it never was. Only those that one target does not find
    are asked for in the others."""
    seen = {
        name: ""
        for target in picture.targets.values()
        if target.unasked or target.oldest is None
        for name in lost_of(target.hosts)
    }
    fine: set[str] = set()
    shared: dict[tuple[str, ...], set[str]] = {}
    for target in picture.targets.values() if seen else ():
        names = names_of(target.hosts)
        here = shared.get(names)
        if here is None:
            here = shared[names] = set(seen).intersection(names)
        for host in named(target.hosts, here - fine):
            seen[host.host] = max(seen[host.host], host.seen or "")
            if host.seen and host.error is None:
                fine.add(host.host)
    return {name: time for name, time in seen.items() if name not in fine}


def reachable(picture: Picture, now: datetime) -> tuple[int, int, str]:
    """How many hosts can be asked, how many there are, and the one that has been lost longest: ``mail-1 stale 7m``."""
    hosts = _hosts(picture)
    words = ""
    if hosts.lost:
        words = f"{hosts.lost} stale {age(hosts.lost_seen, now)}" if hosts.lost_seen else f"{hosts.lost} never seen"
        words += f" +{hosts.others_lost}" if hosts.others_lost else ""
    return hosts.fine, hosts.total, words


def others(picture: Picture, pid: int, *, wide: bool) -> str:
    """``+lena``, ``+lena +2``; ``wide``: with what they have open."""
    here = [one for one in picture.around.here if one.pid != pid]
    if not here:
        return ""
    names = [one.who.partition("@")[0] + (f" {one.target}" if wide and one.target else "") for one in here]
    shown = names[: 2 if wide else 1]
    return " +" + " +".join([*shown, str(len(names) - len(shown))] if len(names) > len(shown) else shown)


def header_row(
    picture: Picture,
    fault: str,
    standing: Standing,
    way: Way,
    bastion: str,
    now: datetime,
    width: int,
    frozen: Sequence[tuple[str, Frozen]] = (),
) -> Row:
    """Everything but the clock, the most important first; what does not fit is left out whole. A journal that can't be read is said
    in place of how live it is."""
    wide = width + CLOCK_WIDTH >= WIDE_WIDTH
    writes = standing.role == "operator"
    found, total, lost = reachable(picture, now)
    right = row(f"| {bastion} |")
    left = [*row(Span(" qd ", Role.STRONG), Span(picture.fleet, Role.STRONG))]
    hosts = f"hosts {found}/{total} reachable" + (f" ({lost})" if lost and wide else "")
    parts = (
        Span(f"JOURNAL: {fault}", Role.BAD) if fault else live(picture, way, now),
        Span(
            f"{'RW' if writes else 'RO'} {standing.operator.label.partition('@')[0]}:{standing.role}"
            + others(picture, way.pid, wide=wide),
            Role.PLAIN if writes else Role.WARN,
        ),
        None,  # the freezes, in as many words as there is room for
        Span(f"workers {picture.around.workers} up" if picture.around.workers or wide else ""),
        Span(hosts, Role.STALE if lost else Role.PLAIN),
        Span(f"journal {picture.around.journal_bytes / 1e6:.1f} MB" if wide else ""),
    )
    for one in parts:
        room = width - width_of(left) - 3 - 1 - width_of(right)
        part = one if one is not None else header_span(frozen, wide=wide, room=room)
        needed = width_of(left) + 3 + len(part.text) + 1 + width_of(right)
        if part.text and (needed <= width or len(left) <= 4):
            left += [Span(" | "), part]
    if width_of(left) + 1 + width_of(right) > width:
        right = row("|")
    return spread([*left, Span(" ")], right, width)


class Header(Pane, can_focus=False):
    name_of: ClassVar[str] = "header"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        where = room.standing.operator.where.split(" ")[0].split(".")[0]
        way = Way(os.getpid(), room.opening.read_only, room.opening.observe)
        now = room.now()
        frozen = frozen_environments(room.fleet.environments, room.picture, now)
        return [header_row(room.picture, room.fault, room.standing, way, where, now, size.width, frozen)]


class Clock(Pane, can_focus=False):
    """Beside the header, in a pane of its own: a line is sent again from its beginning to what changed in it, each second."""

    name_of: ClassVar[str] = "clock"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:  # noqa: ARG002 - it is as long as it is
        return [row(Span(self.room.now().strftime(" %H:%M:%SZ"), Role.STRONG))]
