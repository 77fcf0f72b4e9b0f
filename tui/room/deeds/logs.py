"""What can be done with the lines of the logs pane."""

from quarterdeck.tui.room.deeds import Handler

HANDLERS: dict[str, Handler] = {}
