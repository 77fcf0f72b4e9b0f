"""One connection to the journal: whole transactions only, SQLite's errors in words, the reserve when the disk is full."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from quarterdeck.history import engine
from quarterdeck.history.errors import JournalBusy, JournalCorrupt, JournalError, JournalFull
from quarterdeck.history.holder import holder
from quarterdeck.history.place import Place
from quarterdeck.history.records import Operator
from quarterdeck.history.reserve import Reserve, free_bytes

if TYPE_CHECKING:
    import sqlite3

Result = TypeVar("Result")

NO_ROOM_BYTES = 256 * 1024  # with less free than this, a failed write is told as a full disk
RESTORE_SECONDS = 5.0


class Store:
    """Base of the journal. For one thread at a time, and for the process that opened it."""

    def __init__(self, place: Place, connection: "sqlite3.Connection", operator: Operator, *, read_only: bool) -> None:
        self._place = place
        self._connection = connection
        self._operator = operator
        self._read_only = read_only
        self._process = os.getpid()
        self._reserve = Reserve(place)
        self._reserve_whole = read_only or self._reserve.whole() or self._reserve.restore()
        self._restore_after = 0.0
        self._tip: tuple[int, str] | None = None  # the chain's head inside the transaction that is open
        self._joined = False  # in ``together``: each write is a part of one transaction

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows, in one short read: a reader that dawdles keeps the WAL from being reset."""
        try:
            return self._patiently(sql, parameters).fetchall()
        except engine.engine().error as error:
            raise self._told(error) from error

    def _each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        """Row by row, where all at once would take much memory; for a caller that does not dawdle."""
        try:
            yield from self._patiently(sql, parameters)
        except engine.engine().error as error:
            raise self._told(error) from error

    def _row(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first row or None."""
        rows = self._rows(sql, parameters)
        return rows[0] if rows else None

    def _write(self, change: Callable[[], Result], *, rollout: int | None = None, urgent: bool = False) -> Result:
        """Runs ``change`` in one transaction (perhaps twice, so it must only use the database) and makes it durable.

        When the disk is full, pieces of the reserve are given free if this is ``urgent`` or belongs to a rollout that takes
        something back. Raises ``JournalBusy``, ``JournalFull``, ``JournalCorrupt`` and whatever ``change`` raises.
        """
        if self._joined:
            return change()
        if self._process != os.getpid():
            raise JournalError("this journal was opened by another process: a forked child must open its own")
        if self._read_only:
            raise JournalError("this journal was opened for reading only")
        try:
            result = self._transaction(change)
        except JournalFull:
            self._reserve_whole = False
            if not (urgent or self._takes_back(rollout)):
                raise
            result = self._with_reserve(change)
        if not self._reserve_whole:
            self._restore_reserve()
        return result

    def together(self, writes: Callable[[], Result], *, rollout: int | None = None, urgent: bool = False) -> Result:
        """``writes`` calls the journal's own methods (perhaps twice): all that they write is there at once, or nothing of it.

        It is for one rollout, and counts as ``urgent`` as a whole. Raises what they raise; nothing was written then.
        """

        def change() -> Result:
            joined, self._joined = self._joined, True
            try:
                return writes()
            finally:
                self._joined = joined

        return self._write(change, rollout=rollout, urgent=urgent)

    def _with_reserve(self, change: Callable[[], Result]) -> Result:
        while self._reserve.release():
            try:
                return self._transaction(change)
            except JournalFull:
                continue
        return self._transaction(change)

    def _transaction(self, change: Callable[[], Result]) -> Result:
        connection = self._connection
        self._tip = None
        try:
            self._patiently("BEGIN IMMEDIATE")
            try:
                result = change()
                self._patiently("COMMIT")
            except BaseException:
                if connection.in_transaction:  # some failures have rolled it back already
                    connection.execute("ROLLBACK")
                raise
        except engine.engine().error as error:
            raise self._told(error) from error
        return result

    def _patiently(self, sql: str, parameters: Sequence[Any] = ()) -> "sqlite3.Cursor":
        """Executes, and while others hold a lock tries again, for BUSY_SECONDS.

        SQLite's own waiting sleeps up to a tenth of a second between two tries: beside a busy writer, who is away from the lock
        for microseconds only, it would never get its turn, and an operator's abort must.
        """
        deadline = 0.0
        while True:
            try:
                return self._connection.execute(sql, parameters)
            except engine.engine().error as error:
                if engine.result_code(error) & 0xFF != engine.BUSY:
                    raise
                now = time.monotonic()
                deadline = deadline or now + engine.BUSY_SECONDS
                if now > deadline:
                    raise
                time.sleep((0.2 + os.urandom(1)[0] / 100) / 1000)  # 0.2 to 2.8 ms, not in step with others

    def _takes_back(self, rollout: int | None) -> bool:
        """Whether this rollout brings an old release back: it may use the reserve."""
        if rollout is None:
            return False
        row = self._row("SELECT kind, state FROM rollout WHERE id = ?", (rollout,))
        return row is not None and (row[0] == "rollback" or row[1] in ("aborting", "rolling_back"))

    def _restore_reserve(self) -> None:
        now = time.monotonic()
        if now >= self._restore_after:
            self._restore_after = now + RESTORE_SECONDS
            self._reserve_whole = self._reserve.restore()

    def _told(self, error: BaseException) -> BaseException:
        """The error in our words; errors that only a mistake in this floor can cause stay as they are."""
        return told(error, self._place)


def told(error: BaseException, place: Place) -> BaseException:
    """SQLite's error as one of ours."""
    match engine.result_code(error) & 0xFF:
        case engine.BUSY | engine.LOCKED:
            found = holder(place.journal)
            return JournalBusy(found.pid, found.label, engine.BUSY_SECONDS)
        case engine.FULL:
            return JournalFull(str(place.state), reserve=Reserve(place).left())
        case engine.IOERR | engine.CANTOPEN if free_bytes(place.state) < NO_ROOM_BYTES:
            return JournalFull(str(place.state), reserve=Reserve(place).left())  # SQLite has more than one word for it
        case engine.CORRUPT | engine.NOTADB:
            return JournalCorrupt(str(place.journal), str(error))
        case engine.ERROR if str(error).startswith("no such table"):
            return JournalCorrupt(str(place.journal), str(error))
        case engine.READONLY | engine.CANTOPEN:
            return JournalError(
                f"the journal {place.journal} can't be opened or written ({error})",
                advice="Look at the permissions of the state directory and its files",
            )
        case engine.IOERR:
            return JournalError(
                f"the disk of the journal {place.journal} failed ({error})", advice="Look at the kernel's log"
            )
    return error
