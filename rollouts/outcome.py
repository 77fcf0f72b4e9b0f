"""How a rollout ended, for pipelines: the one JSON document and the exit status. Their meaning is a promise to
scripts."""

from typing import Any

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED, Rollout, RolloutState

DONE = 0
FAULT = 1
USAGE = 2
TAKEN_BACK = 3
NOT_TAKEN_BACK = 4
REFUSED = 5
UNREACHABLE = 6
WAITING = 7

# Why nothing was begun, in the words of the worker. Any other (artifact, secrets, hosts, a worker that died): a fault.
_CANCELLED = {
    "usage": USAGE,
    "cancelled": TAKEN_BACK,
    "policy": REFUSED,
    "busy": REFUSED,
    "silence": REFUSED,
    "unreachable": UNREACHABLE,
}


def cause(journal: Journal, rollout: int) -> str:
    """Why it ended, in the word that the worker journalled beside the sentence; empty when it ended well."""
    events = journal.events(rollout=rollout, kind="state", newest_first=True, limit=1)
    return str(events[0].body.get("cause", "")) if events else ""


def exit_status(rollout: Rollout, cause: str = "") -> int:
    """The exit status of a command that waited for ``rollout``."""
    match rollout.state:
        case RolloutState.SUCCEEDED:
            return DONE
        case RolloutState.ROLLED_BACK:
            return TAKEN_BACK
        case RolloutState.FAILED:
            return NOT_TAKEN_BACK
        case RolloutState.CANCELLED:
            return _CANCELLED.get(cause, FAULT)
        case RolloutState.SUPERSEDED:
            return TAKEN_BACK
        case _:
            return WAITING


def result(journal: Journal, rollout_id: int) -> dict[str, Any]:
    """The document that ``--wait --json`` ends with. ``status`` is a rollout state; ``seconds`` from the first change
    to the end."""
    rollout = journal.rollout(rollout_id)
    hosts = [
        {
            "host": seen.host,
            "release": seen.release,
            "version": seen.version,
            "health": seen.health,
            "error": seen.error,
        }
        for seen in journal.observations(rollout.target)
        if seen.body.get("rollout") == rollout_id
    ]
    return {
        "rollout": rollout.id,
        "kind": str(rollout.kind),
        "target": rollout.target,
        "from": rollout.from_release,
        "to": rollout.to_release,
        "status": str(rollout.state),
        "seconds": seconds(rollout),
        "hosts": hosts,
        "reason": rollout.outcome,
        "exit_status": exit_status(rollout, cause(journal, rollout_id)),
    }


def seconds(rollout: Rollout) -> float | None:
    """From when it began to when it ended, by the wall clock; None while it runs or when it never began."""
    from datetime import datetime

    if rollout.started is None or rollout.ended is None or rollout.state not in ENDED:
        return None
    return round((datetime.fromisoformat(rollout.ended) - datetime.fromisoformat(rollout.started)).total_seconds(), 3)
