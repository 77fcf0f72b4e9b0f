"""The room as it is furnished: what is known, the panes and where they lie, the look that is worn. It starts nothing and
reads nothing."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.filter import Monochrome, NoColor
from textual.screen import Screen
from textual.widget import Widget

from quarterdeck.history.records import Event
from quarterdeck.rollouts.health import Measures
from quarterdeck.rollouts.picture.fleet import Picture, empty_picture, is_of
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.boxes import Box, frame, uncovered, zoomed
from quarterdeck.tui.room.card import Card
from quarterdeck.tui.room.colourless import Colourless
from quarterdeck.tui.room.cropping import Cropping
from quarterdeck.tui.room.desk import RECENT_EVENTS
from quarterdeck.tui.room.guide import Incident
from quarterdeck.tui.room.keymap import Keymap
from quarterdeck.tui.room.layers import Layer
from quarterdeck.tui.room.looks import LOOKS, NO_COLOUR, Look
from quarterdeck.tui.room.opening import Companion, Opening, Place
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.guide import HEIGHT as GUIDE_HEIGHT
from quarterdeck.tui.room.permission import Standing, standing
from quarterdeck.tui.room.rows import Role
from quarterdeck.tui.room.themes import textual_theme
from quarterdeck.tui.room.views import VIEWS, View


class Base(Layer, inherit_bindings=False):
    """The screen that the panes are on. It has no keys of Textual's own, and sends nothing but the cells that changed."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._compositor = Cropping()


