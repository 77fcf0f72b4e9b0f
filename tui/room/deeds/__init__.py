"""What actions do, one file a subject. Each file has HANDLERS: the id of an action, and what carries it out. They are loaded when
the first key asks for them: cards and what they stand on are a tenth of the room's start."""

import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room

Words = tuple[str, ...]
"""What was typed behind a `:` command; empty for a key."""

Handler = Callable[["Room", Words], Awaitable[None]]


SUBJECTS = (
    "moving",
    "overview",
    "looking",
    "health",
    "room",
    "logs",
    "comparing",
    "guide",
    "cards",
    "executing",
    "evidence",
)
"""The files, those first that are quick to load and that the first key is likely to be of."""


def handler_of(id: str) -> Handler | None:
    """What carries the action out; loads no more files than it takes to find it."""
    for subject in SUBJECTS:
        handler = handlers_in(subject).get(id)
        if handler is not None:
            return handler
    return None


def handlers_in(subject: str) -> Mapping[str, Handler]:
    """Those of one file, loaded now if it has not been."""
    handlers: Mapping[str, Handler] = importlib.import_module(f"{__name__}.{subject}").HANDLERS
    return handlers


def all_handlers() -> Mapping[str, Handler]:
    """By the action's id. Two handlers for one action are a fault of the program."""
    found: dict[str, Handler] = {}
    for subject in SUBJECTS:
        for name, handler in handlers_in(subject).items():
            if name in found:
                raise AssertionError(f"two handlers for {name}")
            found[name] = handler
    return found
