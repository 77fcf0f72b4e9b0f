"""A worker that is started ahead holds nothing of whoever started it, and leaves when nothing comes of it."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from quarterdeck.rollouts.spawn import start_worker

_LONGEST = 30.0  # seconds


def _workers() -> set[int]:
    """Workers whose parent is this process."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
                parent = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == os.getpid() and b"quarterdeck.rollouts.worker" in words:
                found.add(int(name))
    return found


def _started(before: set[int]) -> int:
    """The one that was not there ``before``: other tests of this process may have left workers that are about to end."""
    deadline = time.monotonic() + _LONGEST
    while not (found := _workers() - before):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (pid,) = found
    return pid


def test_a_lock_of_the_shell_that_called_is_not_kept(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(descriptor, True)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    before = _workers()
    worker = start_worker()
    pid = _started(before)
    try:
        held = set()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it is loading: files come and go
                held.add(os.readlink(entry))
        assert str(tmp_path / "lock") not in held
        os.close(descriptor)
        again = os.open(tmp_path / "lock", os.O_RDWR)
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(again)
    finally:
        worker.dismiss()
        os.waitpid(pid, 0)


def test_it_leaves_when_it_is_dismissed_and_has_a_session_of_its_own() -> None:
    before = _workers()
    worker = start_worker()
    pid = _started(before)
    assert os.getsid(pid) == pid
    worker.dismiss()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
