"""Who is alive: a worker holds a kernel lock on a file of its own, so a dead one never leaves a lock behind. No SQLite here."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from quarterdeck.history.errors import LockHeld
from quarterdeck.history.journal import Journal
from quarterdeck.history.place import Place
from quarterdeck.history.records import Rollout, RolloutState

PATIENCE_SECONDS = 0.2  # a look at the lock holds it for some microseconds: acquire tries again for so long


class WorkerLock:
    """The lock of one rollout's worker, held until release() or the end of the process. Not inherited by programs it runs."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, state: Path, rollout_id: int) -> "WorkerLock":
        """Raises ``LockHeld`` with the pid of the living worker."""
        place = Place(state)
        place.make_directory(place.locks)
        path = _path(state, rollout_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            place.make_file(path)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # its holder has just released it
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = _written_pid(descriptor)
                os.close(descriptor)
                if time.monotonic() > deadline:
                    raise LockHeld(rollout_id, pid) from None
                time.sleep(0.005)
                continue
            # release() removes the file while it holds the lock: a lock on a removed file keeps nobody out.
            if not _is_same_file(descriptor, path):
                os.close(descriptor)
                continue
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return cls(path, descriptor)

    def release(self) -> None:
        """Lets go, and removes the file. Once is enough, twice does no harm."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            # In a state directory that was removed and made anew meanwhile, the file of this name is another worker's.
            if os.path.samestat(os.fstat(self._descriptor), os.stat(self._path)):
                os.unlink(self._path)
        os.close(self._descriptor)
        self._descriptor = None


def lock_is_held(state: Path, rollout_id: int) -> bool:
    """Whether a living process holds the worker lock of this rollout."""
    try:
        descriptor = os.open(_path(state, rollout_id), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def orphans(journal: Journal) -> list[Rollout]:
    """Rollouts that have not ended and nobody works on, the oldest first; those marked orphaned already are among them."""
    return [rollout for rollout in journal.living() if not lock_is_held(journal.state, rollout.id)]


def mark_orphaned(journal: Journal, rollout: Rollout) -> Rollout:
    """Writes down that its worker is dead (an armed one is cancelled), unless somebody has taken it over meanwhile.

    Returns the rollout as it is afterwards.
    """
    if rollout.state == RolloutState.ORPHANED:
        return rollout
    return journal.mark_orphaned(rollout, lambda: lock_is_held(journal.state, rollout.id))


def _path(state: Path, rollout_id: int) -> Path:
    return state / "locks" / f"rollout-{rollout_id}.lock"


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _written_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else None
