"""Requests as rows, below rollouts: reading them and closing them. What may be asked, and when, is for ``requests``."""

from typing import Any

from quarterdeck.history.chain import from_text, plain
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.records import Request
from quarterdeck.history.releases import Releases

SELECT = "SELECT id, rollout, step, kind, by, uid, time, arguments, state, answer FROM request"


class Asked(Releases):
    """What was asked of rollouts."""

    def open_requests(self, rollout: int) -> list[Request]:
        """Those not yet answered, the oldest first."""
        return [
            to_request(row)
            for row in self._rows(f"{SELECT} WHERE rollout = ? AND state = 'open' ORDER BY id", (rollout,))
        ]

    def requests(self, rollout: int) -> list[Request]:
        """All that was asked of it, the oldest first."""
        return [to_request(row) for row in self._rows(f"{SELECT} WHERE rollout = ? ORDER BY id", (rollout,))]

    def request(self, id: int) -> Request:
        """Raises ``RequestRefused`` when there is none of this number."""
        row = self._row(f"{SELECT} WHERE id = ?", (id,))
        if row is None:
            raise RequestRefused(f"there is no request {id}")
        return to_request(row)

    def _close(self, request: Request, target: str, state: str, answer: str) -> None:
        """Writes the answer and its event into the open transaction."""
        self._connection.execute(
            "UPDATE request SET state = ?, answer = ? WHERE id = ?", (state, plain(answer), request.id)
        )
        body = {"request": request.id, "kind": request.kind, "state": state, "answer": answer}
        self._event("answer", target, request.rollout, None, body)


def to_request(row: tuple[Any, ...]) -> Request:
    """A request from the columns of SELECT."""
    id, rollout, step, kind, by, uid, time, arguments, state, answer = row
    return Request(id, rollout, step, kind, by, uid, time, from_text(arguments), state, answer)
