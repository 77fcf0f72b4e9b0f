"""Who has a control room open, on what, and whose observer looks at the hosts. Advisory: nothing is locked or refused by it."""

import os
from collections.abc import Sequence
from typing import Any, Final

from quarterdeck.history.clock import boot_id, boottime, now
from quarterdeck.history.identity import process_identity
from quarterdeck.history.records import Observation, Presence, Sample
from quarterdeck.history.samples import SECOND, Samples

SILENT_SECONDS: Final = 45  # without a heartbeat: its room hangs, or its observer is gone
COLUMNS = "pid, start_ticks, boot_id, who, uid, view, target, since, heartbeat, looked, asked"
_ITS_OWN = " WHERE boot_id = ? AND pid = ? AND start_ticks = ?"


class Presences(Samples):
    """One row a control room, written by its observer process; rows of processes that are gone count for nothing."""

    def announce(self, pid: int, view: str, target: str | None) -> Presence:
        """The room of process ``pid`` is open, and shows this. Again: a heartbeat. Raises ``ProcessLookupError``."""
        ticks, boot = process_identity(pid)

        def change() -> Presence:
            beat = boottime()
            moved = self._connection.execute(
                f"UPDATE presence SET view = ?, target = ?, heartbeat = ?{_ITS_OWN}",  # noqa: S608 - constants
                (view, target, beat, boot, pid, ticks),
            )
            if moved.rowcount == 0:
                self._connection.execute(
                    f"INSERT INTO presence ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",  # noqa: S608 - constants
                    (pid, ticks, boot, self._operator.label, self._operator.uid, view, target, now(), beat),
                )
            row = self._connection.execute(f"SELECT {COLUMNS} FROM presence{_ITS_OWN}", (boot, pid, ticks)).fetchone()  # noqa: S608 - constants
            return Presence(*row)

        return self._write(change)

    def ask_to_look(self, mine: Presence) -> None:
        """The operator of this room wants the hosts to be looked at now, whoever's observer does it."""
        self._stamp(mine, "asked")

    def write_look(self, mine: Presence, observations: Sequence[Observation], samples: Sequence[Sample]) -> None:
        """What hosts answered, in one transaction, with the word that the observer of this room has just looked."""

        def change() -> None:
            self._put_round(observations, samples)
            self._put_stamp(mine, "looked")

        self._write(change)

    def leave(self, mine: Presence) -> None:
        """The room is closed. Nothing happens when it is not there."""
        self._write(
            lambda: self._connection.execute(
                f"DELETE FROM presence{_ITS_OWN}",  # noqa: S608 - constants
                (mine.boot_id, mine.pid, mine.start_ticks),
            )
        )

    def presences(self) -> list[Presence]:
        """The rooms that are open now, the longest open one first."""
        return [one for one in self._all_presences() if is_here(one)]

    def forget_the_gone(self) -> int:
        """Removes the rows of rooms that are not there any more; gives how many."""
        gone = [one for one in self._all_presences() if not is_here(one)]
        if gone:
            self._write(
                lambda: self._connection.executemany(
                    f"DELETE FROM presence{_ITS_OWN} AND heartbeat = ?",  # noqa: S608 - constants
                    [(one.boot_id, one.pid, one.start_ticks, one.heartbeat) for one in gone],
                )
            )
        return len(gone)

    def _all_presences(self) -> list[Presence]:
        rows: list[Any] = self._rows(f"SELECT {COLUMNS} FROM presence ORDER BY since, pid")  # noqa: S608 - constants
        return [Presence(*row) for row in rows]

    def _stamp(self, mine: Presence, column: str) -> None:
        self._write(lambda: self._put_stamp(mine, column))

    def _put_stamp(self, mine: Presence, column: str) -> None:
        self._connection.execute(
            f"UPDATE presence SET {column} = ?{_ITS_OWN}",  # noqa: S608 - constants
            (boottime(), mine.boot_id, mine.pid, mine.start_ticks),
        )


def is_here(presence: Presence) -> bool:
    """Whether that room's process lives and its observer has said so lately."""
    if presence.boot_id != boot_id() or boottime() - presence.heartbeat > SILENT_SECONDS * SECOND:
        return False
    try:
        return process_identity(presence.pid) == (presence.start_ticks, presence.boot_id)
    except ProcessLookupError:
        pass
    try:
        os.kill(presence.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there: /proc may hide the processes of others (hidepid)
    return True
