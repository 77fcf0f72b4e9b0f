"""A build in the place of a version: ``#812`` or ``#latest``, as typed; the CI system is asked which version it made."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.aside import aside


class Wanted(msgspec.Struct, frozen=True):
    """``build``: what the rollout remembers of it; None: a version was chosen."""

    version: str
    build: Mapping[str, Any] | None = None

    @property
    def number(self) -> str:
        return str(self.build["number"]) if self.build is not None else ""


def names_build(word: str) -> bool:
    return word.startswith("#") and len(word) > 1


def ask_for_build(room: Room, target: str, word: str, show: Callable[[Wanted], None]) -> None:
    """Asks the CI system beside the screen; ``show`` opens the card, unless another one is open by then, whose keys are its own."""
    room.say(f"{target}: asking which version build {word} made ..")

    async def asked() -> None:
        wanted = await _version_of_build(room, target, word)
        if next(iter(room.cards()), None) is None:
            room.say("")
            show(wanted)
        else:
            room.say(
                f"build {wanted.number} made {wanted.version} of {target}: another card is open, so D or :deploy it once more"
            )

    room.carry_out("deploy", asked())


async def _version_of_build(room: Room, target: str, word: str) -> Wanted:
    """The CI client's deadlines hold. Raises Refused where the build has not passed, made no version, or can't be asked for."""
    from quarterdeck.rollouts.built import NotToDeploy, as_option, choose

    fleet, service = room.fleet, target.partition("/")[2]
    try:
        found = await aside(lambda: choose(fleet, service, word.removeprefix("#")))
    except (NotToDeploy, BackendError, OSError) as error:
        raise Refused(str(error)) from error
    return Wanted(found.build.version, as_option(found.build))
