"""The palette: every action of the registry by its name, with its key and why it is refused here. It only chooses."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from quarterdeck.tui.room.actions import ACTIONS, Action, Group
from quarterdeck.tui.room.editing import Editing
from quarterdeck.tui.room.keymap import Keymap
from quarterdeck.tui.room.manual import command_text, keys_text
from quarterdeck.tui.room.matching import matcher
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.prompt import prompt_row
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad, row


class Entry(msgspec.Struct, frozen=True):
    """``why``: what refuses it; empty: it can be done."""

    action: Action
    keys: str
    why: str = ""


def entries(pane: str, keymap: Keymap, why: Callable[[Action], str]) -> list[Entry]:
    """What can be chosen while ``pane`` has the keys: all but moving about, which needs keys."""
    return [
        Entry(action, keys_text(action, keymap), why(action))
        for action in ACTIONS
        if action.pane in ("", pane) and action.group is not Group.MOVE and action.id not in ("palette", "interrupt")
    ]


def found(every: Sequence[Entry], typed: str) -> list[Entry]:
    """Those that the typed words fit, the best first: by name, by command, by what they do, then by letters in their order."""
    words = typed.lower().split()
    if not words:
        return list(every)

    def rank(entry: Entry) -> int:
        action = entry.action
        names = (action.title.lower(), action.id, action.command)
        whole = f"{' '.join(names)} {action.help.lower()}"
        if any(name.startswith(words[0]) for name in names) and all(word in whole for word in words):
            return 0
        if all(any(word in name for name in names) for word in words):
            return 1
        if all(word in whole for word in words):
            return 2
        fuzzy = matcher("-f " + "".join(words))
        return 3 if any(name and fuzzy.matches(name) for name in names) else 9

    return [entry for entry in sorted(every, key=rank) if rank(entry) < 9]


def entry_rows(shown: Sequence[Entry], chosen: str, width: int) -> list[Row]:
    rows: list[Row] = []
    for entry in shown:
        action = entry.action
        here = action.id == chosen
        name = action.id.replace("-", " ")
        keys = " ".join(entry.keys.split()[:2])
        text = entry.why.partition(": ")[2] if entry.why else action.help
        spans = [
            Span(">" if here else " ", Role.STRONG),
            Span(pad(name, 16), Role.CURSOR if here else Role.DIM if entry.why else Role.STRONG),
            Span(" " + pad(keys or command_text(action).split()[0], 12), Role.KEY),
            Span(ellipsis(text, max(width - 30, 0)), Role.WARN if entry.why else Role.PLAIN),
        ]
        rows.append(row(*spans))
    return rows or [row(Span("  nothing of that name; backspace", Role.DIM))]


class Listing(Pane, can_focus=False):
    DEFAULT_CSS = "Listing { position: relative; width: 100%; height: 100%; }"
    name_of: ClassVar[str] = "palette"

    def __init__(self, every: Sequence[Entry]) -> None:
        super().__init__()
        self.every = every
        self.shown = list(every)
        self.chosen = every[0].action.id if every else ""
        self.editing = Editing()

    def heading(self) -> str:
        return "palette: type to find, arrows choose, enter does it"

    def heading_right(self) -> str:
        return "esc leaves"

    def build(self, size: Size) -> Sequence[Row]:
        line = prompt_row(" > ", self.editing.text, self.editing.at, "", size.width)
        rows = entry_rows(self.shown, self.chosen, size.width)
        at = self._at()
        visible = max(size.height - 1, 1)
        first = max(0, min(at - visible // 2, len(rows) - visible))
        return [line, *rows[first : first + visible]]

    def _at(self) -> int:
        return next((i for i, entry in enumerate(self.shown) if entry.action.id == self.chosen), 0)

    def typed(self) -> None:
        self.shown = found(self.every, self.editing.text)
        self.chosen = self.shown[0].action.id if self.shown else ""
        self.renew()

    def choose(self, by: int) -> None:
        if self.shown:
            self.chosen = self.shown[max(0, min(self._at() + by, len(self.shown) - 1))].action.id
            self.renew()


class Palette(ModalScreen[str], inherit_bindings=False):
    """Ends with the id of the action that was chosen, or with nothing."""

    DEFAULT_CSS = "Palette { background: $background; layers: base over; }"

    def __init__(self, every: Sequence[Entry]) -> None:
        super().__init__()
        self.listing = Listing(every)

    def compose(self) -> ComposeResult:
        yield self.listing

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self.listing.editing.insert(event.text)
        self.listing.typed()

    def on_key(self, event: events.Key) -> None:
        event.stop()
        listing = self.listing
        match event.key:
            case "escape" | "ctrl+c":
                self.dismiss()
            case "enter":
                self.dismiss(listing.chosen or None)
            case "down" | "ctrl+n" | "tab":
                listing.choose(1)
            case "up" | "ctrl+p" | "shift+tab":
                listing.choose(-1)
            case "pagedown":
                listing.choose(listing.page)
            case "pageup":
                listing.choose(-listing.page)
            case _:
                if listing.editing.key(event.key):
                    listing.typed()
                elif event.is_printable and event.character:
                    listing.editing.insert(event.character)
                    listing.typed()
