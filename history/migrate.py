"""Brings a journal's file up to the newest format: numbered SQL files, one transaction each, a backup before the first."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from quarterdeck.history import engine
from quarterdeck.history.errors import JournalError, JournalTooNew
from quarterdeck.history.place import Place

if TYPE_CHECKING:
    import sqlite3

APPLICATION = 0x51444A31  # "QDJ1": SQLite's mark of whose file this is
DIRECTORY = Path(__file__).parent / "migrations"
LATEST = 8  # the highest number there; known here so that an ordinary start reads no directory


def check_format(path: Path) -> int:
    """The format of the file, 0 for a new one; looks without being able to change a byte.

    Raises ``JournalTooNew``, and ``JournalError`` when it is somebody else's database.
    """
    try:
        owner, found, empty = _look(path, read_only=True)
    except engine.engine().error as error:
        if engine.result_code(error) & 0xFF != engine.READONLY:
            raise
        # A writer was killed in the middle of a transaction, and a rollback journal has to be played back before anything can
        # be read at all.
        owner, found, empty = _look(path, read_only=False)
    if owner != APPLICATION and not (owner == 0 and found == 0 and empty):
        raise JournalError(f"{path} is a database, but not a journal of Quarterdeck: it was left as it is")
    if found > LATEST:
        raise JournalTooNew(str(path), found, LATEST)
    return found


def _look(path: Path, *, read_only: bool) -> tuple[int, int, bool]:
    """Whose file it is, its format, and whether it is empty, all at one moment: somebody else may be making it just now."""
    connection = engine.connect(path, read_only=read_only)
    try:
        connection.execute("BEGIN")
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
        return owner, _format(connection), empty
    finally:
        connection.close()


def migrate(connection: "sqlite3.Connection", place: Place) -> None:
    """Applies what is missing. Others who open the file at the same time wait, and then find it done.

    Raises ``JournalError`` when a migration fails; the file then has the format of the last one that did not.
    """
    steps = _migrations()
    backed_up = False
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            found = _format(connection)
            if found >= max(steps):
                connection.execute("ROLLBACK")
                return
            if found > 0 and not backed_up:
                _back_up(place, found)
                backed_up = True
            # A new file is made in one go: nobody who opens it meanwhile finds an old one, and backs it up.
            reached = max(steps) if found == 0 else found + 1
            for number in range(found + 1, reached + 1):
                _apply(connection, steps[number], number)
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={reached}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _apply(connection: "sqlite3.Connection", script: Path, number: int) -> None:
    try:
        for statement in _statements(script.read_text(encoding="utf-8")):
            connection.execute(statement)
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    except engine.engine().error as error:
        if engine.result_code(error) & 0xFF not in (engine.ERROR, engine.CONSTRAINT):
            raise
        raise JournalError(f"the journal can't be brought to format {number}: {error}") from error
    if broken is not None:
        raise JournalError(f"the journal can't be brought to format {number}: table {broken[0]} would be inconsistent")


def _back_up(place: Place, found: int) -> None:
    """Copies the file beside itself with SQLite's backup API, through a connection that only reads."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = place.state / f"backup-format-{found}-{stamp}.db"
    place.make_file(path)
    source = engine.connect(place.journal, read_only=True)
    try:
        copy = engine.connect(path)
        try:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file that stands by itself
        finally:
            copy.close()
    finally:
        source.close()


def _migrations() -> dict[int, Path]:
    found = {}
    for path in DIRECTORY.glob("*.sql"):
        if match := re.match(r"(\d{4})_", path.name):
            found[int(match[1])] = path
    if sorted(found) != list(range(1, LATEST + 1)):
        raise JournalError(
            "this installation is damaged: migrations of the journal are missing", advice="Install qd again"
        )
    return found


def _statements(script: str) -> list[str]:
    """The script's statements one by one: running it as a whole would commit what is open."""
    complete = engine.engine().module.complete_statement
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if complete(pending):
            statements.append(pending)
            pending = ""
    return statements


def _format(connection: "sqlite3.Connection") -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
