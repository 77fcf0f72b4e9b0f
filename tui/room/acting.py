"""From a key, a `:` command or the palette to the action that it stands for, and what is said of it. Nothing here waits in the
loop of the screen."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

from textual import events

from quarterdeck.history.errors import JournalError
from quarterdeck.rollouts.refusals import Refused, UnknownTarget
from quarterdeck.tui.room.actions import BY_ID, Action, Subject
from quarterdeck.tui.room.boxes import too_small
from quarterdeck.tui.room.commands import Commands
from quarterdeck.tui.room.deeds import Words, handler_of
from quarterdeck.tui.room.editing import Complete
from quarterdeck.tui.room.keymap import ALWAYS
from quarterdeck.tui.room.neighbours import Neighbours
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.own_files import own_directory
from quarterdeck.tui.room.permission import refusal
from quarterdeck.tui.room.prompt import OnText, Prompt
from quarterdeck.tui.room.travelling import Travelling

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room


SAID_FOR: Final = timedelta(seconds=10)  # a sentence lies over what is wrong: nobody may have pressed a key for hours


class Acting(Travelling):
    """The room with its keys, its command line and its one sentence."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._prompt: Prompt | None = None
        self._said_at = self.now()
        self.companions.append(Neighbours(self))

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
        await self._saying(action.title, handler(cast("Room", self), words))

    def _lost(self, action: Action, words: Words) -> str:
        """Why ``action`` has nothing to act on: the chosen target left the fleet file meanwhile."""
        chosen = self.place.target
        if action.subject is not Subject.TARGET or words or chosen is None or chosen in self.fleet.targets:
            return ""
        return f"{action.title}: {chosen} is not in the fleet file (any more); choose another target"

    def say(self, text: str) -> None:
        """One sentence for the operator, until the next key; where something is wrong, for ``SAID_FOR`` at most."""
        self._said_at = self.now()
        if text != self.said:
            self.said = text
            alert = self._panes.get("alert")
            if alert is not None:
                alert.renew()

    def word(self, *, quiet: bool) -> str:
        """What stands in the alert band in the place of the worst thing; ``quiet``: there is no such thing."""
        small = too_small(*self.size)
        lasts = quiet and not self.fault and not small
        said = self.said if lasts or self.now() - self._said_at < SAID_FOR else ""
        if self.fault and not said:
            return f"journal: {self.fault}"
        return said or small or (self.notice if quiet else "")

    def target_in(self, words: Words) -> str | None:
        """The target that was typed, else the chosen one. Raises UnknownTarget with the nearest names."""
        if not words:
            return self.place.target
        if words[0] in self.fleet.targets:
            return words[0]
        import difflib

        raise UnknownTarget(words[0], difflib.get_close_matches(words[0], list(self.fleet.targets), n=3, cutoff=0.5))
