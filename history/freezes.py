"""Freezes that somebody made by hand, beside those of the fleet file. What they mean at a moment is for rollouts/freezes.py."""

from typing import Any

from quarterdeck.history.approvals import Approvals
from quarterdeck.history.chain import plain
from quarterdeck.history.clock import now
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.records import MadeFreeze

SELECT = "SELECT id, environment, until, reason, by, uid, since, ended, ended_by FROM freeze"


class Freezes(Approvals):
    """One row a freeze; it holds until it is ended, or its time is over."""

    def freeze(self, environment: str, until: str | None, reason: str) -> MadeFreeze:
        """Freezes an environment from now on. ``until``: ISO 8601 UTC, None: until somebody ends it. Event ``freeze``."""

        def change() -> MadeFreeze:
            since = now()
            cursor = self._connection.execute(
                "INSERT INTO freeze (environment, until, reason, by, uid, since) VALUES (?, ?, ?, ?, ?, ?)",
                (environment, until, plain(reason), plain(self._operator.label), self._operator.uid, since),
            )
            id = cursor.lastrowid
            assert id is not None
            body = {"freeze": id, "environment": environment, "until": until, "reason": reason}
            self._event("freeze", None, None, None, {**body, "where": self._operator.where})
            return self._freeze(id)

        return self._write(change)

    def end_freeze(self, id: int, reason: str = "") -> MadeFreeze:
        """Event ``freeze.ended``. Raises ``RequestRefused`` when there is none of this number, or it was ended already."""

        def change() -> MadeFreeze:
            found = self._freeze(id)
            if found.ended is not None:
                raise RequestRefused(f"freeze {id} of {found.environment} was ended already, by {found.ended_by}")
            self._connection.execute(
                "UPDATE freeze SET ended = ?, ended_by = ? WHERE id = ?", (now(), plain(self._operator.label), id)
            )
            body = {"freeze": id, "environment": found.environment, "reason": reason, "where": self._operator.where}
            self._event("freeze.ended", None, None, None, body)
            return self._freeze(id)

        return self._write(change)

    def made_freezes(self, environment: str | None = None) -> list[MadeFreeze]:
        """Those that nobody has ended, the oldest first; also those whose time is over: the wall clock is for who asks."""
        where = " WHERE ended IS NULL" + (" AND environment = ?" if environment is not None else "")
        return [
            MadeFreeze(*row)
            for row in self._rows(f"{SELECT}{where} ORDER BY id", () if environment is None else (environment,))
        ]

    def _freeze(self, id: int) -> MadeFreeze:
        row: Any = self._row(f"{SELECT} WHERE id = ?", (id,))
        if row is None:
            raise RequestRefused(f"there is no freeze {id}")
        return MadeFreeze(*row)
