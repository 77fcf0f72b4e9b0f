"""Where one is in the room and how one gets about: views, places to go back to, zoom, the guide. A journey changes nothing
but what is shown."""

from typing import Final

import msgspec

from quarterdeck.tui.room.furnished import Furnished
from quarterdeck.tui.room.guide import Incident, Stage
from quarterdeck.tui.room.opening import Place
from quarterdeck.tui.room.panes.guide import Guide

PLACES: Final = 100  # that one can go back to


def _chosen(here: Place, target: str | None, rollout: int | None) -> Place:
    """The place with another choice. A rollout that was chosen goes with its target: no key may act on what is not marked."""
    same = target is None or target == here.target
    return msgspec.structs.replace(
        here, target=target or here.target, rollout=rollout if rollout is not None else here.rollout if same else None
    )


class Travelling(Furnished):
    """The room with the places one was at."""

    def visit(self, view: str, *, target: str | None = None, rollout: int | None = None) -> None:
        """Goes there; the place that is left is remembered."""
        there = _chosen(self.place, target, rollout)
        self._go(msgspec.structs.replace(there, view=view, zoom=None, focus=None))

    def choose(self, target: str | None = None, *, rollout: int | None = None) -> None:
        """Chooses another target or rollout where one is. No new place: moving a cursor is not a journey."""
        self._places[self._at] = _chosen(self.place, target, rollout)
        self._place_changed()

    def leave_gone(self, instead: str | None) -> None:
        """``instead`` is chosen wherever a target was that is not in the fleet file any more, here and at the places to go back to."""
        there = self.fleet.targets
        self._places = [place if place.target in there else _chosen(place, instead, None) for place in self._places]
        self._place_changed()

    def toggle_zoom(self) -> None:
        pane = self.focused_pane
        zoom = None if self.place.zoom is not None or pane is None else pane.name_of
        self._places[self._at] = msgspec.structs.replace(self.place, zoom=zoom)
        self._lay_out()
        self._place_changed()

    def go_back(self) -> None:
        """Clears a filter, else closes a zoomed pane, else returns to the place before, else to the overview."""
        pane = self.focused_pane
        if pane is not None and pane.matcher.active:
            pane.set_filter("")
            self.renew()
        elif self.incident is not None:
            self.play(None)
        elif self.place.zoom is not None:
            self.toggle_zoom()
        elif self._at > 0:
            self.travel(-1)
        elif self.place.view != "overview":
            self.visit("overview")

    def play(self, incident: Incident | None) -> None:
        """Shows the guide for an incident from its beginning; None puts it away."""
        self.incident = incident
        guide = self._panes.get("guide")
        if isinstance(guide, Guide):
            guide.stage = Stage.RELEASING
        self._lay_out()
        self.renew()

    def travel(self, by: int) -> None:
        at = self._at + by
        if 0 <= at < len(self._places) and at != self._at:
            self._remember_focus()
            self._at = at
            self._arrived()

    def _go(self, place: Place) -> None:
        if place == self.place:
            return
        self._remember_focus()
        self._places = [*self._places[: self._at + 1], place][-PLACES:]
        self._at = len(self._places) - 1
        self._arrived()

    def _remember_focus(self) -> None:
        pane = self.keyed_pane
        if pane is not None:
            self._places[self._at] = msgspec.structs.replace(self.place, focus=pane.name_of)

    def _arrived(self) -> None:
        """The pane that had the keys here before has them again; else the view's first one."""
        self._lent = None
        self._lay_out()
        self._focus_first()
        self._places[self._at] = msgspec.structs.replace(self.place, focus=None)
        self._place_changed()

    def _place_changed(self) -> None:
        for companion in self.companions:
            companion.place_changed(self.place)
        self.renew()
