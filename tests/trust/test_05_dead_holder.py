"""Promise 5: a dead holder never leaves a lock.

Seen to fail with a lock that the holder's programs inherit: those ten of the hundred that leave one are late.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.history.lease import WorkerLock, lock_is_held
from tests.history.forks import Fork, Report
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(5)

KILLS = 100
MOST = 10.0
"""Seconds until the lock is free: milliseconds, and what a busy machine adds to one of a hundred."""


def test_the_lock_of_a_killed_worker_is_free_at_once(tmp_path: Path, promise: Promises) -> None:
    tmp_path.chmod(0o700)
    late = []
    for kill in range(KILLS):
        with Fork(holder(tmp_path, leaves_a_program=kill % 10 == 0)) as worker:
            program = int(worker.line())  # it was acquired again right after the kill before
            try:
                assert lock_is_held(tmp_path, 1)
                worker.send(signal.SIGKILL)
                began = time.monotonic()
                deadline = began + MOST
                while lock_is_held(tmp_path, 1):
                    if time.monotonic() > deadline:
                        late.append(kill)
                        break
                    time.sleep(0.001)
                promise(5).most("s until it is free", time.monotonic() - began, MOST)
                promise(5).count("holders killed")
            finally:
                if program:
                    os.kill(program, signal.SIGKILL)
    promise(5).none("late", len(late))
    assert late == []


def holder(state: Path, *, leaves_a_program: bool) -> Callable[[Report], None]:
    def hold(report: Report) -> None:
        WorkerLock.acquire(state, 1)
        program = 0
        if leaves_a_program:  # which outlives the worker, and must not keep its lock
            program = subprocess.Popen(["sleep", "60"], close_fds=False).pid
        report(str(program))
        signal.pause()

    return hold
