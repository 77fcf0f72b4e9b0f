"""Opens the control room on a terminal, and gives the exit status when it is left."""

from quarterdeck.tui.room.app import Opening, Room


def open_room(opening: Opening, *, mouse: bool = False) -> int:
    """Runs until the operator leaves. The screen library draws on standard error; nothing else may be written there."""
    return Room(opening).run(mouse=mouse) or 0
