"""The guided first incident on the playground: what is said at each stage, derived from what the fleet really does. Pure."""

from enum import Enum

import msgspec

from quarterdeck.history.records import ENDED, RolloutKind, RolloutState
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.tui.room.keymap import Keymap
from quarterdeck.tui.room.rows import Role, Row, Span, row


class Incident(msgspec.Struct, frozen=True):
    """``bad``: the version that is healthy and fails under traffic, released to ``target`` while somebody watches.

    ``shipped``: the rollout that does it, once it is asked for.
    """

    target: str
    bad: str
    shipped: int | None = None


class Stage(Enum):
    RELEASING = "releasing"
    FAILED = "failed"  # it could not be released: no story
    BAD = "bad"
    CARD = "card"
    GOING_BACK = "going back"
    DONE = "done"


def stage_of(incident: Incident, picture: Picture, before: Stage, *, card_open: bool) -> Stage:
    """Where the story stands. It never goes on by itself: only what the target does and the card move it."""
    seen = picture.targets.get(incident.target)
    shipped = picture.rollout(incident.shipped) if incident.shipped is not None else None
    if seen is None:
        return before
    if shipped is not None and shipped.rollout.state in ENDED and shipped.rollout.state is not RolloutState.SUCCEEDED:
        return Stage.FAILED
    if seen.moving is not None:
        if seen.moving.rollout.kind is RolloutKind.ROLLBACK and seen.moving.rollout.epoch > 0:
            return Stage.GOING_BACK
        return Stage.CARD if card_open else Stage.RELEASING if before is Stage.RELEASING else before
    if seen.version == incident.bad:
        return Stage.CARD if card_open else Stage.BAD
    return Stage.RELEASING if before is Stage.RELEASING else Stage.DONE


def words(stage: Stage, incident: Incident, keymap: Keymap) -> tuple[str, str]:
    """Two sentences: what happens, and what to do."""
    back, logs, history = keymap.key_of("rollback"), keymap.key_of("logs"), keymap.key_of("view-5")
    match stage:
        case Stage.RELEASING:
            return (
                f"{incident.bad} is being released to {incident.target}, host after host, under traffic.",
                "Watch its mark in the matrix. Nothing to do yet.",
            )
        case Stage.FAILED:
            return (
                f"{incident.bad} could not be released ({history} shows why).",
                "esc closes this, :guide tries it again.",
            )
        case Stage.BAD:
            return (
                f"{incident.bad} is bad: it says it is healthy, but every fifth request fails ({logs} logs).",
                f"Press {back}, then y: {incident.target} goes back to what worked.",
            )
        case Stage.CARD:
            return (
                "The card is armed: every host says whether its way back is open.",
                "y rolls back. esc leaves everything as it is.",
            )
        case Stage.GOING_BACK:
            return (
                "It goes back. A worker does that, also when you close this terminal now.",
                "Nothing to do: it ends when every host is read back and healthy.",
            )
        case Stage.DONE:
            return (
                f"{incident.target} is back on what worked. That was it: {back}, y.",
                f"{history} shows who did what. :guide plays it again, esc closes this.",
            )


def guide_rows(stage: Stage, incident: Incident, keymap: Keymap) -> list[Row]:
    first, second = words(stage, incident, keymap)
    return [row(" ", first), row(" ", Span(second, Role.STRONG))]
