"""The terminal's title and bell: what goes on, for a window that nobody looks at. Both can be turned off."""

import os
from collections.abc import Callable, Mapping

from quarterdeck.config.settings import Settings
from quarterdeck.history.records import ENDED, Operator
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import Mark

LONGEST = 100  # characters of a title


def title_of(picture: Picture, ended: str = "") -> str:
    """``qd acme: x production/api, 1 rolling``: the fleet, what is wrong, how much is under way, and what has just ended."""
    failed = [seen.target for seen in picture.targets.values() if seen.mark is Mark.FAILED]
    parts = [f"x {name}" for name in failed[:1]]
    if len(failed) > 1:
        parts.append(f"{len(failed) - 1} more failed")
    if picture.moving:
        parts.append(f"{len(picture.moving)} rolling")
    if ended:
        parts.append(ended)
    text = f"qd {picture.fleet}" + (f": {', '.join(parts)}" if parts else "")
    return "".join(c for c in text if c.isprintable())[:LONGEST]


def ended_of(before: Picture, now: Picture, operator: Operator) -> list[RolloutSeen]:
    """This operator's rollouts that were under way and have ended."""
    moving = {seen.id for seen in before.moving}
    return [
        seen
        for seen in now.rollouts
        if seen.id in moving
        and seen.rollout.state in ENDED
        and seen.rollout.epoch > 0  # a card that was closed again is no rollout that ended
        and seen.rollout.requested_by == operator.label
    ]


class Attention:
    """``write`` sends a sequence to the terminal."""

    def __init__(
        self, settings: Settings, write: Callable[[str], None], environment: Mapping[str, str] | None = None
    ) -> None:
        variables = os.environ if environment is None else environment
        self._write = write
        self._bell = settings.bell
        self._titled = settings.title and variables.get("TERM", "") not in ("linux", "dumb", "")
        self._title = ""
        self._ended = ""  # the last of this operator's rollouts, and how it ended: until the next one moves

    def begin(self, picture: Picture) -> None:
        """Has the terminal remember the title it has."""
        if self._titled:
            self._write("\x1b[22;2t")
        self._say(title_of(picture))

    def end(self) -> None:
        """Gives the title back."""
        if self._titled:
            self._write("\x1b[23;2t")

    def news(self, before: Picture, now: Picture, operator: Operator, *, closed: bool = False) -> None:
        """``closed``: a way back has closed meanwhile, and stayed so: that rings as well."""
        ended = ended_of(before, now, operator)
        if ended:
            last = ended[0].rollout
            self._ended = f"{last.target} {last.kind} {str(last.state).replace('_', ' ').upper()}"
        elif now.moving:
            self._ended = ""
        self._say(title_of(now, self._ended))
        if self._bell and (ended or closed):
            self._write("\x07")

    def _say(self, title: str) -> None:
        if self._titled and title != self._title:
            self._title = title
            self._write(f"\x1b]2;{title}\x07")
