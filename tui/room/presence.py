"""The room's observer: started with the room, told what it shows, started again when it dies, ended with it. Also says to the desk
whose figures are on the screen. Asks no host by itself."""

import time
from typing import TYPE_CHECKING

from quarterdeck.rollouts.observer.pace import Pace
from quarterdeck.rollouts.observer.spawn import ObserverProcess

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room
    from quarterdeck.tui.room.desk import News
    from quarterdeck.tui.room.opening import Place

FIRST_AGAIN, LONGEST_AGAIN = 1.0, 30.0  # seconds until an observer that died is started again
SETTLED = 60.0  # seconds after which one that lives is taken for sound
SLOWEST_CHOSEN = 15.0  # seconds between two looks at what is chosen: else it could not be called live
FIGURES = ("health", "vitals")  # panes that show a target's figures


class Observing:
    """A companion of the room. ``observer`` is None in a room that only reads, or was told to ask no host."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._ended = False
        self.observer: ObserverProcess | None = None
        self._wanted = room.opening.observe and not room.opening.read_only
        self._failures = 0
        self._started = 0.0
        self._again = 0.0

    def begin(self) -> None:
        """After the first frame: nothing may delay that."""
        self._watch()
        self._keep()

    def refresh(self) -> bool:
        """Lets the hosts be looked at now; False when this room has no observer to say it to."""
        if self.observer is None or not self.observer.alive:
            return False
        self.observer.say(refresh=True)
        return True

    def fleet_changed(self) -> None:
        """The fleet file was read anew."""
        if self.observer is not None:
            self.observer.say(fleet=str(self._room.fleet.file), reload=True)

    # what a companion is told

    def place_changed(self, place: "Place") -> None:
        if self.observer is not None:
            self.observer.say(view=place.view, target=place.target)
        self._watch()

    def news_came(self, news: "News") -> None:  # noqa: ARG002 - a companion
        self._watch()  # panes come and go with the terminal's size
        self._keep()

    def close(self) -> None:
        self._ended = True
        if self.observer is not None:
            self.observer.close()

    # the process

    def _keep(self) -> None:
        """Starts it, or starts it again when it died, ever more rarely."""
        now = time.monotonic()
        if not self._wanted or self._ended or now < self._again:
            return
        if self.observer is not None and self.observer.alive:
            if now - self._started > SETTLED:
                self._failures = 0
            return
        self._again = now + min(FIRST_AGAIN * 2**self._failures, LONGEST_AGAIN)
        self._failures += 1
        self._started = now
        place = self._room.place
        try:
            self.observer = ObserverProcess(
                self._room.fleet,
                self._room.opening.operator,
                view=place.view,
                target=place.target,
                pace=pace_of(self._room.settings.rates.observe),
            )
        except OSError:
            self.observer = None  # no process can be made: tried again, and the header says how old everything is

    def _watch(self) -> None:
        shown = {pane.name_of for pane in self._room.visible_panes()}
        chosen = self._room.fleet.targets.get(self._room.place.target or "")
        figures = FIGURES if chosen is None or chosen.container is None else (*FIGURES, "card")
        target = self._room.place.target if shown.intersection(figures) else None
        self._room.desk.watch(target, everything="health-list" in shown)


def pace_of(observe: float) -> Pace:
    """``observe``: seconds between two looks at what is listed on the screen; what is chosen is looked at five times as often."""
    return Pace(
        chosen=min(max(1.0, observe / 5), observe, SLOWEST_CHOSEN),
        shown=observe,
        rest=max(60.0, 6 * observe),
        vitals=max(1.0, observe / 2),
    )
