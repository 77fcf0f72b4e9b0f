"""A program on a pseudo-terminal, and every byte that it draws with the moment at which it came."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self


class Watched:
    """``with Watched(command, environment=…, size=(80, 24)) as watched``. Times are seconds of a monotonic clock."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], size: tuple[int, int]) -> None:
        columns, lines = size
        self.drawn = bytearray()
        self.last = 0.0  # when the last bytes came
        self.began = time.perf_counter()
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            # The size is set before the program starts, as a terminal emulator does it.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            os.execvpe(command[0], list(command), dict(environment))
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What comes within ``seconds``, as soon as something does; nothing at the end of the program."""
        ready, _, _ = select.select([self._master], [], [], max(seconds, 0.0))
        if not ready:
            return b""
        with contextlib.suppress(OSError):
            data = os.read(self._master, 1 << 16)
            self.last = time.perf_counter()
            self.drawn += data
            return data
        return b""

    def until(self, holds: Callable[[bytes], bool], deadline: float = 30.0) -> float:
        """Reads until ``holds`` of everything that was drawn; gives the moment. Raises TimeoutError."""
        end = time.perf_counter() + deadline
        while not holds(bytes(self.drawn)):
            if time.perf_counter() > end:
                raise TimeoutError(f"not drawn within {deadline:g} s; the last of it: {bytes(self.drawn[-300:])!r}")
            self.read(0.05)
        return self.last

    def drain(self, seconds: float) -> int:
        """Reads for ``seconds``; gives the number of bytes."""
        end, before = time.perf_counter() + seconds, len(self.drawn)
        while (left := end - time.perf_counter()) > 0:
            self.read(left)
        return len(self.drawn) - before

    def send(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def processor_seconds(self) -> float:
        """User and system time of the program so far, without its children."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            os.close(self._master)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
