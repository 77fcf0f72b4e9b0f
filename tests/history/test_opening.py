"""Opening a journal: where it lies, who may read it, which format it has. What is not ours or newer is never touched."""

import contextlib
import hashlib
import multiprocessing
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from quarterdeck.history import engine, migrate
from quarterdeck.history.errors import JournalBusy, JournalCorrupt, JournalError, JournalMissing, JournalTooNew
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState
from tests.history.forks import Fork, Report


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fingerprint(state: Path) -> dict[str, str]:
    """Content of every file; the journal is closed while it is taken."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(state.iterdir()) if path.is_file()
    }


def pragma(path: Path, sql: str) -> object:
    connection = engine.connect(path)
    try:
        row = connection.execute(sql).fetchone()
        return row[0] if row else None
    finally:
        connection.close()


def test_a_new_state_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    before = os.umask(0o000)
    try:
        with Journal.open(state) as journal:
            journal.note("hello")
            files = [path for path in state.rglob("*") if path.is_file()]
            assert {path.name for path in files} >= {"history.db", "0", "7"}
            assert {mode(path) for path in files} == {0o600}
            assert {mode(path) for path in (state, *state.rglob("*")) if path.is_dir()} == {0o700}
    finally:
        os.umask(before)


def test_a_shared_state_directory_has_files_for_the_group_whatever_the_umask(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o2770)
    before = os.umask(0o077)
    try:
        with Journal.open(state) as journal:
            journal.note("hello")
            assert {mode(path) for path in state.rglob("*") if path.is_file()} == {0o660}
            assert {mode(path) for path in (state, *state.rglob("*")) if path.is_dir()} == {0o2770}
    finally:
        os.umask(before)


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with Journal.open(tmp_path):
        assert mode(tmp_path) == 0o750
        assert mode(tmp_path / "history.db") == 0o600


def test_nothing_is_made_for_somebody_who_only_reads(tmp_path: Path) -> None:
    for state in (tmp_path / "state", tmp_path):
        with pytest.raises(JournalMissing, match="there is no journal"):
            Journal.open(state, read_only=True)
        with pytest.raises(JournalMissing, match="there is no journal"):
            Journal.open(state, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_reads_and_never_writes(state: Path, journal: Journal) -> None:
    journal.note("hello")
    with Journal.open(state, read_only=True) as reader:
        assert reader.events() == journal.events()
        with pytest.raises(JournalError, match="for reading only"):
            reader.note("no")


def test_a_file_in_the_way_and_a_damaged_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(JournalError, match="is not a directory"):
        Journal.open(tmp_path / "file")
    (tmp_path / "history.db").write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    with pytest.raises(JournalCorrupt, match="damaged"):
        Journal.open(tmp_path)


def test_a_table_that_somebody_took_away_is_damage(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.note("x")
    pragma(tmp_path / "history.db", "DROP TABLE event")
    with (
        pytest.raises(JournalCorrupt, match=r"is damaged .*no such table"),
        Journal.open(tmp_path, create=False, read_only=True) as journal,
    ):
        list(journal.events())


def test_somebody_elses_database_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "history.db").touch()
    pragma(tmp_path / "history.db", "CREATE TABLE theirs (a)")
    before = fingerprint(tmp_path)
    with pytest.raises(JournalError, match="not a journal of Quarterdeck"):
        Journal.open(tmp_path)
    assert fingerprint(tmp_path) == before


def test_a_newer_file_is_refused_and_not_touched(state: Path) -> None:
    with Journal.open(state) as journal:
        journal.note("hello")
    pragma(state / "history.db", f"PRAGMA user_version={migrate.LATEST + 1}")
    before = fingerprint(state)
    for read_only in (False, True):
        with pytest.raises(JournalTooNew, match=f"format {migrate.LATEST + 1}") as caught:
            Journal.open(state, read_only=read_only)
        assert caught.value.advice == "Use the newer qd that made it"
    assert {name: digest for name, digest in fingerprint(state).items() if name in before} == before


def test_a_newer_file_whose_writer_was_killed_keeps_its_wal(state: Path) -> None:
    """Opening such a file for writing would move the WAL's content into it."""

    def newer_program(report: Report) -> None:
        journal = Journal.open(state)
        journal._connection.execute(f"PRAGMA user_version={migrate.LATEST + 1}")
        journal.note("in the write-ahead log")
        report("written")
        threading.Event().wait()

    with Fork(newer_program) as program:
        program.line()
    before = fingerprint(state)
    with pytest.raises(JournalTooNew):
        Journal.open(state)
    after = fingerprint(state)
    for name in ("history.db", "history.db-wal"):
        assert after.get(name) == before.get(name)


