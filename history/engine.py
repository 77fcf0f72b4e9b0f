"""Which SQLite is used, and how: the version decides. Never lets an affected SQLite write a journal in WAL mode.

Releases 3.7.0 to 3.51.2 (but for the backports 3.44.6 and 3.50.7) can corrupt a WAL that several connections use.
"""

import importlib
import os
import time
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import msgspec

from quarterdeck.history.errors import JournalError

if TYPE_CHECKING:
    import sqlite3

# Primary result codes of SQLite, the same in every release.
ERROR, BUSY, LOCKED, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, CONSTRAINT, NOTADB = 1, 5, 6, 8, 10, 11, 13, 14, 19, 26

BUSY_SECONDS = 2.8  # how long a lock is waited for: the message about it comes within three seconds
WAL_PAGES = 256  # checkpoint after so many: a small WAL leaves room when the disk is full
WAL_BYTES = 4 * 1024 * 1024  # what is left of a WAL that had grown


class Engine(msgspec.Struct, frozen=True):
    """``name`` is stdlib or bundled, ``mode`` the journal mode that is right for it: wal, or persist when affected."""

    module: ModuleType
    name: str
    version: str
    affected: bool

    @property
    def mode(self) -> str:
        return "persist" if self.affected else "wal"

    @property
    def error(self) -> "type[sqlite3.Error]":
        """The base of its exceptions, each with ``sqlite_errorcode``."""
        return cast("type[sqlite3.Error]", self.module.Error)


def is_affected(version: tuple[int, ...]) -> bool:
    """Whether this release of SQLite carries the WAL-reset bug."""
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    return (3, 7, 0) <= version <= (3, 51, 2)


@cache
def engine() -> Engine:
    """The SQLite of this process, chosen once: two of them on one file would drop each other's locks.

    ``QD_SQLITE`` = stdlib or bundled forces one. Raises ``JournalError`` when the forced one is not there.
    """
    wanted = os.environ.get("QD_SQLITE", "")
    if wanted not in ("", "stdlib", "bundled"):
        raise JournalError(f"QD_SQLITE is {wanted!r}", advice="It can be stdlib or bundled, or left out")
    if wanted == "bundled" or (wanted == "" and _standard_is_affected()):
        try:
            bundled = _engine("pysqlite3.dbapi2", "bundled")
        except ImportError:
            if wanted:
                raise JournalError("QD_SQLITE asks for the bundled SQLite, which is not installed") from None
        else:
            if wanted or not bundled.affected:
                return bundled
    return _engine("sqlite3", "stdlib")


def connect(path: Path, *, read_only: bool = False) -> "sqlite3.Connection":
    """An open connection to an existing file, in autocommit mode, not yet configured. May be used by one thread at a time."""
    mode = "ro" if read_only else "rw"
    connection = engine().module.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    return cast("sqlite3.Connection", connection)


def configure(connection: "sqlite3.Connection", mode: str) -> None:
    """Sets what a connection must have in this journal mode: every commit reaches the disk before it is acknowledged."""
    connection.execute("PRAGMA busy_timeout=0")  # the store waits by itself, and more fairly
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")  # other members of the group can write the file
    connection.execute("PRAGMA temp_store=MEMORY")  # a full disk must not stop a query
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    if mode == "wal":
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
    else:
        connection.execute("PRAGMA synchronous=EXTRA")


def journal_mode(connection: "sqlite3.Connection") -> str:
    """The mode the file is in: wal, or a rollback journal (delete, persist, …)."""
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def change_mode(connection: "sqlite3.Connection", mode: str) -> bool:
    """Brings the file into ``mode`` (wal or persist); False when others keep it open and it stays as it is."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        # SQLite does not wait by itself for the exclusive lock that this needs.
        try:
            if journal_mode(connection) == mode:
                return True
            connection.execute(f"PRAGMA journal_mode={mode}")
            if journal_mode(connection) == mode:
                return True
        except engine().error as error:
            if result_code(error) & 0xFF not in (BUSY, LOCKED):
                raise
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)


def result_code(error: BaseException) -> int:
    """SQLite's extended result code, 0 when the error carries none."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0)


def _standard_is_affected() -> bool:
    """Of the standard library's SQLite, asked without importing all of ``sqlite3``; one that is missing counts as affected."""
    try:
        version: str = importlib.import_module("_sqlite3").sqlite_version
    except ImportError:
        return True
    return is_affected(_numbers(version))


def _engine(module_name: str, name: str) -> Engine:
    module = importlib.import_module(module_name)
    return Engine(module, name, module.sqlite_version, is_affected(_numbers(module.sqlite_version)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
