"""A real terminal: the program on a pseudo-terminal, its bytes read back with pyte as a person would see them."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import pyte
from wcwidth import wcwidth

DEADLINE = 60.0  # seconds for what is waited for, a rollout on a busy machine among it
GONE = 4  # looks


def _cells(line: Mapping[int, pyte.screens.Char], columns: int) -> Iterator[str]:
    """What each cell shows. The second half of a wide character is nothing; left alone, it is blank, as on any terminal.

    Not ``Screen.display``, which fails on such a half: between two writes of the program there may be one.
    """
    wide = False
    for x in range(columns):
        data = line[x].data
        if data or not wide:
            yield data or " "
        wide = bool(data) and wcwidth(data[0]) == 2


class Terminal:
    """``with Terminal(command, size=(80, 24), environment=…) as terminal``. ``paused``: nobody reads what the program draws."""

    def __init__(
        self, command: Sequence[str], *, size: tuple[int, int] = (80, 24), environment: Mapping[str, str]
    ) -> None:
        self.columns, self.lines = size
        self.screen = pyte.Screen(self.columns, self.lines)
        self._stream = pyte.ByteStream(self.screen)
        self.received = bytearray()
        self.paused = False
        self._lock = threading.Lock()
        self._closed = False
        self.status: int | None = None
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                for number in (
                    signal.SIGHUP,
                    signal.SIGINT,
                ):  # as a login shell has them, however the tests were started
                    signal.signal(number, signal.SIG_DFL)
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))
                os.execvpe(
                    command[0], list(command), {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
                )
            finally:
                os._exit(127)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    # what is on it

    @property
    def rows(self) -> list[str]:
        with self._lock:
            buffer = self.screen.buffer
            lines = ["".join(_cells(buffer[y], self.columns)) for y in range(self.lines)]
        return [line.rstrip() for line in lines]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    def row_with(self, text: str) -> str:
        """The first row that holds ``text``; AssertionError with the whole screen when there is none."""
        for line in self.rows:
            if text in line:
                return line
        raise AssertionError(f"no row with {text!r} in:\n{self.text}")

    def wait_for(self, text: str, *, deadline: float = DEADLINE) -> str:
        """Waits until ``text`` is somewhere on the screen; gives the row it is in."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.rows if text in line]
            return bool(found)

        self.wait_until(there, f"{text!r} on the screen", deadline=deadline)
        return found[0]  # of that very look: a moment later it may be painted over

    def wait_gone(self, text: str, *, deadline: float = DEADLINE) -> None:
        """Waits until ``text`` is nowhere in a few looks one after another: between two pieces of a repaint it may be missing in one. A key
        that is sent in that instant behind an Escape would be one with it."""
        looks = 0

        def gone() -> bool:
            nonlocal looks
            looks = 0 if text in self.text else looks + 1
            return looks >= GONE

        self.wait_until(gone, f"{text!r} to go", deadline=deadline)

    def wait_until(self, holds: Callable[[], bool], what: str, *, deadline: float = DEADLINE) -> None:
        end = time.monotonic() + deadline
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"waited {deadline:g} s for {what}; the screen:\n{self.text}")
            time.sleep(0.02)

    # what is done to it

    def send(self, keys: str) -> None:
        """Keys as bytes: ``\\x1b`` is Escape, ``\\r`` Enter, ``\\t`` Tab."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        with self._lock:
            self.columns, self.lines = columns, lines
            self.screen.resize(lines, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def hang_up(self) -> None:
        """The terminal vanishes, as when a connection drops."""
        self._closed = True
        self._reader.join(timeout=30.0)  # else it might read from whatever has the descriptor next
        with contextlib.suppress(OSError):
            os.close(self._master)
        self._master = -1

    def wait_ended(self, *, deadline: float = DEADLINE) -> int:
        """Waits until the program has ended; gives its exit status (negative: the signal). What it drew last has been read then, unless
        the terminal is paused, or something that it has left behind has it open."""
        self.wait_until(self._ended, "the program to end", deadline=deadline)
        assert self.status is not None
        if not self.paused:
            self._reader.join(timeout=5.0)
        return self.status

    def _ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def _read(self) -> None:
        while not self._closed:
            if self.paused:
                time.sleep(0.02)
                continue
            ready, _, _ = select.select([self._master], [], [], 0.1)
            if not ready:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.received += data
                self._stream.feed(data)

    def close(self) -> None:
        if not self._ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.status = -signal.SIGKILL
        if self._master >= 0:
            self.hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
