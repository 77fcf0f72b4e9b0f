"""What this room has asked of rollouts, and what became of it: each answer is said once. A wish names the step it is about."""

from typing import TYPE_CHECKING

from quarterdeck.tui.room.rollout_rows import one_line

if TYPE_CHECKING:
    from quarterdeck.history.records import Request
    from quarterdeck.tui.room.app import Room
    from quarterdeck.tui.room.desk import News
    from quarterdeck.tui.room.opening import Place


class Asked:
    """A companion of the room."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._open: dict[int, tuple[int, str]] = {}  # by the request's number: rollout and kind

    async def ask(self, rollout: int, kind: str, step: int | None = None) -> None:
        """Raises Refused, JournalError, TimeoutError."""
        self._asked(rollout, kind, await self._room.desk.act(lambda control: control.ask(rollout, kind, step=step)))

    async def promote(self, rollout: int, *, full: bool) -> None:
        """Raises Refused, JournalError, TimeoutError."""
        request = await self._room.desk.act(lambda control: control.promote(rollout, full=full))
        self._asked(rollout, "promote", request)

    def _asked(self, rollout: int, kind: str, request: "Request") -> None:
        self._open[request.id] = (rollout, kind)
        self._room.watched.watch(rollout)
        self._room.say(f"{kind} was asked of rollout {rollout}")

    def news_came(self, news: "News") -> None:
        for event in news.events:
            number = event.body.get("request")
            if event.kind != "answer" or not isinstance(number, int) or number not in self._open:
                continue
            rollout, kind = self._open.pop(number)
            refused = "refused: " if event.body.get("state") == "refused" else ""
            self._room.say(f"{kind} of rollout {rollout}: {refused}{one_line(event.body.get('answer') or 'done')}")

    def place_changed(self, place: "Place") -> None:
        """Nothing depends on where one looks."""

    def close(self) -> None:
        """Answers that are still to come are in the journal."""