@pytest.fixture
def second_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that knows one more format than the present one."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    for path in migrate.DIRECTORY.glob("*.sql"):
        (directory / path.name).write_text(path.read_text())
    added = directory / f"{migrate.LATEST + 1:04d}_colour.sql"
    added.write_text(
        "-- A column; and a trigger, which is one statement; with semicolons.\n"
        "ALTER TABLE rollout ADD COLUMN colour TEXT NOT NULL DEFAULT 'red;';\n"
        "CREATE TABLE shade (name TEXT);\n"
        "CREATE TRIGGER shading AFTER INSERT ON shade\nBEGIN\n  SELECT 1;\n  SELECT 2;\nEND;\n"
    )
    monkeypatch.setattr(migrate, "DIRECTORY", directory)
    monkeypatch.setattr(migrate, "LATEST", migrate.LATEST + 1)
    monkeypatch.setattr("quarterdeck.history.journal.LATEST", migrate.LATEST)
    return added


def filled(state: Path) -> list[object]:
    with Journal.open(state) as journal:
        rollout = journal.arm("a/b", RolloutKind.DEPLOY).id
        journal.set_state(rollout, journal.begin(rollout, preempt="nothing"), RolloutState.SUCCEEDED)
        return [journal.events(), journal.rollouts()]


def test_an_older_file_is_brought_up_with_a_backup_of_how_it_was(
    state: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = filled(state)
    old = migrate.LATEST
    request.getfixturevalue("second_format")
    with pytest.raises(JournalError, match=f"older format {old}"):
        Journal.open(state, read_only=True)
    with Journal.open(state) as journal:
        assert [journal.events(), journal.rollouts()] == content
        assert journal._row("SELECT colour FROM rollout")[0] == "red;"
        assert journal.integrity_faults() == []
    (backup,) = state.glob("backup-format-*.db")
    assert mode(backup) == 0o600
    monkeypatch.undo()
    with pytest.raises(JournalTooNew):
        Journal.open(state)
    restored = state.parent / "restored"
    restored.mkdir()
    backup.rename(restored / "history.db")
    with Journal.open(restored) as journal:
        assert [journal.events(), journal.rollouts()] == content


def test_a_migration_that_fails_leaves_the_old_format(state: Path, request: pytest.FixtureRequest) -> None:
    content = filled(state)
    old = migrate.LATEST
    added: Path = request.getfixturevalue("second_format")
    added.write_text("CREATE TABLE shade (name TEXT);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(JournalError, match=f"can't be brought to format {old + 1}: no such table: nowhere"):
        Journal.open(state)
    assert pragma(state / "history.db", "PRAGMA user_version") == old
    assert pragma(state / "history.db", "SELECT count(*) FROM sqlite_master WHERE name = 'shade'") == 0
    added.write_text("CREATE TABLE shade (name TEXT);\n")
    with Journal.open(state) as journal:
        assert [journal.events(), journal.rollouts()] == content


def test_a_new_journal_opened_by_many_at_once_is_made_once(tmp_path: Path) -> None:
    start = multiprocessing.get_context("fork").Barrier(4)
    states = [tmp_path / str(number) for number in range(10)]

    def racer(report: Report) -> None:
        for state in states:
            start.wait(60)
            for _ in range(10):  # on a machine with much to do three seconds may be over: «try again»
                with contextlib.suppress(JournalBusy), Journal.open(state) as journal:
                    journal.note("here")
                    report(journal.mode)
                    break

    racers = [Fork(racer) for _ in range(4)]
    modes = [one.rest(60) for one in racers]
    assert [one.wait() for one in racers] == [0] * 4
    assert all(found == modes[0] for found in modes)
    for state in states:
        with Journal.open(state) as journal:
            assert len(journal.events()) == 4
            assert list(state.glob(".history*")) == []


def test_a_file_that_is_being_made_is_looked_at_in_one_moment(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner, format and content read one after the other would be those of a database that is not ours."""
    format_of, within = migrate._format, []

    def watched(connection: sqlite3.Connection) -> int:
        within.append(connection.in_transaction)
        return format_of(connection)

    monkeypatch.setattr(migrate, "_format", watched)
    Journal.open(state).close()
    assert within
    assert all(within)


def test_a_forked_child_must_open_its_own(state: Path) -> None:
    with Journal.open(state) as journal:
        child = os.fork()
        if child == 0:
            try:
                journal.note("from the child")
            except JournalError as error:
                os._exit(7 if "forked child" in str(error) else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        journal.note("from the parent")


def test_one_other_thread_may_do_all_the_work(journal: Journal) -> None:
    threads = [threading.Thread(target=lambda: journal.note("from a thread"))]
    for thread in threads:
        thread.start()
        thread.join()
    assert [event.body["text"] for event in journal.events()] == ["from a thread"]
