"""What changes something: every capital opens a card, or asks the rollout that is under way."""

from quarterdeck.tui.room.deeds import Handler

HANDLERS: dict[str, Handler] = {}
