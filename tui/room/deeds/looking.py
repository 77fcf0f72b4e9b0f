"""Looking at things: the views, and the target that is chosen in one of them."""

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.views import VIEWS


def _view(name: str) -> Handler:
    async def show(room: Room, _words: Words) -> None:
        room.visit(name)

    return show


def _view_of_target(name: str) -> Handler:
    async def show(room: Room, words: Words) -> None:
        target = room.target_in(words)
        if target is not None:
            room.visit(name, target=target)

    return show


HANDLERS: dict[str, Handler] = {
    **{f"view-{view.number}": _view(view.name) for view in VIEWS.values()},
    "logs": _view_of_target("logs"),
    "health": _view_of_target("health"),
    "events": _view_of_target("history"),
}
