"""What is typed here on its way to a command elsewhere: standard input as it comes, or this terminal, given back as it was."""

import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import Size, Terminal

PIECE = 64 * 1024


async def standard_input() -> AsyncIterator[bytes]:
    """Until its end. A pipe that says nothing keeps nobody from leaving: it is only read when there is something."""
    ready = asyncio.Event()
    with _watched(ready) as watched:
        while True:
            if watched:
                await ready.wait()
                ready.clear()
                if not _something():
                    continue
                data = os.read(0, PIECE)
            else:
                data = await asyncio.to_thread(os.read, 0, PIECE)
            if not data:
                return
            yield data


@contextlib.contextmanager
def _watched(ready: asyncio.Event) -> Iterator[bool]:
    """Sets ``ready`` when there is something to read; False: that can't be told of a file, which never keeps one waiting."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(0, ready.set)
    except OSError:  # epoll takes no files
        yield False
        return
    try:
        yield True
    finally:
        loop.remove_reader(0)


def _something() -> bool:
    """Whether a read gives something at once: the loop may say so of what has just been read, and would be stopped by a read."""
    return bool(select.select([0], [], [], 0)[0])


class LocalTerminal:
    """This terminal, given to a command elsewhere: every key goes there, Ctrl-C too."""

    def __init__(self) -> None:
        self._resized = asyncio.Event()

    @classmethod
    @contextlib.contextmanager
    def where(cls, lines_wanted: bool) -> Iterator[Self | None]:
        """None where standard input and output are not both a terminal, or ``lines_wanted``. Leaving gives the terminal back."""
        if lines_wanted or sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
            yield None
            return
        before = termios.tcgetattr(0)
        loop = asyncio.get_running_loop()
        made = cls()
        loop.add_signal_handler(signal.SIGWINCH, made._resized.set)
        try:
            tty.setraw(0)
            yield made
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)
            termios.tcsetattr(0, termios.TCSAFLUSH, before)

    def told(self) -> "Terminal":
        from quarterdeck.backends.hosts.contract import Terminal

        return Terminal(os.environ.get("TERM") or "vt100", _size())

    async def typed(self) -> "AsyncIterator[bytes | Size]":
        """Keys as they are typed, and the terminal's size each time that it changes."""
        ready = asyncio.Event()
        with _watched(ready):
            while True:
                waiting = [asyncio.create_task(event.wait()) for event in (ready, self._resized)]
                try:
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in waiting:
                        task.cancel()
                if self._resized.is_set():
                    self._resized.clear()
                    yield _size()
                if ready.is_set():
                    ready.clear()
                    if not _something():
                        continue
                    data = os.read(0, PIECE)
                    if not data:
                        return
                    yield data


def _size() -> "Size":
    from quarterdeck.backends.hosts.contract import Size

    columns, lines = os.get_terminal_size(1)
    return Size(columns, lines)
