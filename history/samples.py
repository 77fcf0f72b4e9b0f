"""Measurements of hosts and services, kept for about an hour: what the health panes show. They are no events and no evidence."""

from collections.abc import Collection, Sequence
from typing import Final

from quarterdeck.history.chain import plain
from quarterdeck.history.clock import boot_id, boottime
from quarterdeck.history.hosts import Hosts
from quarterdeck.history.records import Metric, Observation, Sample

SECOND: Final = 1_000_000_000  # nanoseconds
KEPT_SECONDS: Final = 3600
KEPT_ROWS: Final = 150_000  # however many hosts there are
PRUNED_AT_ONCE: Final = 20_000  # rows: a transaction stays short
COLUMNS = "target, host, release, metric, value, time, boottime"
READ = f"SELECT {COLUMNS}, id FROM sample WHERE"  # noqa: S608 - constants


class Samples(Hosts):
    """Writing and reading samples. Their age goes by boot time: a clock that jumps loses and keeps none too long."""

    def write_round(self, observations: Sequence[Observation], samples: Sequence[Sample]) -> None:
        """What one round of looking at hosts found, in one transaction."""
        if observations or samples:
            self._write(lambda: self._put_round(observations, samples))

    def _put_round(self, observations: Sequence[Observation], samples: Sequence[Sample]) -> None:
        """Within the open transaction."""
        self._put_observations(observations)
        self._connection.executemany(
            f"INSERT INTO sample ({COLUMNS}, boot_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
            [
                (
                    one.target,
                    one.host,
                    one.release,
                    str(one.metric),
                    one.value,
                    plain(one.time),
                    one.boottime,
                    boot_id(),
                )
                for one in samples
            ],
        )

    def samples(self, target: str, hosts: Collection[str], seconds: float, *, after: int = 0) -> list[Sample]:
        """What was measured of a target on these hosts, and of the hosts themselves, in the last ``seconds``; in the order in which it
        was written. ``after``: only what was written after the sample of that id."""
        places = ", ".join("?" * len(hosts))
        rows = self._rows(
            f"{READ} target IN (?, '') AND host IN ({places}) AND boottime > ? AND boot_id = ? AND id > ? ORDER BY id",
            [target, *hosts, boottime() - int(seconds * SECOND), boot_id(), after],
        )
        return [Sample(*row) for row in rows]

    def probes(self, seconds: float, *, limit: int = 20_000) -> list[Sample]:
        """Outcomes of health checks of all targets in the last ``seconds`` (of the newest ``limit`` samples); oldest first."""
        rows = self._rows(
            f"{READ} id > (SELECT coalesce(max(id), 0) FROM sample) - ?"  # noqa: S608 - constants
            " AND boottime > ? AND boot_id = ? AND metric IN (?, ?) ORDER BY id",
            [limit, boottime() - int(seconds * SECOND), boot_id(), str(Metric.LATENCY), str(Metric.FAILURE)],
        )
        return [Sample(*row) for row in rows]

    def prune_samples(self, *, seconds: float = KEPT_SECONDS, rows: int = KEPT_ROWS) -> int:
        """Removes what is older than ``seconds``, of another boot, or above ``rows``; gives how many went (a bounded number)."""

        def change() -> int:
            gone = self._connection.execute(
                "DELETE FROM sample WHERE id IN (SELECT id FROM sample WHERE boottime < ? OR boot_id <> ?"
                " OR id <= (SELECT max(id) FROM sample) - ? ORDER BY id LIMIT ?)",
                (boottime() - int(seconds * SECOND), boot_id(), rows, PRUNED_AT_ONCE),
            )
            return int(gone.rowcount)

        return self._write(change)
