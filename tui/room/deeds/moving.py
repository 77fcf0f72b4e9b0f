"""Moving about: rows, panes, views, and back to where one was."""

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words


def _rows(by: int) -> Handler:
    async def move(room: Room, _words: Words) -> None:
        if (pane := room.focused_pane) is not None:
            pane.move(by)

    return move


def _sideways(by: int) -> Handler:
    async def move(room: Room, _words: Words) -> None:
        if (pane := room.focused_pane) is not None:
            pane.move_sideways(by)

    return move


def _pages(by: float) -> Handler:
    async def move(room: Room, _words: Words) -> None:
        if (pane := room.focused_pane) is not None:
            pane.move(int(pane.page * by) or (1 if by > 0 else -1))

    return move


def _end(last: bool) -> Handler:
    async def move(room: Room, _words: Words) -> None:
        if (pane := room.focused_pane) is not None:
            pane.move_to_end(last)

    return move


def _next_pane(by: int) -> Handler:
    async def move(room: Room, _words: Words) -> None:
        room.focus_pane(by)

    return move


async def _open(room: Room, _words: Words) -> None:
    if (pane := room.focused_pane) is not None:
        pane.open_chosen()


async def _back(room: Room, _words: Words) -> None:
    room.go_back()


async def _older(room: Room, _words: Words) -> None:
    room.travel(-1)


async def _newer(room: Room, _words: Words) -> None:
    room.travel(1)


HANDLERS = {
    "down": _rows(1),
    "up": _rows(-1),
    "right": _sideways(1),
    "left": _sideways(-1),
    "page-down": _pages(0.5),
    "page-up": _pages(-0.5),
    "first": _end(False),
    "last": _end(True),
    "next-pane": _next_pane(1),
    "previous-pane": _next_pane(-1),
    "open": _open,
    "back": _back,
    "older": _older,
    "newer": _newer,
}
