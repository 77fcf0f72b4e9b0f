"""Which key stands for which action: the registry's keys, with an operator's own in their place. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from quarterdeck.config.settings import Bound, Known
from quarterdeck.tui.room.actions import ACTIONS, BY_ID, Action
from quarterdeck.tui.room.looks import LOOKS

ALWAYS: Final[Mapping[str, str]] = {"ctrl+q": "quit", "ctrl+z": "suspend", "ctrl+c": "interrupt"}
"""Keys that no setting moves: one must always be able to leave."""

_SHOWN: Final = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "tab": "Tab",
    "shift+tab": "S-Tab",
    "pagedown": "PgDn",
    "pageup": "PgUp",
}


def key_text(key: str) -> str:
    """A key as it is written for people: Textual's names are long."""
    if key in _SHOWN:
        return _SHOWN[key]
    if "_" in key or key in _SIGN_WORDS:
        return _SIGN_WORDS.get(key, key)
    return key.replace("ctrl+", "ctrl-")


def _signs() -> dict[str, str]:
    from quarterdeck.config.settings import key_name

    return {key_name(chr(code)): chr(code) for code in range(0x21, 0x7F) if not chr(code).isalnum()}


_SIGN_WORDS: Final = _signs()


class Keymap(msgspec.Struct, frozen=True):
    """``changed``: by action, the keys that are not the registry's."""

    changed: Mapping[str, tuple[str, ...]]

    def keys(self, action: Action) -> tuple[str, ...]:
        return self.changed.get(action.id, action.keys)

    def shown(self, action: Action) -> str:
        """The first key of an action as people write it; empty when it has none."""
        keys = self.keys(action)
        return key_text(keys[0]) if keys else ""

    def key_of(self, id: str) -> str:
        """The same by the action's id, for sentences such as "R roll back"."""
        return self.shown(BY_ID[id])

    def bound(self) -> Iterator[str]:
        """Every key that does something somewhere, once."""
        yield from dict.fromkeys(key for action in ACTIONS for key in self.keys(action))

    def action_of(self, key: str, pane: str) -> Action | None:
        """What a key stands for where ``pane`` has the keys: the pane's own action before one that counts everywhere."""
        fitting = [action for action in ACTIONS if key in self.keys(action) and action.pane in ("", pane)]
        return max(fitting, key=lambda action: bool(action.pane), default=None)


DEFAULT: Final = Keymap({})


def known() -> Known:
    """What a settings file may name."""
    return Known(tuple(LOOKS), {action.id: Bound(action.keys, action.pane) for action in ACTIONS})


def shared_keys(actions: Iterable[Action]) -> list[tuple[str, str, str]]:
    """Pairs of actions that have the same key in the same place: key, one, other. There must be none."""
    taken: dict[tuple[str, str], str] = {}
    found = []
    for action in actions:
        for key in action.keys:
            if (action.pane, key) in taken:
                found.append((key, taken[action.pane, key], action.id))
            taken[action.pane, key] = action.id
    return found
