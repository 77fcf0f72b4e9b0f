"""What actions do, one file a subject. Each file has HANDLERS: the id of an action, and what carries it out."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room

Words = tuple[str, ...]
"""What was typed behind a `:` command; empty for a key."""

Handler = Callable[["Room", Words], Awaitable[None]]


def all_handlers() -> Mapping[str, Handler]:
    """By the action's id. Two handlers for one action are a fault of the program."""
    from quarterdeck.tui.room.deeds import cards, comparing, guide, health, logs, looking, moving, overview, room

    found: dict[str, Handler] = {}
    for module in (cards, comparing, health, looking, moving, overview, logs, room, guide):
        for name, handler in module.HANDLERS.items():
            if name in found:
                raise AssertionError(f"two handlers for {name}")
            found[name] = handler
    return found
