"""Copies text to where the operator can paste it, over SSH and inside tmux too: tmux's buffer, else the terminal's clipboard
by OSC 52, else a file whose path is said. It waits for nothing longer than a moment, and never says that it copied what it did not."""

import asyncio
import base64
import contextlib
import os
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from quarterdeck.tui.room.own_files import own_directory, write_own

MOST_BY_TERMINAL: Final = 74_000  # bytes: what terminals take of one OSC 52 is 100 kB of base64
TMUX_DEADLINE: Final = 3.0  # seconds


class Way(Enum):
    TMUX = "tmux"
    TERMINAL = "terminal"
    FILE = "file"


class Copied(msgspec.Struct, frozen=True):
    """``said``: one sentence for the operator."""

    way: Way
    said: str


def way_of(environment: Mapping[str, str], size: int) -> Way:
    """How ``size`` bytes get out of this terminal. Raw OSC 52 is lost inside tmux and screen, and on a console."""
    if environment.get("TMUX"):
        return Way.TMUX
    term = environment.get("TERM", "")
    if environment.get("STY") or term.startswith("screen") or term in ("linux", "dumb", "") or size > MOST_BY_TERMINAL:
        return Way.FILE
    return Way.TERMINAL


async def copy(text: str, write: Callable[[str], None], environment: Mapping[str, str] | None = None) -> Copied:
    """Copies ``text``. ``write`` sends a sequence to the terminal. Raises OSError when not even a file can be written."""
    variables = os.environ if environment is None else environment
    data = text.encode("utf-8", "replace")
    lines = text.count("\n") + (not text.endswith("\n"))
    what = f"{lines} lines" if lines > 1 else f"{text.strip()[:60]!r}"
    match way_of(variables, len(data)):
        case Way.TMUX:
            if await _to_tmux(data, "-w"):
                return Copied(Way.TMUX, f"copied to tmux's buffer and the clipboard: {what}")
            if await _to_tmux(data):  # before tmux 3.2 there is no -w
                return Copied(Way.TMUX, f"copied to tmux's buffer (prefix ] pastes): {what}")
        case Way.TERMINAL:
            write(f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07")
            return Copied(Way.TERMINAL, f"sent to the terminal's clipboard: {what}")
        case Way.FILE:
            pass
    path = own_directory(variables) / "copied.txt"
    await asyncio.to_thread(_to_file, path, text)
    return Copied(Way.FILE, f"no clipboard takes it here; written to {path}")


def _to_file(path: Path, text: str) -> None:
    write_own(path, text if text.endswith("\n") else text + "\n")


async def _to_tmux(data: bytes, *options: str) -> bool:
    try:
        tmux = await asyncio.create_subprocess_exec(
            "tmux",
            "load-buffer",
            *options,
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(TMUX_DEADLINE):
            await tmux.communicate(data)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            tmux.kill()
        await tmux.wait()
        return False
    return tmux.returncode == 0
