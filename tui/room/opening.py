"""How the room is opened, where one is in it, and what lives with it. Values only."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.config.settings import DEFAULTS, Settings
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.tui.room.desk import News
from quarterdeck.tui.room.guide import Incident


class Place(msgspec.Struct, frozen=True):
    """Where one is: a view, the target and the rollout that are chosen, and whether a pane fills the screen. ``focus``: the pane that had
    the keys when one left for another place."""

    view: str = "overview"
    target: str | None = None
    rollout: int | None = None
    zoom: str | None = None
    focus: str | None = None


def utc_now() -> datetime:
    return datetime.now(UTC)


class Opening(msgspec.Struct, frozen=True):
    """How the room is opened. ``observe``: hosts are looked at; else what the journal knows is all there is. ``notice``: what the
    operator should know first (a settings file with faults). ``incident``: what the guide plays, at once; only on the playground."""

    fleet: Fleet
    operator: Operator
    read_only: bool = False
    look: str = "dark"
    target: str | None = None
    slow: bool = False
    settings: Settings = DEFAULTS
    observe: bool = True
    notice: str = ""
    incident: Incident | None = None
    clock: Callable[[], datetime] = utc_now  # what every age on the screen is reckoned from
    known: Picture | None = None  # what the journal said a moment ago, where somebody has read it already


class Companion(Protocol):
    """Something that lives as long as the room: follows logs, observes hosts, tells others who is here."""

    def place_changed(self, place: Place) -> None: ...

    def news_came(self, news: News) -> None: ...

    def close(self) -> None:
        """Ends at once whatever it started; called once, also when the terminal is gone."""
        ...
