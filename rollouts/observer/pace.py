"""How often which target is looked at: what somebody has open most often, what nobody looks at hardly ever. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.records import Presence

VIEWS_OF_ALL: Final = frozenset({"overview", "health", "drift", "readiness"})
"""Views of the control room that show every target."""

VIEWS_OF_FIGURES: Final = frozenset({"overview", "health"})
"""Views that show what the containers of the target that is open use: on its card, or in rows."""


class Pace(msgspec.Struct, frozen=True):
    """Seconds between two looks, and of waiting. ``many``: with more hosts than that, what nobody has open is looked at rarely."""

    chosen: float = 2.0  # targets that somebody has open, or that a rollout is changing
    shown: float = 10.0  # targets that somebody sees in a list
    rest: float = 60.0
    vitals: float = 5.0  # of hosts of chosen targets; of the others at most as often as they are looked at
    many: int = 50
    looks: float = 20.0  # a second at most at what nobody has open: each is a login, and some milliseconds of processor
    hold: float = 30.0  # that a way back must stay closed, or open again, before it is told


def intervals(fleet: Fleet, presences: Iterable[Presence], moving: Collection[str], pace: Pace) -> Mapping[str, float]:
    """Seconds between two looks, for every target of the fleet."""
    here = list(presences)
    close = {one.target for one in here} | set(moving)
    placed = sum(len(target.hosts) for target in fleet.targets.values())
    other = pace.shown if _listed(fleet, here, pace) else max(pace.rest, placed / pace.looks)
    return {name: pace.chosen if name in close else other for name in fleet.targets}


def figured(fleet: Fleet, presences: Iterable[Presence]) -> frozenset[str]:
    """The targets of which somebody sees what their containers use: nobody else is worth the asking."""
    seen = {one.target for one in presences if one.view in VIEWS_OF_FIGURES}
    return frozenset(name for name, target in fleet.targets.items() if name in seen and target.container is not None)


def on_screen(fleet: Fleet, presences: Iterable[Presence], pace: Pace) -> frozenset[str]:
    """The targets that somebody sees, and wants to see anew when asking for it."""
    here = list(presences)
    if _listed(fleet, here, pace):
        return frozenset(fleet.targets)
    return frozenset(one.target for one in here if one.target is not None)


def _listed(fleet: Fleet, presences: Iterable[Presence], pace: Pace) -> bool:
    return len(fleet.hosts) <= pace.many and any(one.view in VIEWS_OF_ALL for one in presences)
