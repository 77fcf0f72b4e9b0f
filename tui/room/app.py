"""The application: holds what is known and what is chosen, lays the panes out, and hands every key to the action that it
stands for. It changes nothing by itself and waits for nothing: the journal is read by the desk, hosts are changed by workers."""

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Protocol

from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.filter import Monochrome, NoColor
from textual.message import Message
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES, Theme
from textual.widget import Widget

from quarterdeck.config.model import Fleet
from quarterdeck.config.settings import DEFAULTS, Settings
from quarterdeck.history.errors import JournalError
from quarterdeck.history.records import Event, Operator
from quarterdeck.rollouts.control import Refused, UnknownTarget
from quarterdeck.rollouts.health import Measures
from quarterdeck.rollouts.picture import Picture, TargetSeen, empty_picture
from quarterdeck.tui.room import first_paint
from quarterdeck.tui.room.actions import BY_ID, Action, Subject
from quarterdeck.tui.room.asked import Asked
from quarterdeck.tui.room.attention import Attention
from quarterdeck.tui.room.boxes import Box, frame, too_small, zoomed
from quarterdeck.tui.room.card import Card
from quarterdeck.tui.room.colourless import Colourless
from quarterdeck.tui.room.commands import Commands
from quarterdeck.tui.room.cropping import Cropping
from quarterdeck.tui.room.deeds import SUBJECTS, Words, handler_of, handlers_in
from quarterdeck.tui.room.desk import RECENT_EVENTS, Desk, News
from quarterdeck.tui.room.editing import Complete
from quarterdeck.tui.room.guide import Incident, Stage
from quarterdeck.tui.room.keymap import ALWAYS, Keymap
from quarterdeck.tui.room.looks import LOOKS, NO_COLOUR, Look
from quarterdeck.tui.room.own_files import own_directory
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.guide import HEIGHT as GUIDE_HEIGHT
from quarterdeck.tui.room.panes.guide import Guide
from quarterdeck.tui.room.permission import Standing, refusal, standing
from quarterdeck.tui.room.presence import Observing
from quarterdeck.tui.room.prompt import OnText, Prompt
from quarterdeck.tui.room.reload import FleetFile, FleetWatch
from quarterdeck.tui.room.rows import Role
from quarterdeck.tui.room.views import VIEWS, View
from quarterdeck.tui.room.watched import Watched

_log = logging.getLogger("quarterdeck.room")
TICK = 1.0  # seconds: ages and the clock
SLOW_TICK = 10.0  # the same over a slow line
PLACES = 100  # that one can go back to
LOAD_FROM, LOAD_APART = (
    0.5,
    0.1,
)  # seconds after the first frame at which the handlers are loaded, one file after the other


@dataclass(frozen=True, slots=True)
class Place:
    """Where one is: a view, the target and the rollout that are chosen, and whether a pane fills the screen."""

    view: str = "overview"
    target: str | None = None
    rollout: int | None = None
    zoom: str | None = None


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Opening:
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


class Companion(Protocol):
    """Something that lives as long as the room: follows logs, observes hosts, tells others who is here."""

    def place_changed(self, place: Place) -> None: ...

    def news_came(self, news: News) -> None: ...

    def close(self) -> None:
        """Ends at once whatever it started; called once, also when the terminal is gone."""
        ...


class NewsCame(Message):
    """From the desk's thread."""

    def __init__(self, news: News) -> None:
        super().__init__()
        self.news = news


class FleetRead(Message):
    """From the thread that follows the fleet file."""

    def __init__(self, file: FleetFile) -> None:
        super().__init__()
        self.file = file


