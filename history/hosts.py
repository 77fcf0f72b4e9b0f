"""What is known of each host: its last observation, and what is still owed to it."""

from collections.abc import Sequence
from typing import Any

from quarterdeck.history.chain import from_text, plain, to_text
from quarterdeck.history.clock import now
from quarterdeck.history.queueing import Queueing
from quarterdeck.history.records import ROUTER, Debt, Observation

OBSERVATION = "target, host, time, release, version, health, error, body"
DEBT = "target, host, release, rollout, since, reason"
_OF_TARGET = " WHERE host <> ? AND target = ?"


class Hosts(Queueing):
    """Observations (no audit events: they are measurements, not deeds) and debts."""

    def observe(self, observations: Sequence[Observation], rollout: int | None = None) -> None:
        """Replaces the last observation of each host or router, in one transaction. ``rollout``: which of them has seen it; one that
        takes something back finds room in the reserve."""
        if observations:
            self._write(lambda: self._put_observations(observations), rollout=rollout)

    def _put_observations(self, observations: Sequence[Observation]) -> None:
        """Within the open transaction."""
        rows = [
            (
                seen.target,
                seen.host,
                seen.time,
                seen.release,
                seen.version,
                seen.health,
                None if seen.error is None else plain(seen.error),
                to_text(seen.body),
            )
            for seen in observations
        ]
        self._connection.executemany(
            f"INSERT OR REPLACE INTO observation ({OBSERVATION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            rows,
        )

    def observations(self, target: str | None = None) -> list[Observation]:
        """The last observation of every host, of one target or all."""
        condition, values = (" WHERE host <> ?", [ROUTER]) if target is None else (_OF_TARGET, [ROUTER, target])
        rows = self._rows(f"SELECT {OBSERVATION} FROM observation{condition} ORDER BY target, host", values)  # noqa: S608 - constants
        bodies: dict[
            str, Any
        ] = {}  # the hosts of a target mostly say the same: a text that was parsed is not parsed again
        return [_to_observation(row, bodies) for row in rows]

    def router_observation(self, target: str) -> Observation | None:
        """The last one of the router in front of the target."""
        row = self._row(f"SELECT {OBSERVATION} FROM observation WHERE host = ? AND target = ?", (ROUTER, target))  # noqa: S608 - constants
        return None if row is None else _to_observation(row, {})

    def observed(self) -> dict[str, str]:
        """For each target a text that is another one as soon as one of its hosts, or its router, was observed anew: made by SQLite, as
        there may be tens of thousands of hosts, and hardly any of them is new."""
        rows = self._rows(
            "SELECT target, group_concat(host || char(31) || time || char(31) || coalesce(release, '') || char(31)"
            " || coalesce(version, '') || char(31) || health || char(31) || coalesce(error, ''), char(30))"
            " FROM observation GROUP BY target"
        )
        return dict(rows)

    def add_debt(self, target: str, host: str, release: str | None, rollout: int, reason: str) -> None:
        """A host could not be brought to ``release``; event ``debt``. An older debt of the host is replaced."""

        def change() -> None:
            self._connection.execute(
                f"INSERT OR REPLACE INTO debt ({DEBT}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                (target, host, release, rollout, now(), plain(reason)),
            )
            self._event("debt", target, rollout, host, {"release": release, "reason": reason})

        self._write(change, rollout=rollout, urgent=True)

    def settle_debt(self, target: str, host: str) -> None:
        """The host has what was owed to it; event ``debt.settled``. Nothing happens when nothing is owed."""

        def change() -> None:
            row: Any = self._row("SELECT release, rollout FROM debt WHERE target = ? AND host = ?", (target, host))
            if row is None:
                return
            self._connection.execute("DELETE FROM debt WHERE target = ? AND host = ?", (target, host))
            self._event("debt.settled", target, row[1], host, {"release": row[0]})

        self._write(change, urgent=True)

    def debts(self, target: str | None = None) -> list[Debt]:
        """What is owed, of one target or all."""
        condition, values = ("", []) if target is None else (" WHERE target = ?", [target])
        rows = self._rows(f"SELECT {DEBT} FROM debt{condition} ORDER BY target, host", values)  # noqa: S608 - constants
        return [Debt(*row) for row in rows]


def _to_observation(row: tuple[Any, ...], bodies: dict[str, Any]) -> Observation:
    """``bodies``: those that were parsed already, by their text; they are shared, and only read."""
    target, host, time, release, version, health, error, text = row
    body = bodies.get(text)
    if body is None:
        body = bodies[text] = from_text(text)
    return Observation(target, host, time, release, version, health, error, body)
