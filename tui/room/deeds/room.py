"""What concerns the room itself: help, filter, command line, looks, zoom, leaving."""

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words


async def _zoom(room: Room, _words: Words) -> None:
    room.toggle_zoom()


async def _quit(room: Room, _words: Words) -> None:
    room.exit()


HANDLERS: dict[str, Handler] = {"zoom": _zoom, "quit": _quit}
