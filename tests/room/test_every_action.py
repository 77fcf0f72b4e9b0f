"""Every action of the registry is carried out by something."""

from quarterdeck.tui.room.actions import ACTIONS, BY_ID, Group
from quarterdeck.tui.room.deeds import all_handlers

WHOLE = (Group.MOVE, Group.ROOM)
"""The groups of which every action must have a handler."""
NOT_HERE = {"sort", "refresh"}


def test_what_can_be_done_is_carried_out() -> None:
    handlers = all_handlers()
    missing = {action.id for action in ACTIONS if action.group in WHOLE and action.id not in handlers}
    assert missing <= NOT_HERE
    assert set(handlers) <= set(BY_ID)
