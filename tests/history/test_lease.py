"""The worker lock: free means dead, at once; looking at it keeps nobody out."""

import fcntl
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.history import rollouts
from quarterdeck.history.clock import boot_id
from quarterdeck.history.errors import LockHeld
from quarterdeck.history.identity import process_identity
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import WorkerLock, lock_is_held, mark_orphaned, orphans
from quarterdeck.history.records import RolloutKind, RolloutState
from tests.history.forks import Fork, Report


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def held(state: Path, rollout: int) -> Fork:
    """A process that holds the lock of a rollout."""

    def hold(report: Report) -> None:
        WorkerLock.acquire(state, rollout)
        report("held")
        signal.pause()

    fork = Fork(hold)
    assert fork.line() == "held"
    return fork


def test_a_lock_has_one_holder_who_is_named(place: Path) -> None:
    with held(place, 7) as holder:
        assert lock_is_held(place, 7)
        assert not lock_is_held(place, 8)
        with pytest.raises(LockHeld, match=f"rollout 7 has a living worker: process {holder.pid}") as caught:
            WorkerLock.acquire(place, 7)
        assert caught.value.pid == holder.pid
    assert not lock_is_held(place, 7)
    lock = WorkerLock.acquire(place, 7)
    assert lock_is_held(place, 7)
    lock.release()
    lock.release()
    assert not lock_is_held(place, 7)
    assert list((place / "locks").iterdir()) == []


def test_a_program_that_a_worker_runs_does_not_inherit_the_lock(place: Path) -> None:
    lock = WorkerLock.acquire(place, 7)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        assert not lock_is_held(place, 7)
        child.communicate(b"\n")


def just_before(monkeypatch: pytest.MonkeyPatch, attempt: int, happens: Callable[[], None]) -> None:
    """Lets something happen between the opening of the lock's file and the given attempt to lock it."""
    lock, attempts = fcntl.flock, itertools.count(1)

    def flock(descriptor: int, operation: int) -> None:
        if next(attempts) == attempt:
            happens()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_lock_on_a_removed_file_is_not_taken_for_the_lock(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = WorkerLock.acquire(place, 7)
    just_before(monkeypatch, 1, first.release)
    second = WorkerLock.acquire(place, 7)
    assert lock_is_held(place, 7)
    with pytest.raises(LockHeld):
        WorkerLock.acquire(place, 7)
    second.release()


def test_somebody_who_looks_keeps_no_worker_from_its_lock(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WorkerLock.acquire(place, 7).release()
    (place / "locks" / "rollout-7.lock").touch()
    looking = os.open(place / "locks" / "rollout-7.lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    just_before(monkeypatch, 3, lambda: os.close(looking))
    WorkerLock.acquire(place, 7).release()


def test_of_several_workers_only_one_has_the_lock_at_a_time(place: Path) -> None:
    """Release removes the file: nobody may go on with a lock on the old one while another has the new one."""
    guard = place / "guard"

    def worker(report: Report) -> None:
        taken = 0
        while taken < 50:
            try:
                lock = WorkerLock.acquire(place, 7)
            except LockHeld:
                continue
            guard.mkdir()  # fails when somebody else is inside
            guard.rmdir()
            taken += 1
            lock.release()
        report(str(taken))

    workers = [Fork(worker) for _ in range(4)]
    assert [worker.rest() for worker in workers] == [["50"]] * 4
    assert [worker.wait() for worker in workers] == [0] * 4


def test_orphans_are_those_that_nobody_works_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal.open(place) as journal:
        dead, living, armed, ended, fresh = (journal.arm(f"p/{n}", RolloutKind.DEPLOY).id for n in range(5))
        for rollout in (dead, living, armed, ended):
            journal.set_worker(rollout, 4242, 1, boot_id())
        for rollout in (dead, living, ended):
            journal.begin(rollout, preempt="nothing")
        journal.set_state(ended, None, RolloutState.SUCCEEDED)
    with held(place, living), Journal.open(place) as journal:
        found = orphans(journal)
        assert [rollout.id for rollout in found] == [dead, armed]
        assert mark_orphaned(journal, journal.rollout(living)).state == RolloutState.RUNNING
        assert [mark_orphaned(journal, rollout).state for rollout in found] == [
            RolloutState.ORPHANED,
            RolloutState.CANCELLED,
        ]
        assert journal.rollout(armed).outcome == "its worker (process 4242) ended before the go; nothing was changed"
        assert [rollout.id for rollout in orphans(journal)] == [dead]
        # One that was written down a while ago and never got a worker is dead too.
        monkeypatch.setattr(rollouts, "START_SECONDS", 0)
        assert [rollout.id for rollout in orphans(journal)] == [dead, fresh]


def test_a_process_is_named_by_more_than_its_pid(place: Path) -> None:
    ticks, boot = process_identity(os.getpid())
    assert (ticks, boot) == process_identity(os.getpid())
    assert ticks > 0
    assert boot
    with held(place, 1) as other:
        assert process_identity(other.pid)[0] >= ticks
    with pytest.raises(ProcessLookupError):
        process_identity(other.pid)


def test_a_worker_whose_state_directory_was_made_anew_takes_nobodys_lock_away(place: Path, tmp_path: Path) -> None:
    old = WorkerLock.acquire(place, 1)
    (place / "locks").rename(tmp_path / "removed")
    new = WorkerLock.acquire(place, 1)
    old.release()
    assert lock_is_held(place, 1)
    new.release()
