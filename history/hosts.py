"""What is known of each host: its last observation, and what is still owed to it."""

from collections.abc import Collection, Sequence
from typing import Any

from quarterdeck.history.chain import from_text, plain, to_text
from quarterdeck.history.clock import now
from quarterdeck.history.queueing import Queueing
from quarterdeck.history.records import BETWEEN, NOTHING, ROUTER, Debt, Observation, Said

OBSERVATION = "target, host, time, release, version, health, error, body"
DEBT = "target, host, release, rollout, since, reason"
_OF_TARGET = " WHERE host <> ? AND target = ?"
_SAID = ", ".join(  # NULL where no text is: by its notes SQLite before 3.47 may say so of one that is empty
    f"coalesce(group_concat({column}, char(30)), '')"
    for column in (
        *("host", "time", "coalesce(release, char(29))", "coalesce(version, char(29))"),
        *("health", "coalesce(error, char(29))"),
    )
)


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

    def said(self, targets: Collection[str]) -> dict[str, Said]:
        """The last observation of every host of each of these targets, and of its router, in columns. Targets of which none was ever
        observed are not in it. The caller asks for as many at once as it wants in memory."""
        marks = ",".join("?" * len(targets))
        sql = (
            f"SELECT target, count(*), {_SAID}, coalesce(group_concat(body, char(30)), '')"  # noqa: S608 - constants
            f" FROM observation WHERE target IN ({marks}) GROUP BY target"
        )
        found: dict[str, Said] = {}
        for target, count, *columns in self._rows(sql, tuple(targets)):
            if any(column.count(BETWEEN) != count - 1 for column in columns):
                columns = self._cleared(target)  # not by us: a value that holds what is between two
            found[target] = Said(*columns)
        return found

    def _cleared(self, target: str) -> list[str]:
        """The columns, with a space in place of what may only stand between two values."""
        rows = self._rows(f"SELECT {OBSERVATION} FROM observation WHERE target = ? ORDER BY host", (target,))  # noqa: S608 - constants
        values = zip(*(row[1:] for row in rows), strict=True)
        return [
            BETWEEN.join(NOTHING if one is None else str(one).replace(BETWEEN, " ") for one in column)
            for column in values
        ]

    def observed(self) -> dict[str, int]:
        """For each target the ``Said.fingerprint`` that ``said`` would have now. SQLite makes the texts: there may be tens of thousands of
        hosts, and hardly any of them is new."""
        sql = f"SELECT target, {_SAID} FROM observation GROUP BY target"  # noqa: S608 - constants
        return {target: hash(tuple(columns)) for target, *columns in self._each(sql)}

    def newest(self) -> dict[str, tuple[str, str]]:
        """For each target when the last of its hosts was observed, and when its router was; empty: never."""
        sql = (
            "SELECT target, max(CASE WHEN host = ? THEN '' ELSE time END), max(CASE WHEN host = ? THEN time ELSE '' END)"
            " FROM observation GROUP BY target"
        )
        return {target: (hosts, router) for target, hosts, router in self._rows(sql, (ROUTER, ROUTER))}

    def router_observation(self, target: str) -> Observation | None:
        """The last one of the router in front of the target."""
        row = self._row(f"SELECT {OBSERVATION} FROM observation WHERE host = ? AND target = ?", (ROUTER, target))  # noqa: S608 - constants
        return None if row is None else _to_observation(row, {})

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
