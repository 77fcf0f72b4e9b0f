"""The base of every card: a dialog in an ASCII box over the room, painted with rows and roles like a pane.

A card works on what it was opened on, never on what is chosen behind it. Its confirming key is dead until the card has been
on the screen for a while, Enter never confirms, and nothing that was typed before it was seen can confirm it.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.worker import Worker

from quarterdeck.history.errors import JournalError
from quarterdeck.rollouts.refusals import Refused, UnknownTarget
from quarterdeck.tui.room.boxes import Box, too_small
from quarterdeck.tui.room.layers import Layer
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, cells, crop, fit
from quarterdeck.tui.room.wrapping import said_rows

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room
    from quarterdeck.tui.room.desk import News

TICK = 0.05  # seconds
DEAD_TICKS = 8  # 400 ms
DRAIN_TICKS = 60  # that the terminal gets to take the first frame
STALL = 0.3  # seconds between two ticks: the loop stood still, and what was typed meanwhile is still to come
ALWAYS = frozenset({"escape", "q", "Q", "j", "down", "k", "up"})  # keys that only move or leave
WIDEST = 100
MARGIN = 1
SLOW = "the journal did not answer in time: look at the rollouts (2) before you try again"


class Guard:
    """When a key may confirm: so many ticks of the loop after the first frame, without a key in between.

    Ticks, not time: after a loop that stood still there is one tick, and all keys that were typed meanwhile come behind it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: int | None = None  # None: not painted yet
        self._last = clock()
        self._late = False

    @property
    def open(self) -> bool:
        return self._left == 0

    def painted(self) -> None:
        """The first frame is on the screen."""
        if self._left is None:
            self._left, self._last = DEAD_TICKS, self._clock()

    def restart(self) -> None:
        """What the key would do has changed, or a key came too early."""
        if self._left is not None:
            self._left = DEAD_TICKS

    def tick(self) -> bool:
        """Whether it opened or closed with this tick."""
        if self._left is None:
            return False
        was = self.open
        now = self._clock()
        gap, self._last = now - self._last, now
        if gap > STALL and not self._late:
            self._late = (
                True  # not this one: the keys come behind it. On a machine that is always late every second counts
            )
            return False
        self._late = False
        if self._left > 0 and gap >= TICK / 2:  # of ticks that were late and come in a heap, one counts
            self._left -= 1
        return was != self.open


class Sheet(msgspec.Struct, frozen=True):
    """What a card shows. ``body`` may scroll where the terminal is small; ``top`` and ``foot`` are always there."""

    title: str
    body: Sequence[Row]
    foot: Sequence[Row]
    top: Sequence[Row] = ()
    right: str = ""  # at the end of the title's line
    production: bool = False
    width: int = 78  # wished for, without the border


