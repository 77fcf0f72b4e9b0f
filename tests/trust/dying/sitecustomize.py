"""Ends a worker with SIGKILL at one exact place between its steps: just before, or just after, its n-th write to the journal is kept.

Python itself loads this in every process of a test that sets PYTHONPATH to this folder; it does nothing but in a worker, and nothing
without QD_TEST_DIES («before 12», «after 12»). QD_TEST_DIED names a file that it makes at its death. Heartbeats do not count: how
many there are is up to the clock.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def _die() -> None:
    os.close(os.open(os.environ["QD_TEST_DIED"], os.O_WRONLY | os.O_CREAT))
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # not one instruction more, should the signal take its time


def _arrange(moment: str, number: int) -> None:
    from unittest import mock

    from quarterdeck.history.store import Store

    write: Callable[..., Any] = Store._write
    writes = 0

    def counted(self: Store, change: Callable[[], Any], **how: Any) -> Any:
        nonlocal writes
        if sys._getframe(1).f_code.co_name == "heartbeat":
            return write(self, change, **how)
        writes += 1
        last = writes == number

        def and_die() -> Any:
            change()
            _die()

        result = write(self, and_die if last and moment == "before" else change, **how)
        if last:
            _die()
        return result

    mock.patch.object(Store, "_write", counted).start()  # in this process only


if "quarterdeck.rollouts.worker" in sys.orig_argv and "QD_TEST_DIES" in os.environ:
    _moment, _number = os.environ["QD_TEST_DIES"].split()
    _arrange(_moment, int(_number))
