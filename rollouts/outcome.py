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

UNCHANGED = "unchanged"  # the cause of a failure in which every host said that it had changed nothing

# Why nothing was begun, in the words of the worker. Any other (artifact, secrets, hosts, a worker that died): a fault.
_CANCELLED = {
    "usage": USAGE,
    "cancelled": TAKEN_BACK,
    "policy": REFUSED,
    "busy": REFUSED,
    "silence": REFUSED,
    "rejected": REFUSED,
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
            return FAULT if cause == UNCHANGED else NOT_TAKEN_BACK
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
    return {
        "rollout": rollout.id,
        "kind": str(rollout.kind),
        "target": rollout.target,
        "from": rollout.from_release,
        "to": rollout.to_release,
        "status": str(rollout.state),
        "seconds": seconds(rollout),
        "hosts": _hosts(journal, rollout),
        "reason": rollout.outcome,
        "exit_status": exit_status(rollout, cause(journal, rollout_id)),
    }


def _hosts(journal: Journal, rollout: Rollout) -> list[dict[str, Any]]:
    """Every host that the rollout was about. ``state``: changed (read back), unchanged, failed, or unreachable; of one that was
    not changed, ``release`` is what it ran when it was last looked at."""
    seen = {one.host: one for one in journal.observations(rollout.target)}
    planned = {str(host["host"]): host for host in (rollout.plan or {}).get("hosts", ())}
    debts = {debt.host: debt.reason for debt in journal.debts(rollout.target) if debt.rollout == rollout.id}
    events = journal.events(rollout=rollout.id, kind="state", newest_first=True, limit=1)
    lost: dict[str, str] = dict(events[0].body.get("lost", {})) if events else {}
    lost |= {name: str(host["error"]) for name, host in planned.items() if host["error"] is not None}
    refused = {s.host: str(s.outcome.get("error")) for s in journal.steps(rollout.id) if s.outcome.get("untouched")}
    lost |= debts
    only = rollout.options.get("only")
    declared = only or [str(host["name"]) for host in rollout.options.get("target", {}).get("hosts", ())]
    found = []
    for name in dict.fromkeys([*planned, *declared]):
        last = seen.get(name)
        mine = last is not None and last.body.get("rollout") == rollout.id
        if last is not None and mine:
            state = "failed" if last.error else "changed"
            release, version, health, error = last.release, last.version, last.health, last.error
        else:
            state = "unreachable" if name in lost else "unchanged"
            release = planned.get(name, {}).get("current") or (last.release if last is not None else None)
            row = journal.release(release) if release else None
            version = row.release.version if row is not None else None
            same = last is not None and last.release == release
            health = last.health if last is not None and same and name not in lost else "unknown"
            error = lost.get(name) or refused.get(name)
        if mine and name in debts:
            state, error = "unreachable", error or debts[name]
        found.append(
            {"host": name, "state": state, "release": release, "version": version, "health": health, "error": error}
        )
    return found


def seconds(rollout: Rollout) -> float | None:
    """From when it began to when it ended, by the wall clock; None while it runs or when it never began."""
    from datetime import datetime

    if rollout.started is None or rollout.ended is None or rollout.state not in ENDED:
        return None
    return round((datetime.fromisoformat(rollout.ended) - datetime.fromisoformat(rollout.started)).total_seconds(), 3)
