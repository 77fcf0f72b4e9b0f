"""One line that is asked for, over the footer: a filter, a command, a name to type, a reason. It has all keys while it is
open: the room hands them over one by one in the order in which they came, so that what is typed ahead is typed here."""

import inspect
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from textual import events

from quarterdeck.tui.room.editing import Complete, Editing
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, cells, crop, ellipsis, fit

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
        self._on_change, self._on_done, self._on_cancel, self._hint = on_change, on_done, on_cancel, hint

    def build(self, size: Size) -> Sequence[Row]:
        editing = self.editing
        hint = "  ".join(editing.candidates) or (self._hint(editing.text) if self._hint is not None else "")
        return [prompt_row(self.label, editing.text, editing.at, hint, size.width)]

    def on_mount(self) -> None:
        self.renew()

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
