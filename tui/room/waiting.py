"""What is armed from this room and waits for its key: given up also when the terminal goes away under an open card, which gets no turn
then. A room that is killed can't do that; its workers leave by themselves when nobody said go for a while."""

import contextlib
from typing import TYPE_CHECKING

from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.desk import News
from quarterdeck.tui.room.opening import Place

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room


class Waiting:
    """The numbers of rollouts that a card here has armed and nobody has let go."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._armed: set[int] = set()

    def hold(self, rollout: int) -> None:
        self._armed.add(rollout)

    def forget(self, rollout: int) -> None:
        """It was let go, or given up by its card."""
        self._armed.discard(rollout)

    def place_changed(self, place: Place) -> None:
        """Cards stay open whatever is chosen behind them."""

    def news_came(self, news: News) -> None:
        """Cards see for themselves what becomes of theirs."""

    def close(self) -> None:
        """In whatever thread it is called; with a connection of its own, as the loop may stand still."""
        armed, self._armed = self._armed, set()
        desk = self._room.desk
        if not armed or desk.read_only:
            return
        with (
            contextlib.suppress(JournalError),
            Journal.open(desk.fleet.state, operator=desk.operator, create=False) as journal,
        ):
            control = Control(desk.fleet, journal, desk.operator)
            for rollout in armed:
                with contextlib.suppress(Refused):  # it has ended or begun meanwhile
                    control.cancel(rollout)
