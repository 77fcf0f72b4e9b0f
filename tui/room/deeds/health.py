"""Looking at the hosts now."""

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words


async def _refresh(room: Room, _words: Words) -> None:
    if room.observing.refresh():
        room.say("looking at the hosts")
    elif room.opening.read_only:
        room.say("this session only reads: what another control room's observer sees is shown as it comes")
    elif not room.opening.observe:
        room.say("this session asks no host; start qd without --cached to look at them")
    else:
        room.say("no observer runs yet; it is started again by itself")


HANDLERS: dict[str, Handler] = {"refresh": _refresh}
"""`r` asks the observer that leads, whichever room's it is."""
