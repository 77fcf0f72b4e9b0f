"""Opens the control room on a terminal, and gives the exit status when it is left. Whatever happens, the terminal is given back."""

import sys
from pathlib import Path

from quarterdeck.tui.room.app import Opening, Room
from quarterdeck.tui.room.logbook import open_logbook
from quarterdeck.tui.room.watchdog import Watchdog


def open_room(opening: Opening, *, mouse: bool = False) -> int:
    """Runs until the operator leaves. The screen library draws on standard error; nothing else may be written there."""
    logbook = open_logbook()
    room = Room(opening)
    with Watchdog(sys.__stdin__.fileno() if sys.__stdin__ else 0, room.leave, room.close_companions):
        left = room.run(mouse=mouse)
    if room.broke is not None:
        print(broken(room.broke, logbook), file=sys.stderr)
        return 1
    return left or 0


def broken(error: str, logbook: Path | None) -> str:
    """One sentence about a fault of ours; what it was in full is in the log only."""
    where = f"what happened is in {logbook}" if logbook is not None else "its log could not be written"
    return f"qd: the control room ended on a fault of its own ({error}); rollouts go on, qd opens it again; {where}"
