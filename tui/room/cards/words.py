"""Cards that ask for words: a note, a reason. Enter writes them down; nothing on a host changes by it."""

from collections.abc import Awaitable, Callable
from functools import partial

from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.rollout_rows import one_line
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, crop, row
from quarterdeck.tui.room.wrapping import said_rows

LONGEST = 500


class WordsCard(Card):
    """``done`` gets what was typed. ``hint``: what the words are for."""

    def __init__(
        self, title: str, hint: str, done: Callable[[str], Awaitable[None]], *, does: str = "write it down"
    ) -> None:
        super().__init__()
        self.title_text = title
        self.hint = hint
        self.does = does
        self.text = ""
        self._done = done

    @property
    def typing(self) -> bool:
        return True

    def pasted(self, text: str) -> None:
        self.text = (self.text + one_line(text))[:LONGEST]

    def type_key(self, key: str, character: str | None) -> None:
        match key:
            case "escape":
                self.leave()
            case "enter" if self.text.strip():
                self.begin(partial(self._finish, self.text.strip()), "words")
            case "backspace":
                self.text = self.text[:-1]
            case "ctrl+u":
                self.text = ""
            case "ctrl+w":
                self.text = self.text.rstrip().rpartition(" ")[0]
            case _ if character:
                self.text = (self.text + character)[:LONGEST]

    async def _finish(self, text: str) -> None:
        await self._done(text)
        self.leave()

    def sheet(self, width: int) -> Sheet:
        room = max(width - 3, 1)
        lines: list[Row] = []
        text = self.text
        while len(text) > room:
            lines.append(row(crop(text, room)))
            text = text[room:]
        lines.append(row(text, Span("_", Role.CURSOR)))
        foot = [EMPTY]
        foot += said_rows(self.said, width)
        foot += keys_rows(width, ("enter", self.does), ("esc", "no"))
        return Sheet(self.title_text, [row(Span(self.hint, Role.DIM)), EMPTY, *lines], foot)


class NoteCard(WordsCard):
    """A note for the timeline, about a target or a rollout."""

    def __init__(self, target: str | None, rollout: int | None) -> None:
        about = f"rollout {rollout} of {target}" if rollout is not None else target or "the fleet"
        super().__init__(f"note  {about}", "Goes into the timeline with your name and the time.", self._write)
        self.target = target
        self.rollout = rollout

    async def _write(self, text: str) -> None:
        await self.room.desk.act(lambda control: control.note(text, target=self.target, rollout=self.rollout))
        self.room.say("the note is in the timeline")


class ReasonCard(WordsCard):
    """Why a rollout was asked for: asked afterwards, never before."""

    def __init__(self, rollout: int, target: str) -> None:
        super().__init__(
            f"reason  rollout {rollout} of {target}", "Why it was needed: for the history and the report.", self._write
        )
        self.rollout = rollout

    async def _write(self, text: str) -> None:
        await self.room.desk.act(lambda control: control.give_reason(self.rollout, text))
