"""Promise 21: outsiders can't read the history; operators of the group share it under any umask.

Seen to fail with one of these taken out: files get their mode whatever the umask (6 of the cases: the group can't write), their mode ends
with 0 for others (5), what root makes is given to the directory's owner (1).
"""

import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.history import audit, engine, migrate
from quarterdeck.history.errors import JournalError, LockHeld
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import WorkerLock, lock_is_held
from tests.history.forks import Fork, Report
from tests.requirements_here import need
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(21), pytest.mark.root, pytest.mark.usefixtures("patient_journal")]

GROUP = 61000
ALICE, BOB, MALLORY = 61001, 61002, 61003  # mallory is not in the group


def as_user(uid: int, umask: int, function: Callable[[Report], None]) -> list[str]:
    """Runs ``function`` in a process of this user, and returns what it reports."""
    with Fork(user(uid, umask, function)) as process:
        lines = process.rest()
        assert process.wait() == 0
    return lines


def user(uid: int, umask: int, function: Callable[[Report], None]) -> Callable[[Report], None]:
    """``function``, after root's rights were given up for good."""

    def run(report: Report) -> None:
        os.umask(umask)
        os.setgroups([] if uid == MALLORY else [GROUP])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        function(report)

    return run


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that every user can pass through, and migrations that every user can read."""
    need(os.geteuid() == 0, "root, to become three users")
    engine.engine()  # imported by root: its Python may lie where others can't read
    path = Path(tempfile.mkdtemp(prefix="qd-sharing-"))
    path.chmod(0o755)
    migrations = path / "migrations"
    shutil.copytree(migrate.DIRECTORY, migrations)
    monkeypatch.setattr(migrate, "DIRECTORY", migrations)
    yield path
    shutil.rmtree(path)


def write(state: Path, text: str) -> Callable[[Report], None]:
    def run(report: Report) -> None:
        with Journal.open(state) as journal:
            journal.note(text)
            report(",".join(f"{event.uid} {event.body['text']}" for event in journal.events()))

    return run


def steal(state: Path) -> Callable[[Report], None]:
    """What an outsider gets at: through the journal, and with plain tools."""

    def run(report: Report) -> None:
        for read_only in (True, False):
            try:
                Journal.open(state, read_only=read_only, create=False).close()
                report("opened")
            except JournalError:
                continue
        for path in (state, state / "locks", state / "reserve"):
            if attempt(os.listdir, path):
                report(f"listed {path.name}")
        for name in ("history.db", "history.db-wal", "history.db-shm", "locks/rollout-7.lock", "reserve/0"):
            for flags in (os.O_RDONLY, os.O_WRONLY):
                if attempt(os.open, state / name, flags):
                    report(f"opened {name}")
        if attempt(os.open, state / "mine", os.O_WRONLY | os.O_CREAT):
            report("made a file")
        report("nothing more")

    return run


def attempt(way: Callable[..., object], *arguments: object) -> bool:
    try:
        way(*arguments)
    except OSError:
        return False
    return True


@pytest.fixture
def shared(public: Path) -> Path:
    """A state directory of the group, as the documentation says it is made."""
    state = public / "state"
    state.mkdir()
    os.chown(state, ALICE, GROUP)
    state.chmod(0o2770)
    return state


@pytest.mark.parametrize("umasks", [(0o077, 0o077), (0o077, 0o022), (0o000, 0o077), (0o002, 0o027)])
def test_the_group_shares_and_the_outsider_gets_nothing(
    shared: Path, umasks: tuple[int, int], promise: Promises
) -> None:
    assert as_user(ALICE, umasks[0], write(shared, "a")) == [f"{ALICE} a"]
    assert as_user(BOB, umasks[1], write(shared, "b")) == [f"{ALICE} a,{BOB} b"]

    def work(report: Report) -> None:
        with Journal.open(shared) as journal:
            journal.note("c")
            lock = WorkerLock.acquire(shared, 7)
            report("working")
            signal.sigwait([signal.SIGUSR1])
            lock.release()

    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, [signal.SIGUSR1]
    )  # inherited: it may come before it is waited for
    try:
        with Fork(user(ALICE, umasks[0], work)) as worker:
            assert worker.line() == "working"
            made = [path.stat() for path in shared.rglob("*")]
            assert {stat.S_IMODE(found.st_mode) for found in made if stat.S_ISREG(found.st_mode)} == {0o660}
            assert {stat.S_IMODE(found.st_mode) for found in made if stat.S_ISDIR(found.st_mode)} == {0o2770}
            assert {found.st_gid for found in made} == {GROUP}
            assert as_user(MALLORY, 0o000, steal(shared)) == ["nothing more"]
            worker.send(signal.SIGUSR1)
            assert worker.wait() == 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    promise(21).count("ways in that were tried as three users")


def test_operators_work_on_it_at_the_same_time(shared: Path, promise: Promises) -> None:
    def alice(report: Report) -> None:
        with Journal.open(shared) as journal:
            WorkerLock.acquire(shared, 7)
            report("working")
            while not journal.events(kind="stop"):
                journal.record("alice")
                time.sleep(
                    0.005
                )  # longer than the other one is away between two tries: a slow disk must not keep the lock here

    def bob(report: Report) -> None:
        with Journal.open(shared) as journal:
            for _ in range(100):
                journal.record("bob")
            try:
                WorkerLock.acquire(shared, 7)
                report("got the lock")
            except LockHeld as held:
                report(f"{lock_is_held(shared, 7)} {held.pid}")
            journal.record("stop")

    with Fork(user(ALICE, 0o077, alice)) as worker:
        assert worker.line() == "working"
        assert as_user(BOB, 0o077, bob) == [f"True {worker.pid}"]
        assert worker.wait() == 0
    assert as_user(BOB, 0o077, lambda report: WorkerLock.acquire(shared, 7).release()) == []
    with Journal.open(shared) as journal:
        assert len(journal.events(kind="bob")) == 100
        assert audit.verify(journal).faults == []
    promise(21).count("ways in that were tried as three users")


def test_what_root_makes_can_be_used_by_the_group(shared: Path, promise: Promises) -> None:
    before = os.umask(0o077)
    try:
        with Journal.open(shared) as journal:
            journal.note("r")
            assert as_user(ALICE, 0o077, write(shared, "a"))[0].endswith(f",{ALICE} a")
    finally:
        os.umask(before)
    assert as_user(BOB, 0o077, write(shared, "b"))[0].endswith(f",{BOB} b")
    promise(21).count("ways in that were tried as three users")


def test_what_root_makes_can_be_used_by_the_owner(public: Path, promise: Promises) -> None:
    state = public / "state"
    state.mkdir(0o700)
    os.chown(state, ALICE, ALICE)
    with Journal.open(state) as journal:
        journal.note("r")
        assert as_user(ALICE, 0o077, write(state, "a"))[0].endswith(f",{ALICE} a")
    WorkerLock.acquire(state, 7)  # never released: the file stays
    assert as_user(ALICE, 0o077, lambda report: report(str(lock_is_held(state, 7)))) == ["True"]
    assert as_user(ALICE, 0o077, write(state, "b"))[0].endswith(f",{ALICE} b")
    promise(21).count("ways in that were tried as three users")


def test_a_private_journal_is_for_its_owner_alone(public: Path, promise: Promises) -> None:
    home = public / "home"
    home.mkdir()
    os.chown(home, ALICE, ALICE)
    state = home / "state"
    assert as_user(ALICE, 0o000, write(state, "a")) == [f"{ALICE} a"]
    for other in (BOB, MALLORY):
        assert as_user(other, 0o000, steal(state)) == ["nothing more"]
    home.chmod(0o755)
    state.chmod(0o755)  # somebody opened the directory: the files are still closed
    for other in (BOB, MALLORY):
        assert as_user(other, 0o000, steal(state)) == ["listed state", "nothing more"]
    promise(21).count("ways in that were tried as three users")


def test_who_may_not_is_told_who_may(shared: Path, public: Path, promise: Promises) -> None:
    """One sentence that names the directory, says that nothing was changed, and whom it is for."""
    own = public / "own"
    own.mkdir(mode=0o700)
    os.chown(own, ALICE, GROUP)

    def look(report: Report) -> None:
        for state in (shared, own, own / "below"):
            with pytest.raises(JournalError) as refused:
                Journal.open(state)
            report(str(refused.value))

    group, alone, below = as_user(MALLORY, 0o022, look)
    assert f"{shared} can't be opened: Permission denied. Nothing was changed" in group
    assert group.endswith(f"for the members of the group {GROUP}")
    assert f"it is for {ALICE} alone" in alone
    assert f"{own / 'below'} can't be used: Permission denied. Nothing was changed" in below
    promise(21).count("ways in that were tried as three users")
