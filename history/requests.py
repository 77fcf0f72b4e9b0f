"""What operators ask of a running rollout, and what became of it. A worker picks requests up; nobody waits for an answer here."""

from typing import Any

from quarterdeck.history.chain import from_text, plain, to_text
from quarterdeck.history.clock import now
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.records import ENDED, Request
from quarterdeck.history.steps import Steps

SELECT = "SELECT id, rollout, step, kind, by, uid, time, arguments, state, answer FROM request"


class Requests(Steps):
    """Requests, in the order in which they were made."""

    def ask(
        self, rollout: int, kind: str, *, step: int | None = None, arguments: dict[str, Any] | None = None
    ) -> Request:
        """Writes the wish down; event ``request``. Pressed twice by one operator, the open request is returned instead.

        Raises ``RequestRefused`` when the rollout has ended.
        """

        def change() -> Request:
            found = self._known(rollout)
            if found.state in ENDED:
                raise RequestRefused(f"rollout {rollout} has ended: {found.state}")
            text, uid = to_text(arguments or {}), self._operator.uid
            same = self._row(
                f"{SELECT} WHERE rollout = ? AND state = 'open' AND kind = ? AND step IS ? AND arguments = ? AND uid = ?",
                (rollout, kind, step, text, uid),
            )
            if same is not None:
                return _to_request(same)
            cursor = self._connection.execute(
                "INSERT INTO request (rollout, step, kind, by, uid, time, arguments) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (rollout, step, kind, plain(self._operator.label), uid, now(), text),
            )
            id = cursor.lastrowid
            assert id is not None
            body = {
                "request": id,
                "kind": kind,
                "step": step,
                "arguments": arguments or {},
                "where": self._operator.where,
            }
            self._event("request", found.target, rollout, None, body)
            return self._request(id)

        return self._write(change, rollout=rollout, urgent=True)

    def open_requests(self, rollout: int) -> list[Request]:
        """Those not yet answered, the oldest first."""
        return [
            _to_request(row)
            for row in self._rows(f"{SELECT} WHERE rollout = ? AND state = 'open' ORDER BY id", (rollout,))
        ]

    def request(self, id: int) -> Request:
        """Raises ``RequestRefused`` when there is none of this number."""
        return self._request(id)

    def answer(self, request_id: int, state: str, answer: str, epoch: int | None = None) -> None:
        """Closes an open request as done or refused, with a sentence; event ``answer``.

        Raises ``RequestRefused`` when it is closed already, ``EpochLost`` when ``epoch`` is given and no longer holds.
        """
        if state not in ("done", "refused"):
            raise ValueError(state)

        def change() -> None:
            request = self._request(request_id)
            found = self._known(request.rollout)
            if epoch is not None:
                self._check_epoch(found, epoch)
            if request.state != "open":
                raise RequestRefused(f"request {request_id} has been answered: {request.state}")
            self._connection.execute(
                "UPDATE request SET state = ?, answer = ? WHERE id = ?", (state, plain(answer), request_id)
            )
            body = {"request": request_id, "kind": request.kind, "state": state, "answer": answer}
            self._event("answer", found.target, found.id, None, body)

        self._write(change, urgent=True)

    def _request(self, id: int) -> Request:
        row = self._row(f"{SELECT} WHERE id = ?", (id,))
        if row is None:
            raise RequestRefused(f"there is no request {id}")
        return _to_request(row)


def _to_request(row: tuple[Any, ...]) -> Request:
    id, rollout, step, kind, by, uid, time, arguments, state, answer = row
    return Request(id, rollout, step, kind, by, uid, time, from_text(arguments), state, answer)