def box_for(sheet: Sheet, columns: int, lines: int) -> Box:
    """Where the card lies: in the middle, as high as its rows, never over the edge."""
    width = min(max(sheet.width, 40) + 4, columns - 2 * MARGIN if columns > 80 else columns)
    height = min(len(sheet.top) + len(sheet.body) + len(sheet.foot) + 2, lines)
    return Box(max((columns - width) // 2, 0), max((lines - height) // 2, 0), width, height)


def sheet_rows(sheet: Sheet, width: int, height: int, top: int) -> list[Row]:
    """The card in its border. ``top``: the first row of the body that is shown."""
    inner = max(width - 4, 0)
    role = Role.PRODUCTION if sheet.production else Role.STRONG
    line = "=" if sheet.production else "-"
    room = max(height - 2 - len(sheet.top) - len(sheet.foot), 0)
    top = max(0, min(top, max(len(sheet.body) - room, 0)))
    shown = list(sheet.body[top : top + room])
    below = len(sheet.body) - top - len(shown)
    more = f" {below} more lines: j " if below > 0 else f" {top} lines above: k " if top else ""
    rows = [_edge(f" {sheet.title} ", f" {sheet.right} " if sheet.right else "", width, line, role)]
    for content in (*sheet.top, *shown, *[EMPTY] * (room - len(shown)), *sheet.foot):
        rows.append((Span("| ", role), *fit(content, inner), Span(" |", role)))
    rows.append(_edge("", more, width, line, role))
    return rows[:height]


def _edge(left: str, right: str, width: int, line: str, role: Role) -> Row:
    left = crop(left, max(width - 6, 0))
    right = right if cells(left) + cells(right) + 8 <= width else ""
    fill = line * max(width - 4 - cells(left) - cells(right), 0)
    return fit(
        (Span(f"+{line}", role), Span(left, role), Span(fill, role), Span(right, role), Span(f"{line}+", role)), width
    )


def keys_rows(width: int, *keys: tuple[str, str], dead: bool = False) -> list[Row]:
    """``y roll back   esc no``, over as many lines as it needs. ``dead``: the first one does not work yet, and says so."""
    rows: list[list[Span]] = [[]]
    left = width
    for number, (key, does) in enumerate(keys):
        off = dead and number == 0
        spans = [
            Span(f" {key} ", Role.DIM if off else Role.KEY),
            Span(f"{'wait'.ljust(len(does)) if off else does}  ", Role.DIM if off else Role.PLAIN),
        ]
        needs = sum(cells(span.text) for span in spans)
        if needs - 2 > left and rows[-1]:
            rows.append([])
            left = width
        rows[-1] += spans
        left -= needs
    return [tuple(spans) for spans in rows]


class Face(Pane, can_focus=False):
    """The card's box. Its rows come from the card."""

    name_of: ClassVar[str] = "card-face"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        card = self.screen
        assert isinstance(card, Card)
        sheet = card.whole(size.width - 4)
        card.top = max(0, min(card.top, len(sheet.body) - size.height + 2 + len(sheet.top) + len(sheet.foot)))
        return sheet_rows(sheet, size.width, size.height, card.top)


class Card(Layer, ModalScreen[None]):
    """A subclass gives ``sheet`` and ``pressed``. Whatever closes the card comes through ``leave``."""

    changes: ClassVar[bool] = True  # False: it only shows something

    def __init__(self) -> None:
        super().__init__()
        self.guard = Guard()
        self.top = 0
        self.said = ""
        self.gone = False
        self._looking = False  # one look at a time …
        self._behind = False  # … and there is more to see
        self._drain = DRAIN_TICKS
        self._face = Face()

    @property
    def room(self) -> "Room":
        return cast("Room", self.app)

    @property
    def too_small(self) -> str:
        """Why its keys are off, where the terminal became too small to show what they would change."""
        return too_small(*self.app.size) if self.changes else ""

    def whole(self, width: int) -> Sheet:
        """``sheet``, and why its keys are off."""
        sheet = self.sheet(width)
        small = said_rows(self.too_small, width)
        return msgspec.structs.replace(sheet, foot=(*sheet.foot, *small)) if small else sheet

    # what a subclass says

    def sheet(self, width: int) -> Sheet:
        """The content for ``width`` columns. Called often: no waiting here."""
        raise NotImplementedError

    def pressed(self, key: str) -> None:
        """A key, in Textual's name. Only keys for which ``self.guard.open`` was asked may change anything; what waits, ``begin``s."""

    def type_key(self, key: str, character: str | None) -> None:
        """A key while ``typing``; ``character`` where it is one that can be seen."""

    def move(self, by: int) -> None:
        """Down by so many rows, up when negative."""
        self.top = max(0, self.top + by)

    def news(self, news: "News") -> None:
        """Something was journalled."""

    def left(self) -> None:
        """The card is about to go: what it began and did not let go is given up."""

    # life

    def compose(self) -> ComposeResult:
        yield self._face

    def on_mount(self) -> None:
        self.styles.background = "transparent"  # what is behind goes on being seen, and is not painted anew
        self.lay_out()
        self.call_after_refresh(self._first_frame)
        self.set_interval(TICK, self._tick)

    def on_resize(self, _event: events.Resize) -> None:
        if self.too_small:
            self.guard.restart()  # when it has grown again, what it says has to be read again
        self.lay_out()

    def lay_out(self) -> None:
        """Gives the box its place. Rows that come later may make it higher."""
        columns, lines = self.app.size
        box = self.place_of(columns, lines)
        face = self._face.styles
        face.offset = (box.x, box.y)
        face.width, face.height = box.width, box.height
        if (self._face.size.width, self._face.size.height) == (box.width, box.height):
            self._face.renew()  # else it is painted when it has its new size: never half a card

    def place_of(self, columns: int, lines: int) -> Box:
        widest = min(WIDEST, columns - 4)
        sheet = self.whole(widest)
        if sheet.width < widest:  # its words take more lines where they have less room
            sheet = self.whole(sheet.width)
        return box_for(sheet, columns, lines)

    def renew(self) -> None:
        """Shows what is known now."""
        if self.is_mounted and not self.gone:
            self.lay_out()

    def say(self, text: str) -> None:
        """One sentence, inside the card."""
        self.said = text
        self.renew()

    def leave(self) -> None:
        """Closes the card; once."""
        if not self.gone:
            self.gone = True
            self.left()
            self.dismiss(None)

    def begin(self, work: Callable[[], Awaitable[None]], group: str) -> Worker[None]:
        """Lets ``work`` run beside the screen; what it is refused is said on the card. A newer one of the group replaces it, perhaps before
        it has begun: so it is not called here."""
        # The room's: it is not lost with the card.
        return self.room.run_worker(partial(self._saying, work), group=f"{group} {id(self)}", exclusive=True)

    def keep_up(self, look: Callable[[], Awaitable[None]]) -> None:
        """Lets ``look`` run, once more when it ends where this was called meanwhile: news that come faster than one is answered must not
        put it off until there are none. One that was not answered in time is tried again."""
        self._behind = True
        if not self._looking:
            self._looking = True
            self.begin(partial(self._look_on, look), "look")

    async def _look_on(self, look: Callable[[], Awaitable[None]]) -> None:
        try:
            while self._behind and not self.gone:
                self._behind = False
                try:
                    await look()
                except TimeoutError:
                    self._behind = True  # nothing else would tell that there is something to see
                    self.say(SLOW)
                else:
                    self.said = "" if self.said == SLOW else self.said
        finally:
            self._looking = False

    async def _saying(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (Refused, UnknownTarget, JournalError) as error:
            self.say(str(error))
        except TimeoutError:
            self.say(SLOW)

    # keys

    def on_key(self, event: events.Key) -> None:
        """All keys are the card's: none goes to what lies behind it."""
        event.stop()
        event.prevent_default()
        if self.gone:
            return
        if self.too_small and event.key not in (ALWAYS if not self.typing else ("escape",)):
            self.guard.restart()
            return
        if self.typing:
            self.type_key(event.key, event.character if event.is_printable else None)
        elif event.key in ("j", "down"):
            self.move(1)
        elif event.key in ("k", "up"):
            self.move(-1)
        else:
            self.pressed(event.key)
        if not self.guard.open:
            self.guard.restart()
        self.renew()

    def on_paste(self, event: events.Paste) -> None:
        """Nothing is pasted into a card unless it asks for words."""
        event.stop()
        event.prevent_default()
        if self.typing and not self.too_small:
            self.pasted(event.text)
            self.renew()

    @property
    def typing(self) -> bool:
        """Whether letters are being typed, and not keys."""
        return False

    def pasted(self, text: str) -> None:
        """Words were pasted while ``typing``."""

    # the dead time

    def _first_frame(self) -> None:
        if self._drained():
            self.guard.painted()

    def _tick(self) -> None:
        if self._drain and not self._drained():
            self._drain -= 1
            return
        self._drain = 0
        self.guard.painted()
        if self.guard.tick():
            self.renew()

    def _drained(self) -> bool:
        """Whether the terminal has taken what was drawn: on a line that is stuck nobody has seen the card yet."""
        writer = getattr(getattr(self.app, "_driver", None), "_writer_thread", None)
        return writer is None or writer._queue.qsize() == 0
