"""The queue of an environment in words and as JSON: who is under way there, who is before a rollout. Pure: what the journal has is given.

How many may be under way is `max_parallel` of the environment, as it stood when the rollout was asked for.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.version_words import version_of

if TYPE_CHECKING:  # the first paint asks for none of it
    from quarterdeck.history.queueing import InLine, Line

TURN: Final = "waits for its turn"
NAMED: Final = 4  # rollouts that a sentence names
_ORDINARY: Final = (RolloutState.RUNNING, RolloutState.BAKING, RolloutState.QUEUED)


def places_of(rollout: Rollout) -> int | None:
    """How many may be under way for it to begin; None: it waits for no turn, as a rollback, or what sets the queue aside."""
    told = rollout.options.get("max_parallel")
    if not told or rollout.kind is not RolloutKind.DEPLOY or "queue" in (rollout.options.get("override") or ()):
        return None
    return int(told)


def waits_for_turn(rollout: Rollout) -> bool:
    """Whether that is what it waits for, by its own sentence: for who has no journal at hand."""
    return rollout.state is RolloutState.QUEUED and rollout.outcome.startswith(TURN)


def line_words(line: "Line", places: int, environment: str) -> str:
    """``2 of 2 under way in production: 17 (api v3, by alice), 18 (worker v9, by bob, paused); 1 before it: 19 (…)``."""
    under_way = f"{len(line.under_way)} of {places} under way in {environment}"
    if line.under_way:
        under_way += f": {_named(line.under_way)}"
    return f"{under_way}; {len(line.before)} before it: {_named(line.before)}" if line.before else under_way


def turn_words(line: "Line", places: int, environment: str) -> str:
    """The rollout's sentence while it waits."""
    return f"{TURN}: {line_words(line, places, environment)}"


def line_value(line: "Line", places: int, environment: str) -> dict[str, Any]:
    """As JSON. ``waits``: whether its turn has not come."""
    return {
        "max_parallel": places,
        "waits": not line.has_room(places),
        "words": line_words(line, places, environment),
        "since": line.since,
        "under_way": [_value(one) for one in line.under_way],
        "before": [_value(one) for one in line.before],
    }


def _named(those: "Sequence[InLine]") -> str:
    more = f" and {len(those) - NAMED} more" if len(those) > NAMED else ""
    return ", ".join(map(_one, those[:NAMED])) + more


def _one(one: "InLine") -> str:
    """``17 (api v3, by alice)``; with what it stands at, where that is nothing usual."""
    service = one.target.partition("/")[2]
    kind = "" if one.kind is RolloutKind.DEPLOY else f"{one.kind} of "
    words = [f"{kind}{service} {version_of(one.to_release) or ''}".strip(), f"by {one.requested_by.partition('@')[0]}"]
    if one.state is RolloutState.ORPHANED:
        words.append("its worker died")
    elif not one.heard_of:
        words.append("no word of its worker")
    elif one.state not in _ORDINARY:
        words.append(str(one.state).replace("_", " "))
    return f"{one.id} ({', '.join(words)})"


def _value(one: "InLine") -> dict[str, Any]:
    return {
        "rollout": one.id,
        "kind": str(one.kind),
        "target": one.target,
        "to": one.to_release,
        "status": str(one.state),
        "by": one.requested_by,
    }
