"""Plays the guided first incident: ships the release that is bad under traffic, and says at each stage what to do."""

import msgspec

from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words


async def play(room: Room, _words: Words = ()) -> None:
    """From the start. Only on the playground: nowhere else is a bad release wanted."""
    incident = room.opening.incident
    if incident is None:
        room.say("the guide is played on the playground only: qd demo opens it")
        return
    room.visit("overview", target=incident.target)
    room.play(incident)
    seen = room.picture.targets.get(incident.target)
    if seen is not None and seen.version == incident.bad and seen.moving is None:
        return  # it runs there already

    def ship(control: Control) -> int:
        # Straight into production, and bad in an earlier story perhaps: that is what the incident is about.
        return control.arm_deploy(
            incident.target,
            incident.bad,
            reason="qd demo, the guide",
            force=True,
            override=("after",),
            detached_go=True,
        ).id

    try:
        room.play(msgspec.structs.replace(incident, shipped=await room.desk.act(ship)))
    except Refused:
        room.play(None)
        raise


HANDLERS: dict[str, Handler] = {"guide": play}
