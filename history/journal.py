"""The journal of everything that happens: opens the file, and is the one interface through which it is read and written.

Never waits for the network, never holds a transaction open between two calls.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from quarterdeck.history import engine
from quarterdeck.history.errors import JournalError, JournalFull, JournalMissing, JournalOutdated
from quarterdeck.history.evidence import Evidence
from quarterdeck.history.identity import current_operator
from quarterdeck.history.migrate import LATEST, check_format, migrate
from quarterdeck.history.modes import AffectedMark, settle
from quarterdeck.history.mounts import refuse_network
from quarterdeck.history.place import Place, advice_for
from quarterdeck.history.records import Operator
from quarterdeck.history.reserve import Reserve
from quarterdeck.history.store import told


class Journal(Evidence):
    """An open journal: one connection, for one process, used by one thread at a time. Open it with ``Journal.open``."""

    _mark: AffectedMark | None = None
    _mode: str = "wal"

    @classmethod
    def open(
        cls, state: Path, *, operator: Operator | None = None, create: bool = True, read_only: bool = False
    ) -> "Journal":
        """Opens the journal in the directory ``state``, made (0700) when ``create``, and brings it to the newest format.

        Raises ``JournalOnNetwork`` before anything is opened, ``JournalMissing``, ``JournalTooNew``, ``JournalBusy``,
        ``JournalFull``, ``JournalCorrupt``, and ``JournalError`` for what is left.
        """
        state = Path(os.path.abspath(state))
        refuse_network(state)
        place = Place.prepare(state, create=create and not read_only)
        return cls._opened(place, operator or current_operator(), create=create, read_only=read_only)

    @classmethod
    def _opened(cls, place: Place, operator: Operator, *, create: bool, read_only: bool) -> "Journal":
        reserve = Reserve(place)
        while True:
            try:
                return cls._connected(place, operator, create=create, read_only=read_only)
            except JournalFull:
                # Merely to open a journal needs some room. Nobody could roll back if that could not be had.
                if read_only or not reserve.release():
                    raise

    @classmethod
    def _connected(cls, place: Place, operator: Operator, *, create: bool, read_only: bool) -> "Journal":
        try:
            if not place.journal.exists():
                if read_only or not create:
                    raise JournalMissing(
                        f"there is no journal in {place.state}",
                        advice="It is made by the first deploy, or by `qd adopt`",
                    )
                place.make_file(place.journal)
            found = check_format(place.journal)
            if read_only and found < LATEST:
                raise JournalOutdated(str(place.journal), found)
            if not read_only:
                place.make_directory(place.locks)
            connection = engine.connect(place.journal, read_only=read_only)
            mark = None
            try:
                if read_only:
                    mode = engine.journal_mode(connection)
                else:
                    mode, mark = settle(connection, place)
                if found < LATEST:
                    migrate(connection, place)
                engine.configure(connection, mode)
                journal = cls(place, connection, operator, read_only=read_only)
            except BaseException:
                connection.close()
                if mark is not None:
                    mark.close()
                raise
        except engine.engine().error as error:
            raise told(error, place) from error
        except OSError as error:
            raise JournalError(
                f"the journal in {place.state} can't be opened: {error.strerror}",
                advice=advice_for(place.state, error),
            ) from error
        journal._mark, journal._mode = mark, mode
        return journal

    @property
    def path(self) -> Path:
        """The journal's file, for messages: nobody but SQLite may open it."""
        return self._place.journal

    @property
    def state(self) -> Path:
        """The state directory."""
        return self._place.state

    @property
    def operator(self) -> Operator:
        """In whose name is written."""
        return self._operator

    @property
    def mode(self) -> str:
        """How the file is kept: wal, or persist (a rollback journal)."""
        return self._mode

    def integrity_faults(self) -> list[str]:
        """What SQLite's full check finds wrong with the file; empty when nothing is. Takes seconds on a large one."""
        return [str(row[0]) for row in self._rows("PRAGMA integrity_check") if row[0] != "ok"]

    def close(self) -> None:
        """Closes the connection. Once is enough, twice does no harm."""
        if self._process != os.getpid():
            return  # a forked child: closing would meddle with the parent's locks
        self._connection.close()
        if self._mark is not None:
            self._mark.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
