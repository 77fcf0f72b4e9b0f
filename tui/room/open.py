"""Opens the control room on a terminal, and gives the exit status when it is left. Whatever happens, the terminal is given back."""

import contextlib
import gc
import os
import sys
from pathlib import Path
from typing import Final

import msgspec
from textual.driver import Driver

from quarterdeck.tui.room import first_paint
from quarterdeck.tui.room.ansi import ALTERNATE_SCREEN
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.fleet_cache import remember
from quarterdeck.tui.room.logbook import open_logbook
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.watchdog import Watchdog

TURN: Final = 0.001  # seconds that a thread which reads much may go on while a key waits for its turn


def open_room(opening: Opening, *, mouse: bool = False) -> int:
    """Runs until the operator leaves. The screen library draws on standard error; nothing else may be written there."""
    heed_the_terminal()
    gc.disable()  # until the room is ready, see first_paint.ready
    sys.setswitchinterval(TURN)
    logbook = open_logbook()
    room = Room(msgspec.structs.replace(opening, known=first_paint.painted()))
    if first_paint.painted_already():
        room.driver_class = taking_over(room.driver_class)
    try:
        with Watchdog(sys.__stdin__.fileno() if sys.__stdin__ else 0, room.leave, room.close_companions):
            left = room.run(mouse=mouse)
    finally:
        # Of a fleet file that was edited, or with another look: for the next start.
        remember(room.fleet, room.look.name)
        room.keep_picture()
    if room.broke is not None:
        print(broken(room.broke, logbook), file=sys.stderr)
        return 1
    return left or 0


def heed_the_terminal() -> None:
    """The terminal's own size counts, not one that the shell exported at some time: the screen library would believe that first, at the
    start and with every change, and a terminal that is too small would be taken for a large one."""
    with contextlib.suppress(OSError):
        if all(os.get_terminal_size(0)):
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)


def broken(error: str, logbook: Path | None) -> str:
    """One sentence about a fault of ours; what it was in full is in the log only."""
    where = f"what happened is in {logbook}" if logbook is not None else "its log could not be written"
    return f"qd: the control room ended on a fault of its own ({error}); rollouts go on, qd opens it again; {where}"


def taking_over(driver: type[Driver]) -> type[Driver]:
    """The driver for a screen that the first paint is on: it does not enter it again, which would clear it on some terminals."""

    def start_application_mode(self: Driver) -> None:
        first_paint.taken_over()
        driver.start_application_mode(self)

    def write(self: Driver, data: str) -> None:
        driver.write(self, data.replace(ALTERNATE_SCREEN, ""))

    # Which one it is depends on the platform, so its class is made when that is known.
    return type("TakingOver", (driver,), {"start_application_mode": start_application_mode, "write": write})
