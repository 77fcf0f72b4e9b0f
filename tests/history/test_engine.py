"""Which SQLite is used and how: by version, and safely when different ones meet on one journal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.history.engine import engine, is_affected
from tests.requirements_here import need

HERE = Path(__file__).parent
# Everything about the journal that could depend on the engine.
SUITES = (
    "test_rollouts.py",
    "test_requests.py",
    "test_feed.py",
    "test_releases.py",
    "test_opening.py",
    "test_audit.py",
    "test_lease.py",
)


def has_bundled() -> bool:
    return subprocess.run([sys.executable, "-c", "import pysqlite3"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 4), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 4), False),
        ((4, 0, 0), False),
    ],
)
def test_the_affected_releases_are_known(version: tuple[int, ...], affected: bool) -> None:
    assert is_affected(version) is affected


def test_an_affected_sqlite_never_gets_a_wal() -> None:
    assert engine().mode == ("persist" if is_affected(tuple(map(int, engine().version.split(".")))) else "wal")


def ask(code: str, forced: str, *arguments: str, hide_bundled: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "QD_SQLITE": forced}
    if hide_bundled:
        code = "import sys; sys.modules['pysqlite3.dbapi2'] = None\n" + code
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


OPEN = """
import sys
from pathlib import Path
from quarterdeck.history.engine import engine
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
try:
    with Journal.open(Path(sys.argv[1])) as journal:
        journal.note(engine().name)
        print(engine().name, engine().affected, journal.mode, *[row[0] for row in (
            journal._row("PRAGMA journal_mode"), journal._row("PRAGMA synchronous"), journal._row("PRAGMA foreign_keys"))])
        print(*[event.body["text"] for event in journal.events()])
        if len(sys.argv) > 2:
            print("open", flush=True)
            sys.stdin.read()
except JournalError as error:
    print(error)
"""


def test_the_version_decides_unless_one_is_forced(tmp_path: Path) -> None:
    linked = ask("import sqlite3; print(sqlite3.sqlite_version)", "").stdout.strip()
    sound = not is_affected(tuple(map(int, linked.split("."))))
    stdlib = "stdlib False wal wal 2 1" if sound else "stdlib True persist persist 3 1"
    assert ask(OPEN, "stdlib", str(tmp_path / "1")).stdout.splitlines()[0] == stdlib
    assert ask(OPEN, "", str(tmp_path / "2"), hide_bundled=True).stdout.splitlines()[0] == stdlib
    assert "not installed" in ask(OPEN, "bundled", str(tmp_path / "3"), hide_bundled=True).stdout
    assert "QD_SQLITE is 'other'" in ask(OPEN, "other", str(tmp_path / "3")).stdout
    need(has_bundled(), "the package pysqlite3")
    bundled = "bundled False wal wal 2 1"
    assert ask(OPEN, "bundled", str(tmp_path / "4")).stdout.splitlines()[0] == bundled
    assert ask(OPEN, "", str(tmp_path / "5")).stdout.splitlines()[0] == (stdlib if sound else bundled)


def test_different_engines_share_a_journal_but_never_an_unsafe_wal(tmp_path: Path) -> None:
    need(has_bundled(), "the package pysqlite3")
    need(engine_of("stdlib") == "True", "a standard library with an affected SQLite")
    state = str(tmp_path)
    assert " wal wal " in ask(OPEN, "bundled", state).stdout
    assert " persist persist " in ask(OPEN, "stdlib", state).stdout  # nobody else has it open: the file leaves WAL mode
    with opened("stdlib", state):
        assert " persist persist " in ask(OPEN, "bundled", state).stdout  # the sound one keeps to the other's way
    with opened("bundled", state):
        assert "others use it in that mode now. Install pysqlite3" in ask(OPEN, "stdlib", state).stdout
    final = ask(OPEN, "bundled", state).stdout.splitlines()
    assert " wal wal " in final[0]
    assert final[1] == "bundled stdlib stdlib bundled bundled bundled"


def engine_of(forced: str) -> str:
    return ask("from quarterdeck.history.engine import engine; print(engine().affected)", forced).stdout.strip()


class opened:  # noqa: N801 - reads as a phrase
    """Another process that has the journal open and is idle."""

    def __init__(self, forced: str, state: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OPEN, state, "stay"],
            env={**os.environ, "QD_SQLITE": forced},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> None:
        assert self.process.stdout is not None
        while (line := self.process.stdout.readline()) != "open\n":
            assert line, "the other process could not open the journal"

    def __exit__(self, *_: object) -> None:
        self.process.communicate("", timeout=30)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["stdlib", "bundled"])
def test_the_journal_works_with_both(name: str) -> None:
    if name == engine().name:
        return  # that is what the tests beside this one do
    need(name == "stdlib" or has_bundled(), "the package pysqlite3")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            *(str(HERE / suite) for suite in SUITES),
        ],
        env={**os.environ, "QD_SQLITE": name},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