class Base(Screen[None], inherit_bindings=False):
    """The screen that the panes are on. It has no keys of Textual's own, and sends nothing but the cells that changed."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._compositor = Cropping()


class Room(App[int], inherit_bindings=False):
    """``opening`` says on what. ``panes`` by name are made once and shown where the view has a box for them."""

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
        self.standing: Standing = standing(self.fleet.operators, opening.operator, read_only=opening.read_only)
        self.picture: Picture = empty_picture(self.fleet)
        self.measures = Measures()  # figures of what is on the screen
        self.recent: deque[Event] = deque(maxlen=RECENT_EVENTS)
        self.notice = opening.notice  # stands in the alert band while nothing worse does
        self.fault = ""  # why the journal can't be read
        self.said = ""  # what the last action came to: shown in the alert band until the next key
        self.asked = Asked(self)
        self.watched = Watched(self)
        self.observing = Observing(self)
        self.companions: list[Companion] = [self.asked, self.watched, self.observing]
        self._companions_closed = threading.Lock()
        self.broke: str | None = None  # by which fault of its own the room ended
        self.attention = Attention(opening.settings, self.write_sequence)
        self.fleet_watch = FleetWatch(self.fleet.file, lambda file: self._hand_over(FleetRead(file)))
        self.desk = Desk(self.fleet, opening.operator, read_only=opening.read_only, tell=self._told)
        self._styles: dict[Role, Style] = {}
        self._places = [Place(target=opening.target or next(iter(self.fleet.targets), None))]
        self._at = 0
        self._prompt: Prompt | None = None
        self._terminal: Size | None = None
        self.incident: Incident | None = None  # the one that the guide plays now
        self._panes: dict[str, Pane] = {}
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
    def target(self) -> TargetSeen | None:
        """The chosen target as it is now; None in an empty fleet, or when it went from the fleet file."""
        return self.picture.targets.get(self.place.target or "")

    @property
    def focused_pane(self) -> Pane | None:
        return self.focused if isinstance(self.focused, Pane) else None

    def now(self) -> datetime:
        """The time in UTC, as the screen has it."""
        return self.opening.clock()

    def pane(self, name: str) -> Pane:
        return self._panes[name]

    def visible_panes(self) -> Iterator[Pane]:
        return (pane for pane in self._panes.values() if pane.display)

    def style_of(self, role: Role) -> Style:
        """The style of a role in the look that is worn."""
        found = self._styles.get(role)
        if found is None:
            found = self._styles[role] = Style.parse(self.look.styles[role] or "none")
        return found

    # life

    def get_default_screen(self) -> Screen[Any]:
        return Base(id="_default")

    def compose(self) -> ComposeResult:
        from quarterdeck.tui.room.panes.all import make_panes

        self._panes = {pane.name_of: pane for pane in make_panes()}
        yield from self._panes.values()

    def on_mount(self) -> None:
        self._lay_out()
        self._focus_first()
        self.desk.start()
        self.call_after_refresh(self.observing.begin)
        self.fleet_watch.start()
        self.attention.begin(self.picture)
        self.app_resume_signal.subscribe(self, lambda _room: self.repaint())
        if self.opening.incident is not None:
            self.carry_out("guide", self.action_act("guide"))
        self.set_interval(SLOW_TICK if self.opening.slow else TICK, self._tick)
        self.call_after_refresh(self._open_for_keys)

    def _open_for_keys(self) -> None:
        """Keys are taken. What the first of them may need is loaded now, a file at a time, so that one that comes meanwhile is
        not kept waiting."""
        first_paint.ready()
        for number, subject in enumerate(SUBJECTS):
            self.set_timer(LOAD_FROM + number * LOAD_APART, partial(handlers_in, subject))

    def on_unmount(self) -> None:
        self.attention.end()
        self.close_companions()

    def close_companions(self) -> None:
        """Lets go of everything that lives with the room, once; also from another thread, when the terminal is gone."""
        if not self._companions_closed.acquire(blocking=False):
            return
        self.fleet_watch.close()
        for companion in self.companions:
            try:
                companion.close()
            except Exception:
                _log.exception("closing failed companion=%s", type(companion).__name__)
        self.desk.close()

    def leave(self, status: int) -> None:
        """Asks the room to end, from any thread, and returns at once."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self.exit, status)

    def _handle_exception(self, error: Exception) -> None:
        """A fault of ours: into the log with all there is, on the screen with one sentence after it is given back."""
        _log.error("the control room ended on a fault of its own", exc_info=error)
        self.broke = self.broke or f"{type(error).__name__}: {error}"[:200]
        super()._handle_exception(error)

    def panic(self, *renderables: object) -> None:
        _log.error("the screen library gave up what=%r", renderables)
        self.broke = self.broke or "the terminal could not be read"
        self._close_messages_no_wait()

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()

    def on_resize(self, event: events.Resize) -> None:
        self._terminal = event.size  # Textual's own size is still the one before
        self._lay_out()

    def _tick(self) -> None:
        self._see_size()
        self.renew()

    def _see_size(self) -> None:
        """A terminal that was resized while nobody heard of it (a lost signal) is seen here, a tick later."""
        if self.is_headless or self._terminal is None:
            return
        with contextlib.suppress(OSError):
            size = Size(*os.get_terminal_size(0))
            if size != self._terminal and size.area:
                self.post_message(events.Resize(size, size))

    def renew(self) -> None:
        """Every pane on the screen shows what is known now; each repaints only the cells that differ."""
        for pane in self.visible_panes():
            pane.renew()
        for card in self.cards():
            card.renew()

    def cards(self) -> Iterator[Card]:
        """The cards that are open, the topmost last."""
        return (screen for screen in self.screen_stack if isinstance(screen, Card))

    def repaint(self) -> None:
        """Draws everything anew: after the shell had the terminal, or something else wrote on it."""
        self.screen.refresh(layout=True)
        for widget in self.screen.walk_children(Widget):
            widget.refresh()

    # news

    def _told(self, news: News) -> None:
        self._hand_over(NewsCame(news))

    def _hand_over(self, message: Message) -> None:
        """From another thread; a room that is closing needs no news."""
        with contextlib.suppress(RuntimeError):
            self.post_message(message)

    def on_fleet_read(self, message: "FleetRead") -> None:
        """The fleet file has changed: a right one holds from now on, one with faults is said and changes nothing."""
        fleet, fault = message.file.fleet, message.file.fault
        if fleet is not None and fleet.state != self.fleet.state:
            fleet, fault = None, "the fleet file names another state directory now: open qd again for that one"
        self.notice = fault
        if fleet is None:
            self.say(fault)
            return
        self.fleet = fleet
        self.standing = standing(fleet.operators, self.opening.operator, read_only=self.opening.read_only)
        self.desk.change_fleet(fleet)
        self.observing.fleet_changed()
        self.say("the fleet file has changed; the new one holds now")

    def on_news_came(self, message: NewsCame) -> None:
        news = message.news
        self.fault = news.fault
        if not news.fault:
            self.attention.news(self.picture, news.picture, self.opening.operator)
            self.picture = news.picture
            self.measures = news.measures or self.measures
        self.recent.extend(news.events)
        for companion in self.companions:
            companion.news_came(news)
        for card in self.cards():
            card.news(news)
        self.renew()

    # places

    def visit(self, view: str, *, target: str | None = None, rollout: int | None = None) -> None:
        """Goes there; the place that is left is remembered."""
        here = self.place
        self._go(replace(here, view=view, target=target or here.target, rollout=rollout or here.rollout, zoom=None))

    def choose(self, target: str | None = None, *, rollout: int | None = None) -> None:
        """Chooses another target or rollout where one is. No new place: moving a cursor is not a journey."""
        here = self.place
        self._places[self._at] = replace(here, target=target or here.target, rollout=rollout or here.rollout)
        self._place_changed()

    def toggle_zoom(self) -> None:
        pane = self.focused_pane
        zoom = None if self.place.zoom is not None or pane is None else pane.name_of
        self._places[self._at] = replace(self.place, zoom=zoom)
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
            self._at = at
            self._arrived()

    def _go(self, place: Place) -> None:
        if place == self.place:
            return
        self._places = [*self._places[: self._at + 1], place][-PLACES:]
        self._at = len(self._places) - 1
        self._arrived()

    def _arrived(self) -> None:
        self._lay_out()
        self._focus_first()
        self._place_changed()

    def _place_changed(self) -> None:
        for companion in self.companions:
            companion.place_changed(self.place)
        self.renew()

    # layout and focus

    def _lay_out(self) -> None:
        width, height = self._terminal or self.size
        boxes = frame(width, height)
        boxes |= zoomed(width, height, self.place.zoom) if self.place.zoom else self.view.layout(width, height)
        if self.incident is not None:
            boxes["guide"] = Box(0, max(height - 1 - GUIDE_HEIGHT, 0), width, min(GUIDE_HEIGHT, height))
        for name, pane in self._panes.items():
            box = boxes.get(name)
            pane.display = box is not None and box.width > 0 and box.height > 0
            if box is not None:
                pane.styles.offset = (box.x, box.y)
                pane.styles.width = box.width
                pane.styles.height = box.height
        if self.focused is not None and not self.focused.display:
            self._focus_first()

    def _focusable(self) -> list[Pane]:
        return [pane for pane in self.visible_panes() if pane.can_focus]

    def _focus_first(self) -> None:
        wanted = self._panes.get(self.place.zoom or self.view.first)
        if wanted is None or not wanted.display:
            wanted = next(iter(self._focusable()), None)
        if wanted is not None:
            self.set_focus(wanted)

    def focus_pane(self, by: int) -> None:
        panes = self._focusable()
        if panes:
            here = panes.index(self.focused_pane) if self.focused_pane in panes else -by
            self.set_focus(panes[(here + by) % len(panes)])

    def pane_focused(self, pane: Pane) -> None:
        """The footer shows what can be done in it."""
        footer = self._panes.get("footer")
        if footer is not None and footer is not pane:
            footer.renew()

    # keys

    async def on_event(self, event: events.Event) -> None:
        """Keys are taken here in the order in which they came, before any widget has them: what is typed ahead of a slow
        line goes where it would have gone on a quick one."""
        if isinstance(event, events.Key) and not event.is_forwarded and await self._take_key(event):
            return
        if isinstance(event, events.Paste) and not event.is_forwarded and self._prompt is not None:
            self._prompt.take_paste(event.text)
            return
        await super().on_event(event)

    async def _take_key(self, event: events.Key) -> bool:
        """Whether the key was for the room; a card has all others."""
        if self._prompt is not None and event.key not in ("ctrl+q", "ctrl+z"):
            self._prompt.take_key(event)
            return True
        on_base = len(self.screen_stack) == 1
        id = ALWAYS.get(event.key)
        if id is None and on_base:
            pane = self.focused_pane
            action = self.keymap.action_of(event.key, pane.name_of if pane is not None else "")
            id = action.id if action is not None else None
        if id is not None:
            await self.action_act(id)
        return id is not None or on_base

    def prompt(
        self,
        label: str,
        initial: str = "",
        *,
        on_change: OnText | None = None,
        on_done: OnText | None = None,
        on_cancel: Callable[[], None] | None = None,
        complete: Complete | None = None,
        history: Sequence[str] = (),
        hint: Callable[[str], str] | None = None,
    ) -> Prompt:
        """Asks for a line, over the footer of what is on top. ``on_change`` with each key, ``on_done`` at Enter; Escape cancels.

        An answer that is awaitable is carried out beside the screen, and what goes wrong in it is said.
        """
        if self._prompt is not None:
            self._prompt.end(done=False)
        self._prompt = Prompt(
            label,
            initial,
            on_change=on_change,
            on_done=on_done,
            on_cancel=on_cancel,
            complete=complete,
            history=history,
            hint=hint,
        )
        self.screen.mount(self._prompt)
        return self._prompt

    def prompt_ended(self, prompt: Prompt) -> None:
        if self._prompt is prompt:
            self._prompt = None

    @cached_property
    def commands(self) -> Commands:
        """What was typed behind `:` before, in this session and in earlier ones."""
        return Commands(own_directory() / "commands", self.beside)

    # acting

    def beside(self, work: Callable[[], None]) -> None:
        """Runs ``work`` in a thread: for the room's own small files. It must not raise, nor touch the screen."""
        self.run_worker(work, thread=True, group="own files", exit_on_error=False)

    def write_sequence(self, sequence: str) -> None:
        """Sends a control sequence of our own making to the terminal."""
        if self._driver is not None:
            self._driver.write(sequence)

    def carry_out(self, title: str, work: Awaitable[None]) -> None:
        """Lets ``work`` run beside the screen; what goes wrong in it is said, as for an action."""
        self.run_worker(self._saying(title, work), group="carry out", exit_on_error=True)

    async def _saying(self, title: str, work: Awaitable[None]) -> None:
        try:
            await work
        except (Refused, UnknownTarget, JournalError) as error:
            self.say(str(error))
        except TimeoutError:
            self.say(f"{title}: the journal did not answer in time; nothing was changed, try again")

    async def action_act(self, id: str, words: Words = ()) -> None:
        """What every key, `:` command and entry of the palette comes to."""
        action = BY_ID[id]
        if action.pane and (self.focused_pane is None or self.focused_pane.name_of != action.pane):
            self.say(f"{action.title}: only where the {action.pane} pane has the keys (Tab, or its view)")
            return
        self.say("")
        why = refusal(action, self.standing, (self.size.width, self.size.height)) or self._lost(action, words)
        if why:
            self.say(why)
            return
        handler = handler_of(id)
        if handler is None:
            raise AssertionError(f"nothing carries out {id}")
        await self._saying(action.title, handler(self, words))

    def _lost(self, action: Action, words: Words) -> str:
        """Why ``action`` has nothing to act on: the chosen target left the fleet file meanwhile."""
        chosen = self.place.target
        if action.subject is not Subject.TARGET or words or chosen is None or chosen in self.fleet.targets:
            return ""
        return f"{action.title}: {chosen} is not in the fleet file (any more); choose another target"

    def say(self, text: str) -> None:
        """One sentence for the operator, until the next key."""
        if text != self.said:
            self.said = text
            alert = self._panes.get("alert")
            if alert is not None:
                alert.renew()

    def word(self, *, quiet: bool) -> str:
        """What stands in the alert band in the place of the worst thing; ``quiet``: there is no such thing."""
        return self.said or too_small(*self.size) or (self.notice if quiet else "")

    def target_in(self, words: Words) -> str | None:
        """The target that was typed, else the chosen one. Raises UnknownTarget with the nearest names."""
        if not words:
            return self.place.target
        if words[0] in self.fleet.targets:
            return words[0]
        import difflib

        raise UnknownTarget(words[0], difflib.get_close_matches(words[0], list(self.fleet.targets), n=3, cutoff=0.5))

    # looks

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


def textual_theme(look: Look) -> Theme:
    """The same look for Textual's own widgets (the lines that one types into)."""
    if look.ansi:
        return replace(BUILTIN_THEMES["ansi-dark" if look.dark else "ansi-light"], name=f"qd-{look.name}")
    blue = look.styles[Role.KEY].split()[-1]
    return Theme(
        name=f"qd-{look.name}",
        primary=blue,
        secondary=look.styles[Role.NEW].split()[-1],
        warning=look.styles[Role.WARN].split()[-1],
        error=look.styles[Role.BAD].split()[-1],
        success=look.styles[Role.OK].split()[-1],
        accent=blue,
        foreground=look.foreground,
        background=look.background,
        surface=look.background,
        panel=look.background,
        dark=look.dark,
    )
