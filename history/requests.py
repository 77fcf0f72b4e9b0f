"""What operators ask of a running rollout, and what became of it. A worker picks requests up; nobody waits for an answer here."""

from collections.abc import Collection
from typing import Any

from quarterdeck.history.asked import SELECT, to_request
from quarterdeck.history.chain import plain, to_text
from quarterdeck.history.clock import now
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.records import ENDED, Request, RolloutState
from quarterdeck.history.steps import Steps


class Requests(Steps):
    """Requests, in the order in which they were made."""

    def ask(
        self,
        rollout: int,
        kind: str,
        *,
        step: int | None = None,
        arguments: dict[str, Any] | None = None,
        states: Collection[RolloutState] | None = None,
    ) -> Request:
        """Writes the wish down; event ``request``. Pressed twice by one operator, the open request is returned instead.

        Raises ``RequestRefused`` when the rollout has ended, or is in none of ``states`` (at this very moment: a rollout
        that has just moved on must not be left with a wish that nobody looks at).
        """

        def change() -> Request:
            found = self._known(rollout)
            if found.state in ENDED:
                raise RequestRefused(f"rollout {rollout} has ended: {found.state}")
            if states is not None and found.state not in states:
                raise RequestRefused(f"rollout {rollout} is {found.state} now: there is nothing to {kind}")
            text, uid = to_text(arguments or {}), self._operator.uid
            same = self._row(
                f"{SELECT} WHERE rollout = ? AND state = 'open' AND kind = ? AND step IS ? AND arguments = ? AND uid = ?",
                (rollout, kind, step, text, uid),
            )
            if same is not None:
                return to_request(same)
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
            return self.request(id)

        return self._write(change, rollout=rollout, urgent=True)

    def answer(self, request_id: int, state: str, answer: str, epoch: int | None = None) -> None:
        """Closes an open request as done or refused, with a sentence; event ``answer``.

        What is open when the rollout ends is closed by its end. Raises ``RequestRefused`` when it is closed already,
        ``EpochLost`` when ``epoch`` is given and no longer holds.
        """
        if state not in ("done", "refused"):
            raise ValueError(state)

        def change() -> None:
            request = self.request(request_id)
            found = self._known(request.rollout)
            if epoch is not None:
                self._check_epoch(found, epoch)
            if request.state != "open":
                raise RequestRefused(f"request {request_id} has been answered: {request.state}")
            self._close(request, found.target, state, answer)

        self._write(change, urgent=True)
