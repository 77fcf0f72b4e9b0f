"""Ends a command of an operator's from beside it, where neither a closed channel nor an engine does: all that has the command's mark in
its environment is told to end, and killed when it has not a second later. Needs a shell and /proc there."""

import asyncio
from typing import Final

MARK: Final = "QD_EXEC"

_TEXT: Final = """for signal in TERM 0 0 0 KILL; do
    left=
    for process in /proc/[0-9]*; do
        grep -q "$mark" "$process/environ" 2>/dev/null && kill "-$signal" "${process#/proc/}" 2>/dev/null && left=yes
    done
    [ -n "$left" ] || exit 0
    sleep 0.3 2>/dev/null || sleep 1
done"""


def ending(mark: str) -> str:
    """Shell text. ``mark``: letters and digits."""
    return f"mark={MARK}={mark}\n{_TEXT}"


async def stop_typing(typing: "asyncio.Task[None]") -> None:
    """Raises what it failed with: a fault of ours, or of who gave the input."""
    typing.cancel()
    await asyncio.wait([typing])
    if not typing.cancelled() and (fault := typing.exception()) is not None:
        raise fault
