"""Says how a rollout ended that this room began or asked something of: the operator may look at something else by then."""

from typing import TYPE_CHECKING

from quarterdeck.history.records import ENDED, RolloutState
from quarterdeck.tui.room.rollout_rows import one_line, state_words

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room
    from quarterdeck.tui.room.desk import News
    from quarterdeck.tui.room.opening import Place


class Watched:
    """A companion of the room. Bell and title are attention.py's."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._rollouts: set[int] = set()

    def watch(self, rollout: int) -> None:
        self._rollouts.add(rollout)

    def news_came(self, news: "News") -> None:
        for event in news.events:
            if event.kind != "state" or event.rollout not in self._rollouts:
                continue
            try:
                state = RolloutState(str(event.body.get("to")))
            except ValueError:
                continue
            if state not in ENDED:
                continue
            self._rollouts.discard(event.rollout)
            if str(event.body.get("from")) != RolloutState.ARMED:
                seen = self._room.picture.rollout(event.rollout)
                where = f"{event.target} {seen.rollout.kind}" if seen is not None else event.target or ""
                outcome = one_line(event.body.get("outcome") or "")
                self._room.say(f"rollout {event.rollout}, {where}: {state_words(state)}. {outcome}")

    def place_changed(self, place: "Place") -> None:
        """Nothing depends on where one looks."""

    def close(self) -> None:
        """Nothing was started."""
