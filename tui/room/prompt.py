"""One line that is asked for, over the footer: a filter, a command, a name to type, a reason. It has all keys while it is
open: the room hands them over one by one in the order in which they came, so that what is typed ahead is typed here."""

import inspect
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import events

from quarterdeck.tui.room.editing import Complete, Editing
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, cells, crop, ellipsis, fit, pieces

_NUMBERS = itertools.count(1)
OnText = Callable[[str], Awaitable[None] | None]


class Prompt(Pane, can_focus=False):
    """Made by ``Room.prompt`` only. ``hint``: what is said behind the typed text while there is nothing better to say."""

    DEFAULT_CSS = "Prompt { position: relative; layer: over; dock: bottom; width: 100%; height: 1; }"
    name_of: ClassVar[str] = "prompt"
    titled: ClassVar[bool] = False

    def __init__(
        self,
        label: str,
        initial: str,
        *,
        on_change: OnText | None,
        on_done: OnText | None,
        on_cancel: Callable[[], None] | None,
        complete: Complete | None,
        history: Sequence[str],
        hint: Callable[[str], str] | None,
    ) -> None:
        super().__init__(next(_NUMBERS))  # one may open the next, before it is off the screen itself
        self.label = label
        self.editing = Editing(initial, complete=complete, history=history)
        self.ended = False
        self._high = 1  # lines
        self._on_change, self._on_done, self._on_cancel, self._hint = on_change, on_done, on_cancel, hint

    def build(self, size: Size) -> Sequence[Row]:
        editing = self.editing
        hint = "  ".join(editing.candidates) or (self._hint(editing.text) if self._hint is not None else "")
        return prompt_rows(self.label, editing.text, editing.at, hint, size.width, self._highest)

    @property
    def _highest(self) -> int:
        """Lines: what the keys act on stays in sight above."""
        return max(self.room.size.height // 2, 1)

    def on_mount(self) -> None:
        self._grow()
        self.renew()

    def _grow(self) -> None:
        """As high as what is typed, so that it is seen whole."""
        if not self.is_mounted:
            return
        width, high = self.room.size.width, self._high
        self._high = len(prompt_rows(self.label, self.editing.text, self.editing.at, "", width, self._highest))
        if self._high != high:
            self.styles.height = self._high
        if self._high < high:
            self.room.call_after_refresh(self.room.repaint)  # the column between two panes is nobody's to wipe

    def on_resize(self, event: events.Resize) -> None:
        self._grow()
        super().on_resize(event)

    def take_key(self, event: events.Key) -> None:
        """A key, also before this line is on the screen."""
        if event.key == "enter":
            self.end(done=True)
        elif event.key in ("escape", "ctrl+c"):
            self.end(done=False)
        elif self.editing.key(event.key):
            self._changed()
        elif event.is_printable and event.character:
            self.editing.insert(event.character)
            self._changed()

    def take_paste(self, text: str) -> None:
        self.editing.insert(text)
        self._changed()

    def _changed(self) -> None:
        self._grow()
        self.renew()
        self._call(self._on_change)

    def end(self, *, done: bool) -> None:
        """Goes away; what was typed is handed over, or forgotten."""
        if self.ended:
            return
        self.ended = True
        self.room.prompt_ended(self)
        if self.is_attached:
            self.remove()
            if self._high > 1:
                self.room.call_after_refresh(self.room.repaint)
        if done:
            self._call(self._on_done)
        elif self._on_cancel is not None:
            self._on_cancel()

    def _call(self, told: OnText | None) -> None:
        if told is None:
            return
        answer = told(self.editing.text)
        if inspect.isawaitable(answer):
            self.room.carry_out(self.label, answer)


def prompt_rows(label: str, text: str, at: int, hint: str, width: int, most: int) -> list[Row]:
    """In one row where it fits there, else in as many as it needs, of which those up to the cursor's are shown where ``most`` are less."""
    whole = label + text + " "  # the cursor may stand behind the last one
    if cells(whole) <= width or most <= 1 or width <= 1:
        return [prompt_row(label, text, at, hint, width)]
    rows: list[Row] = []
    cursor, begin = len(label) + at, 0
    cursor_row = 0
    for piece in pieces(whole, width):
        end = begin + len(piece)
        if begin <= cursor < end:
            cursor_row = len(rows)
        cuts = [max(begin, min(cut, end)) for cut in (begin, len(label), cursor, cursor + 1, end)]
        roles = (Role.KEY, Role.PLAIN, Role.CURSOR, Role.PLAIN)
        spans = [Span(whole[a:b], role) for a, b, role in zip(cuts, cuts[1:], roles, strict=False)]
        rows.append(fit([span for span in spans if span.text], width))
        begin = end
    top = min(max(cursor_row - most + 1, 0), max(len(rows) - most, 0))
    return rows[top : top + most]


def prompt_row(label: str, text: str, at: int, hint: str, width: int) -> Row:
    """The label, the text around the cursor, and a hint where there is room for it."""
    room = max(width - cells(label) - 1, 1)
    start = 0
    while cells(text[start:at]) >= room:  # the cursor stays on the screen
        start += max((at - start) // 4, 1)
    shown = crop(text[start:], room)
    before, here, after = shown[: at - start], shown[at - start : at - start + 1] or " ", shown[at - start + 1 :]
    spans = [Span(label, Role.KEY), Span(before), Span(here, Role.CURSOR), Span(after)]
    left = width - sum(cells(span.text) for span in spans)
    if hint and left > 8:
        spans.append(Span("  " + ellipsis(hint, left - 3), Role.DIM))
    return fit([span for span in spans if span.text], width)
