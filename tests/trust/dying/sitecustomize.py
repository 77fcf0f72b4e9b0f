"""Ends a worker with SIGKILL at one exact place between its steps: just before, or just after, its n-th write to the journal is kept.
Or stops it there with SIGSTOP, until the test has it go on; or has it meet an error that nobody thought of.

Python itself loads this in every process of a test that sets PYTHONPATH to this folder; it does nothing but in a worker, and nothing
without QD_TEST_DIES («before 12», «after 12», «stop 12»: after it, to go on; «raise 1»: instead of telling what was done
from the first step on). QD_TEST_DIED names a file that it makes when it does, QD_TEST_SAYS what that error says.
Heartbeats do not count: how many there are is up to the clock.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


def _leave_word() -> None:
    os.close(os.open(os.environ["QD_TEST_DIED"], os.O_WRONLY | os.O_CREAT))


def _die() -> None:
    _leave_word()
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # not one instruction more, should the signal take its time


def _arrange(moment: str, number: int) -> None:
    from unittest import mock

    from quarterdeck.history.store import Store

    write: Callable[..., Any] = Store._write
    writes = 0
    stands = True

    def counted(self: Store, change: Callable[[], Any], **how: Any) -> Any:
        nonlocal writes, stands
        caller = sys._getframe(1).f_code.co_name
        if caller == "heartbeat" or (moment == "raise" and caller != "end_steps"):
            return write(self, change, **how)
        writes += 1
        last = writes == number

        def and_die() -> Any:
            change()
            _die()

        if moment == "raise" and writes >= number:
            _leave_word()
            raise RuntimeError(os.environ.get("QD_TEST_SAYS", "nobody thought of this"))
        result = write(self, and_die if last and moment == "before" else change, **how)
        if moment == "stop":
            # A write within others (``together``) is kept with them: stopped before, the worker would hold the journal's lock.
            if stands and writes >= number and not self._joined:
                stands = False
                _leave_word()
                # To this thread, which so stops before it goes on: to the process, and it might be within its next write by then.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        elif last:
            _die()
        return result

    mock.patch.object(Store, "_write", counted).start()  # in this process only


if "quarterdeck.rollouts.worker" in sys.orig_argv and "QD_TEST_DIES" in os.environ:
    _moment, _number = os.environ["QD_TEST_DIES"].split()
    _arrange(_moment, int(_number))
