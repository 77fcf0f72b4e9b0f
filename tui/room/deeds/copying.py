"""Copying a text, and saying where it went: the one way for every pane."""

from quarterdeck.tui.room import clipboard
from quarterdeck.tui.room.app import Room


def copy_text(room: Room, text: str, *, nothing: str) -> None:
    """``nothing``: what is said when there is no text."""
    if not text:
        room.say(nothing)
        return

    async def copy() -> None:
        try:
            room.say((await clipboard.copy(text, room.write_sequence)).said)
        except OSError as error:
            room.say(f"nothing was copied: {error.strerror or error}")

    room.carry_out("copy", copy())
