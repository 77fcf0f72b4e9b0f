"""What a room under test shows, as text, and waiting for it."""

import time
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.rows import plain

DEADLINE = 60.0  # seconds: an observer's or a worker's start on a busy machine is among what is waited for


def pane_text(room: Room, name: str) -> str:
    """The rows of a pane as they are painted."""
    return "\n".join(plain(row).rstrip() for row in room.pane(name)._rows)


async def until(pilot: Pilot[Any], holds: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Lets the application run until ``holds()``."""
    end = time.monotonic() + deadline
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:g} s for {what}")
        await pilot.pause(0.02)
