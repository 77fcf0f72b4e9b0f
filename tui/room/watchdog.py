"""Sees to it that the control room never outlives its terminal, and always gives it back: a thread that no stuck screen stops.

It ends this process only. Rollouts are processes of their own; no lock and no journal needs the screen to clean up.
"""

import contextlib
import logging
import os
import select
import signal
import termios
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

LOOK_EVERY: Final = 0.1  # seconds
GRACE: Final = 0.8  # seconds for an orderly end, after a signal
CLOSING: Final = 0.4  # seconds for what lives with the room to let go, when the terminal is gone
HUNG_UP: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL
# alternate screen off, cursor on, wrap on, no reports of mouse, focus, paste, keys
_RESTORE: Final = (
    b"\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
)
_log = logging.getLogger("quarterdeck.room")


class Watchdog(threading.Thread):
    """``with Watchdog(terminal, ask_to_leave, close)`` around the run of the screen.

    ``ask_to_leave`` (with the exit status) must return at once; ``close`` lets go of what lives with the room.
    """

    def __init__(self, terminal: int, ask_to_leave: Callable[[int], None], close: Callable[[], None]) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._terminal = terminal
        self._ask_to_leave, self._close = ask_to_leave, close
        self._finished = threading.Event()
        self._signal = 0
        self._before: dict[int, Any] = {}
        self._attributes: list[Any] | None = None

    def __enter__(self) -> Self:
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(self._terminal)
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: what it ignores stays ignored
                self._before[number] = signal.signal(number, self._signalled)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._terminal, 0)  # hanging up is told without asking; nothing is ever read here
        while not self._finished.wait(LOOK_EVERY):
            if any(event & HUNG_UP for _, event in poll.poll(0)):
                _log.info("the terminal is gone, leaving")
                self._let_go()
                os._exit(128 + signal.SIGHUP)
            if self._signal:
                self._leave(128 + self._signal)
                return

    def _leave(self, status: int) -> None:
        _log.info("leaving signal=%d", self._signal)
        self._ask_to_leave(status)
        if self._finished.wait(GRACE):
            return
        _log.warning("the screen did not end in time: the terminal is not read, or something hangs")
        self._let_go()
        self._give_back()
        os._exit(status)

    def _let_go(self) -> None:
        """In a thread of its own: what hangs must not keep this process."""
        closing = threading.Thread(target=self._close, name="close", daemon=True)
        closing.start()
        closing.join(CLOSING)

    def _give_back(self) -> None:
        """The terminal as it was, as far as it takes that without being waited for."""
        with contextlib.suppress(termios.error, OSError):
            if self._attributes is not None:
                termios.tcsetattr(self._terminal, termios.TCSANOW, self._attributes)
        with contextlib.suppress(OSError):
            terminal = os.open("/dev/tty", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            os.write(terminal, _RESTORE)
