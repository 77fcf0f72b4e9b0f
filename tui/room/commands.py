"""The commands that were typed, for the arrows: kept for one operator in a file of their own, without free words."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from quarterdeck.tui.room.own_files import MOST_COMMANDS, read_commands, write_own


class Commands:
    """``lines``: the oldest first. ``later`` runs a function beside the screen: writing a file may take a while."""

    def __init__(self, path: Path, later: Callable[[Callable[[], None]], None]) -> None:
        self.path = path
        self.lines = read_commands(path)
        self._later = later

    def add(self, line: str, *, kept: bool) -> None:
        """Remembers a command; ``kept``: in the file, too."""
        line = line.strip()
        self.lines = _with(self.lines, line)
        if kept:
            self._later(lambda: self._write(line))

    def _write(self, line: str) -> None:
        """Onto what is in the file now: another room of the same operator may have written it since."""
        with contextlib.suppress(OSError):  # a full disk must not disturb who types
            write_own(self.path, "".join(f"{each}\n" for each in _with(read_commands(self.path), line)))


def _with(lines: list[str], line: str) -> list[str]:
    return [*(each for each in lines if each != line), line][-MOST_COMMANDS:]
