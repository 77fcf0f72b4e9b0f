"""Real processes for tests: a function runs in a forked child, which reports line by line through a pipe and can be killed.

The parent must have no journal open when it forks: SQLite's connections do not survive a fork.
"""

import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Self

Report = Callable[[str], None]


class Fork:
    """A child that runs ``function(report)``. Leaving the block kills it if it still runs."""

    def __init__(self, function: Callable[[Report], None]) -> None:
        self._read, write = os.pipe()
        self._buffer = b""
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            status = 1
            try:
                function(lambda line: _write_all(write, line.encode() + b"\n"))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(write)

    def line(self, seconds: float = 90.0) -> str:
        """The next line reported; fails after ``seconds``, or when the child ended without one."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the child said nothing in time"
            got = os.read(self._read, 65536)
            assert got, "the child ended without a word"
            self._buffer += got
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def rest(self, seconds: float = 90.0) -> list[str]:
        """All lines until the child closes its pipe; a line cut off by a kill is left out."""
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the child did not end in time"
            got = os.read(self._read, 65536)
            if not got:
                break
            self._buffer += got
        whole, _, self._buffer = self._buffer.rpartition(b"\n")
        return whole.decode().splitlines()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        os.close(self._read)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
