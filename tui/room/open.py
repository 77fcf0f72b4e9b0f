"""Opens the control room on a terminal, and gives the exit status when it is left."""

import gc
import threading

from textual.driver import Driver

from quarterdeck.tui.room import first_paint
from quarterdeck.tui.room.ansi import ALTERNATE_SCREEN
from quarterdeck.tui.room.app import Opening, Room
from quarterdeck.tui.room.fleet_cache import remember


def open_room(opening: Opening, *, mouse: bool = False) -> int:
    """Runs until the operator leaves. The screen library draws on standard error; nothing else may be written there."""
    gc.disable()  # until the room is ready, see first_paint.ready
    room = Room(opening)
    if first_paint.painted_already():
        room.driver_class = taking_over(room.driver_class)
    threading.Thread(target=remember, args=(opening.fleet, opening.look), daemon=True).start()
    try:
        return room.run(mouse=mouse) or 0
    finally:
        remember(
            room.fleet, room.look.name
        )  # of a fleet file that was edited, or with another look: for the next start


def taking_over(driver: type[Driver]) -> type[Driver]:
    """The driver for a screen that the first paint is on: it does not enter it again, which would clear it on some terminals."""

    class TakingOver(driver):  # type: ignore[valid-type,misc] # which one it is depends on the platform
        def start_application_mode(self) -> None:
            first_paint.taken_over()
            super().start_application_mode()

        def write(self, data: str) -> None:
            super().write(data.replace(ALTERNATE_SCREEN, ""))

    return TakingOver
