"""The bell, and the terminal's title, when a rollout ends that this room began or asked something of."""

from typing import TYPE_CHECKING

from quarterdeck.history.records import ENDED, RolloutState
from quarterdeck.tui.room.rollout_rows import one_line, state_words

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Place, Room
    from quarterdeck.tui.room.desk import News

SAVE_TITLE, OLD_TITLE = "\x1b[22;2t", "\x1b[23;2t"  # XTWINOPS: terminals that have no such stack leave it alone


class Ringing:
    """A companion of the room. Both can be turned off in the settings."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._watched: set[int] = set()
        self._titled = False

    def watch(self, rollout: int) -> None:
        self._watched.add(rollout)

    def news_came(self, news: "News") -> None:
        for event in news.events:
            if event.kind != "state" or event.rollout not in self._watched:
                continue
            try:
                state = RolloutState(str(event.body.get("to")))
            except ValueError:
                continue
            seen = self._room.picture.rollout(event.rollout)
            where = f"{event.target} {seen.rollout.kind}" if seen is not None else event.target or ""
            if state not in ENDED:
                self._title(f"qd: {where} {state_words(state)}")
                continue
            self._watched.discard(event.rollout)
            began = str(event.body.get("from")) not in (RolloutState.ARMED, RolloutState.QUEUED)
            if began:
                self._title(f"qd: {where} {state_words(state).upper()}")
                if self._wanted("bell"):
                    self._room.bell()
                self._room.say(
                    f"rollout {event.rollout}, {where}: {state_words(state)}. {one_line(event.body.get('outcome') or '')}"
                )

    def _wanted(self, what: str) -> bool:
        return self._room.settings.bell if what == "bell" else self._room.settings.title

    def _title(self, text: str) -> None:
        if not self._wanted("title"):
            return
        if not self._titled:
            self._titled = True
            self._write(SAVE_TITLE)
        self._write(f"\x1b]2;{one_line(text)}\x07")

    def _write(self, sequence: str) -> None:
        self._room.write_sequence(sequence)

    def place_changed(self, place: "Place") -> None:
        """Nothing depends on where one looks."""

    def close(self) -> None:
        """The terminal gets its own title back."""
        if self._titled:
            self._write(OLD_TITLE)
