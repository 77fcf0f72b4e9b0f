"""Keeps an affected SQLite and a WAL apart, also when qd runs with different SQLites on one journal."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from quarterdeck.history import engine
from quarterdeck.history.errors import JournalError
from quarterdeck.history.place import Place

if TYPE_CHECKING:
    import sqlite3


class AffectedMark:
    """A kernel lock held, shared, for as long as a connection of an affected SQLite is open; gone when its process is.

    Nobody changes the file to WAL while one of them is there.
    """

    def __init__(self, place: Place) -> None:
        path = place.locks / "affected-sqlite.lock"
        place.make_file(path)
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def set(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def is_set_by_others(self) -> bool:
        """False also keeps others from setting it, until close()."""
        if self._descriptor is None:
            return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def settle(connection: "sqlite3.Connection", place: Place) -> tuple[str, AffectedMark | None]:
    """Brings the file into a mode that is safe for everybody who has it open, and the connection with it.

    Returns the mode (wal or persist), and the mark to be closed after the connection. Raises ``JournalError`` when this
    SQLite is affected and others use the journal as a WAL.
    """
    if not engine.engine().affected:
        return _settle_sound(connection, place), None
    mark = AffectedMark(place)
    try:
        mark.set()
        if engine.change_mode(connection, "persist"):
            return "persist", mark
        raise JournalError(
            f"this SQLite ({engine.engine().version}) may damage a journal in WAL mode, and others use it in that mode now",
            advice="Install pysqlite3 beside this qd, or wait until the others have ended",
        )
    except BaseException:
        mark.close()
        raise


def _settle_sound(connection: "sqlite3.Connection", place: Place) -> str:
    if engine.journal_mode(connection) == "wal":
        return "wal"
    with _one_at_a_time(place) as alone:
        mark = AffectedMark(place)
        try:
            if alone and not mark.is_set_by_others() and engine.change_mode(connection, "wal"):
                return "wal"
        finally:
            mark.close()
    # Another one may change the file to WAL even now: to a sound SQLite either is right.
    if engine.journal_mode(connection) != "wal" and engine.change_mode(connection, "persist"):
        return "persist"
    return "wal"


@contextlib.contextmanager
def _one_at_a_time(place: Place) -> Iterator[bool]:
    """Sound ones that open a new journal together go through one by one, so as not to be taken for affected ones.

    False when the one before is stuck.
    """
    path = place.locks / "journal-mode.lock"
    place.make_file(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + engine.BUSY_SECONDS
        alone = False
        while not alone and time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            except BlockingIOError:
                time.sleep(0.002)
        yield alone
    finally:
        os.close(descriptor)
