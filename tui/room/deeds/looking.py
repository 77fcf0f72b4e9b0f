"""Looking at things: the views, and the target that is chosen in one of them."""

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.panes.history import History
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


async def _events(room: Room, words: Words) -> None:
    """The history of the target; from there once more: of the whole fleet again."""
    target = room.target_in(words)
    history = room.pane("history")
    assert isinstance(history, History)
    again = room.place.view == "history" and not words and history.of_target == target
    room.visit("history", target=target)
    history.show_only(None if again else target)


async def _details(room: Room, _words: Words) -> None:
    history = room.pane("history")
    assert isinstance(history, History)
    room.say("every step is shown" if history.toggle_details() else "steps that went as they should are left out")


HANDLERS: dict[str, Handler] = {
    **{f"view-{view.number}": _view(view.name) for view in VIEWS.values()},
    "logs": _view_of_target("logs"),
    "health": _view_of_target("health"),
    "events": _events,
    "details": _details,
}
