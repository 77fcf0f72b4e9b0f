"""The application: what lives with the room, from its first frame to its end, and the news that it is told. It changes nothing by
itself and waits for nothing: the journal is read by the desk, hosts are changed by workers."""

import contextlib
import logging
import os
import threading
from functools import partial

from textual import events
from textual.message import Message

from quarterdeck.rollouts.way_back.watch import CLOSED
from quarterdeck.tui.room import first_paint
from quarterdeck.tui.room.acting import Acting
from quarterdeck.tui.room.asked import Asked
from quarterdeck.tui.room.attention import Attention
from quarterdeck.tui.room.deeds import SUBJECTS, handlers_in
from quarterdeck.tui.room.desk import Desk, News
from quarterdeck.tui.room.fleet_cache import is_kept, remember
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.pane import Size
from quarterdeck.tui.room.permission import standing
from quarterdeck.tui.room.presence import Observing
from quarterdeck.tui.room.reload import FleetFile, FleetWatch
from quarterdeck.tui.room.waiting import Waiting
from quarterdeck.tui.room.watched import Watched

_log = logging.getLogger("quarterdeck.room")
TICK = 1.0  # seconds: ages and the clock
SLOW_TICK = 10.0  # the same over a slow line
REMEMBERED_AFTER = 1.0  # seconds after the first frame: for the next start, so it can wait
KEPT_EVERY = 300.0  # seconds
LOAD_FROM, LOAD_APART = 0.5, 0.1  # seconds after the first frame at which the handlers are loaded, a file at a time


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


class Room(Acting):
    """The whole control room. ``opening`` says on what."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self.asked = Asked(self)
        self.watched = Watched(self)
        self.observing = Observing(self)
        self.waiting = Waiting(self)
        self.companions += [self.waiting, self.asked, self.watched, self.observing]
        self._companions_closed = threading.Lock()
        self.broke: str | None = None  # by which fault of its own the room ended
        self.attention = Attention(opening.settings, self.write_sequence)
        self.fleet_watch = FleetWatch(self.fleet.file, lambda file: self._hand_over(FleetRead(file)), self.fleet.files)
        self.desk = Desk(
            self.fleet, opening.operator, read_only=opening.read_only, tell=self._told, known=opening.known
        )

    # life

    def on_mount(self) -> None:
        self._lay_out()
        self._focus_first()
        if self.opening.known is None:
            self.desk.start()  # else what is known is on the screen, and nothing may delay the first keys
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
        if self.opening.known is not None:
            self.desk.start()
        self.call_later(self.observing.begin)
        self.set_timer(REMEMBERED_AFTER, self._remember)
        for number, subject in enumerate(SUBJECTS):
            self.set_timer(LOAD_FROM + number * LOAD_APART, partial(handlers_in, subject))

    def _remember(self) -> None:
        threading.Thread(target=remember, args=(self.fleet, self.look.name), daemon=True).start()
        if is_kept(self.fleet):
            self._keep_picture()
            self.set_interval(KEPT_EVERY, self._keep_picture)

    def _keep_picture(self) -> None:
        """For the next start as well, beside the screen."""
        threading.Thread(target=self.keep_picture, daemon=True).start()

    def keep_picture(self) -> None:
        """Writes down what is known of a fleet that is not small, once the journal was read."""
        last, picture = self.recent[-1] if self.recent else None, self.picture
        if last is not None and last.seq == picture.head and is_kept(self.fleet):
            from quarterdeck.tui.room.known_picture import keep  # most fleets are small

            keep(self.fleet.file, picture, last.hash)

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

    # news

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
        self.standing = standing(fleet, self.opening.operator, read_only=self.opening.read_only)
        self.desk.change_fleet(fleet)
        self.observing.fleet_changed()
        self.say("the fleet file has changed; the new one holds now")

    def on_news_came(self, message: NewsCame) -> None:
        news = message.news
        self.fault = news.fault
        if not news.fault:
            shut = bool(self.picture.head) and any(event.kind == CLOSED for event in news.events)
            self.attention.news(self.picture, news.picture, self.opening.operator, closed=shut)
            if not self.picture.head:  # where one was in a list of nothing says nothing
                for pane in self.visible_panes():
                    pane.to_top()
            self.picture = news.picture
            self.measures = news.measures or self.measures
        self.recent.extend(news.events)
        for companion in self.companions:
            companion.news_came(news)
        for card in self.cards():
            card.news(news)
        self.renew()

    def _told(self, news: News) -> None:
        self._hand_over(NewsCame(news))

    def _hand_over(self, message: Message) -> None:
        """From another thread; a room that is closing needs no news."""
        with contextlib.suppress(RuntimeError):
            self.post_message(message)