class Furnished(App[int], inherit_bindings=False):
    """``opening`` says on what. A pane is made once, when the view first has a box for it or something asks for it."""

    CSS = """
    Screen { layers: base over; background: $background; color: $foreground; }
    """
    ENABLE_COMMAND_PALETTE = False  # the palette is made from the registry, like everything else
    ALLOW_SELECT = False
    ESCAPE_TO_MINIMIZE = False

    def __init__(self, opening: Opening) -> None:
        look = LOOKS[opening.look]
        super().__init__(ansi_color=look.ansi)
        self.animation_level = "none"
        self.opening = opening
        self.settings = opening.settings
        self.keymap = Keymap(opening.settings.keymap)
        self.fleet = opening.fleet
        self.look: Look = look
        self.standing: Standing = standing(self.fleet, opening.operator, read_only=opening.read_only)
        self.picture: Picture = opening.known if is_of(opening.known, self.fleet) else empty_picture(self.fleet)
        self.measures = Measures()  # figures of what is on the screen
        self.recent: deque[Event] = deque(maxlen=RECENT_EVENTS)
        self.notice = opening.notice  # stands in the alert band while nothing worse does
        self.fault = ""  # why the journal can't be read
        self.said = ""  # what the last action came to: shown in the alert band until the next key
        self.companions: list[Companion] = []
        self._styles: dict[Role, Style] = {}
        self._places = [Place(target=opening.target or next(iter(self.fleet.targets), None))]
        self._at = 0
        self._terminal: Size | None = None
        self._laid: tuple[Box, ...] = ()  # where everything lay last
        self.incident: Incident | None = None  # the one that the guide plays now
        self._panes: dict[str, Pane] = {}
        self._lent: tuple[str, str] | None = None  # the pane that lost the keys when it was hidden, and who got them
        for each in LOOKS.values():
            self.register_theme(textual_theme(each))
        self.theme = f"qd-{look.name}"
        self._filter_colours()

    # what is there

    @property
    def place(self) -> Place:
        return self._places[self._at]

    @property
    def view(self) -> View:
        return VIEWS[self.place.view]

    @property
    def unread(self) -> bool:
        """Whether nothing is known, as the journal could not be read yet: a target without a release says nothing then."""
        return bool(self.fault) and not self.picture.head

    @property
    def target(self) -> TargetSeen | None:
        """The chosen target as it is now; None in an empty fleet, or when it went from the fleet file."""
        return self.picture.targets.get(self.place.target or "")

    @property
    def chosen_rollout(self) -> int | None:
        """The chosen one, always of the chosen target; else the one that is under way there, or was the last. Keys, lists and the
        rollout screen go by this alone. None: nothing was ever rolled out there."""
        seen = self.target
        if self.place.rollout is not None or seen is None:
            return self.place.rollout
        last = seen.moving.rollout if seen.moving is not None else seen.last
        return last.id if last is not None else None

    def acts_on(self, target: str, rollout: int | None) -> bool:
        """Whether a key that is pressed now acts on that target, and on this rollout of it."""
        return self.place.target == target and (rollout is None or self.chosen_rollout == rollout)

    @property
    def focused_pane(self) -> Pane | None:
        return self.focused if isinstance(self.focused, Pane) else None

    @property
    def keyed_pane(self) -> Pane | None:
        """The pane that has the keys, also while a card lies over it and has them all."""
        focused = self.screen_stack[0].focused if self.screen_stack else None
        return focused if isinstance(focused, Pane) else None

    def now(self) -> datetime:
        """The time in UTC, as the screen has it."""
        return self.opening.clock()

    def pane(self, name: str) -> Pane:
        pane = self._panes.get(name)
        return pane if pane is not None else self._furnish([name])[0]

    def made(self, name: str) -> Pane | None:
        """The pane if it has been on the screen; none is made for the asking."""
        return self._panes.get(name)

    def visible_panes(self) -> Iterator[Pane]:
        """In the order in which Tab goes through them."""
        return (pane for pane in self._panes.values() if pane.display)

    def cards(self) -> Iterator[Card]:
        """The cards that are open, the topmost last."""
        return (screen for screen in self.screen_stack if isinstance(screen, Card))

    def renew(self) -> None:
        """Every pane on the screen shows what is known now; each repaints only the cells that differ."""
        for pane in self.visible_panes():
            pane.renew()
        for card in self.cards():
            card.renew()

    # layout and focus

    def get_default_screen(self) -> Screen[Any]:
        return Base(id="_default")

    def compose(self) -> ComposeResult:
        self._make([*self._boxes(), "footer"])
        yield from self._panes.values()

    def _make(self, names: Iterable[str]) -> list[Pane]:
        from quarterdeck.tui.room.panes.all import ORDER, make_pane

        made = [make_pane(name) for name in dict.fromkeys(names) if name in ORDER and name not in self._panes]
        every = [*self._panes.values(), *made]
        self._panes = {pane.name_of: pane for pane in sorted(every, key=lambda pane: ORDER[pane.name_of])}
        return made

    def _furnish(self, names: Iterable[str]) -> list[Pane]:
        """Makes those that are not there yet, hidden until they are laid out. The guide lies over all others."""
        made = self._make(names)
        for pane in made:
            pane.display = False
            self.mount(pane, before=None if pane.name_of == "guide" else self._panes["footer"])
        return made

    def on_resize(self, event: events.Resize) -> None:
        self._terminal = event.size  # Textual's own size is still the one before
        self._lay_out()

    def _boxes(self) -> dict[str, Box]:
        """Where everything lies that is on the screen now, by name."""
        width, height = self._terminal or self.size
        boxes = frame(width, height)
        boxes |= zoomed(width, height, self.place.zoom) if self.place.zoom else self.view.layout(width, height)
        if self.incident is not None:
            boxes["guide"] = Box(0, max(height - 1 - GUIDE_HEIGHT, 0), width, min(GUIDE_HEIGHT, height))
        return boxes

    def _lay_out(self) -> None:
        if not self._panes:
            return  # nothing is there yet; it is laid out as it comes
        boxes = self._boxes()
        self._furnish(boxes)
        for name, pane in self._panes.items():
            box = boxes.get(name)
            pane.display = box is not None and box.width > 0 and box.height > 0
            if box is not None:
                pane.styles.offset = (box.x, box.y)
                pane.styles.width = box.width
                pane.styles.height = box.height
        before, self._laid = self._laid, tuple(box for name, box in boxes.items() if name in self._panes)
        if uncovered(before, self._laid):
            self.call_after_refresh(self.repaint)
        self._settle_focus()

    def _focusable(self) -> list[Pane]:
        return [pane for pane in self.visible_panes() if pane.can_focus]

    def _focus_first(self) -> None:
        wanted = self._panes.get(self.place.zoom or self.place.focus or self.view.first)
        if wanted is None or not wanted.display:
            wanted = next(iter(self._focusable()), None)
        if wanted is not None:
            self.screen_stack[0].set_focus(wanted)  # the panes' own screen, whatever card lies over it

    def _settle_focus(self) -> None:
        """Who has the keys is on the screen; a pane that was hidden has them again when it comes back, unless somebody moved on."""
        pane = self.keyed_pane
        if pane is None:
            return
        if not pane.display:
            had = self._lent[0] if self._lent is not None and self._lent[1] == pane.name_of else pane.name_of
            self._focus_first()
            now = self.keyed_pane
            self._lent = (had, now.name_of) if now is not None else None
        elif self._lent is not None:
            had, instead = self._lent
            if pane.name_of != instead:
                self._lent = None
            elif self._panes[had].display:
                self._lent = None
                self.screen_stack[0].set_focus(self._panes[had])

    def focus_pane(self, by: int) -> None:
        self._lent = None
        panes = self._focusable()
        if panes:
            here = panes.index(self.focused_pane) if self.focused_pane in panes else -by
            self.set_focus(panes[(here + by) % len(panes)])

    def pane_focused(self, pane: Pane) -> None:
        """The footer shows what can be done in it."""
        footer = self._panes.get("footer")
        if footer is not None and footer is not pane:
            footer.renew()

    def repaint(self) -> None:
        """Draws everything anew: after the shell had the terminal, or something else wrote on it."""
        self.screen.refresh(layout=True)
        for widget in self.screen.walk_children(Widget):
            widget.refresh()

    # looks

    def style_of(self, role: Role) -> Style:
        """The style of a role in the look that is worn."""
        found = self._styles.get(role)
        if found is None:
            found = self._styles[role] = Style.parse(self.look.styles[role] or "none")
        return found

    def wear(self, name: str) -> None:
        """Changes the look."""
        self.look = LOOKS[name]
        self._styles.clear()
        self.ansi_color = self.look.ansi
        self.theme = f"qd-{name}"
        self._filter_colours()
        for pane in self._panes.values():
            pane.refresh()

    def _filter_colours(self) -> None:
        """NO_COLOR holds whatever look is worn; Textual's own filter still sends the codes of default colours."""
        others = [each for each in self._filters if not isinstance(each, Colourless | NoColor | Monochrome)]
        no_colour = self.no_color or self.look is NO_COLOUR
        self._filters[:] = [Colourless(), *others] if no_colour else others
