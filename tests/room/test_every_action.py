"""Every action of the registry is carried out by something."""

from quarterdeck.tui.room.actions import ACTIONS, BY_ID
from quarterdeck.tui.room.deeds import all_handlers


def test_what_can_be_done_is_carried_out() -> None:
    handlers = all_handlers()
    assert {action.id for action in ACTIONS} - set(handlers) == set()
    assert set(handlers) <= set(BY_ID)
