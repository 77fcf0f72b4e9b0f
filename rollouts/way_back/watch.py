"""When the way back of a target closes while nothing is rolled out, and when it is open again: noticed once, not at each look.

Pure. A host that is lost for a moment is no news: what has turned must stay so for a while first. What a rollout does meanwhile is its own:
nothing is said of a target that moves, on which nothing runs, or that has no earlier release to go back to.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quarterdeck.rollouts.picture.target import TargetSeen

if TYPE_CHECKING:
    from quarterdeck.history.journal import Journal
    from quarterdeck.history.records import Event

CLOSED: Final = "way_back.closed"
OPEN: Final = "way_back.open"
LISTED: Final = 20  # targets that one message names
LOOKED_BACK: Final = 2000  # events of each kind; who was told of longer ago is told again


class Turned(msgspec.Struct, frozen=True):
    """``closed``: it has closed, else it is open again. ``release``, ``version``: where it leads; ``reasons``: what is in the way."""

    target: str
    closed: bool
    release: str
    version: str
    reasons: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Of its event."""
        return CLOSED if self.closed else OPEN

    def body(self) -> dict[str, Any]:
        """Of its event."""
        return {"release": self.release, "version": self.version, "reasons": list(self.reasons)}


def in_the_way(seen: TargetSeen) -> tuple[str, ...] | None:
    """Nothing: the way back is open. None: nothing is to be said of it."""
    if seen.release is None or seen.moving is not None or seen.back.release is None:
        return None
    return seen.back.reasons if seen.back.state != "ready" else ()


def unready(targets: Iterable[TargetSeen]) -> list[TargetSeen]:
    """Those whose way back is not open, in their order."""
    return [seen for seen in targets if in_the_way(seen)]


class WayWatch:
    """``closed``: the targets of which it was said last that their way back has closed. ``hold``: seconds that
    it must stay as it has turned."""

    def __init__(self, closed: Iterable[str] = (), *, hold: float = 0.0) -> None:
        self._closed = set(closed)
        self._hold = hold
        self._since: dict[str, float] = {}  # when it was first seen to have turned

    @property
    def turning(self) -> frozenset[str]:
        """What must be looked at again though nothing new was seen of it: it has turned, and not for long enough."""
        return frozenset(self._since)

    def look(self, targets: Iterable[TargetSeen], at: float) -> list[Turned]:
        """What has turned and stayed so. ``at``: seconds of a clock that only goes forward. Each is given once; ``said`` remembers it."""
        turned = []
        for seen in targets:
            reasons = in_the_way(seen)
            if reasons is None or bool(reasons) == (seen.target in self._closed):
                self._since.pop(seen.target, None)
            elif at - self._since.setdefault(seen.target, at) >= self._hold:
                back = seen.back
                turned.append(
                    Turned(seen.target, bool(reasons), back.release or "", back.version or "", tuple(reasons))
                )
        return turned

    @property
    def closed(self) -> frozenset[str]:
        return frozenset(self._closed)

    def said(self, turned: Turned) -> None:
        """It is journalled, by whom ever. What was known already changes nothing: one's own words may come back when it has begun to turn
        again."""
        if turned.closed is (turned.target in self._closed):
            return
        self._since.pop(turned.target, None)
        if turned.closed:
            self._closed.add(turned.target)
        else:
            self._closed.discard(turned.target)


def is_said_closed(journal: "Journal", target: str) -> bool:
    """Whether the journal says last of the target that its way back has closed. Raises JournalError."""
    last = [
        event
        for kind in (CLOSED, OPEN)
        for event in journal.events(target=target, kind=kind, newest_first=True, limit=1)
    ]
    return bool(last) and max(last, key=lambda event: event.seq).kind == CLOSED


def turned_of(event: "Event") -> Turned:
    """What such an event tells."""
    body = event.body
    reasons = tuple(str(reason) for reason in body.get("reasons") or ())
    return Turned(event.target or "", event.kind == CLOSED, str(body.get("release")), str(body.get("version")), reasons)


def said_closed(journal: "Journal") -> set[str]:
    """The targets of which the journal says last that their way back has closed. Raises JournalError."""
    last: dict[str, Event] = {}
    for kind in (CLOSED, OPEN):
        for event in journal.events(kind=kind, newest_first=True, limit=LOOKED_BACK):
            if event.target is not None and ((known := last.get(event.target)) is None or known.seq < event.seq):
                last[event.target] = event
    return {target for target, event in last.items() if event.kind == CLOSED}


def values_of(turned: Sequence[Turned], fleet: str, by: str, time: str) -> Mapping[str, str]:
    """What may stand in ``{{…}}`` of one notification about all of them; they turned the same way, together. Nothing else is said of
    environment, service, version and release than those of the first."""
    first = turned[0]
    environment, _, service = first.target.partition("/")
    state = "closed" if first.closed else "open"
    more = f" and {len(turned) - 1} more" if len(turned) > 1 else ""
    lines = [_outcome(one) if len(turned) == 1 else f"{one.target}: {_outcome(one)}" for one in turned[:LISTED]]
    lines += [f"… and {len(turned) - LISTED} more: qd ready"] if len(turned) > LISTED else []
    return {
        "event": f"the way back is {state}",
        "state": state,
        "outcome": "\n".join(lines),
        "reason": "",
        "by": by,
        "rollout": "",
        "kind": "rollback",
        "version": first.version,
        "release": first.release,
        "target": f"{first.target}{more}",
        "environment": environment,
        "service": service,
        "fleet": fleet,
        "time": time,
    }


def _outcome(turned: Turned) -> str:
    if not turned.closed:
        return f"{turned.version} can be put back again"
    return f"{turned.version} can't be put back as it is: {'; '.join(turned.reasons)}"
