"""What became of each host, and what showed first that something was wrong: read from steps and events alone, so that it says the same
years later. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from quarterdeck.history.records import Event, Rollout, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.plan import BASTION, Action
from quarterdeck.rollouts.post_mortem.values import HostOutcome, Sign
from quarterdeck.rollouts.statistics import moment_of

_ON_HOSTS = frozenset(
    {
        Action.STAGE,
        Action.STOP,
        Action.SWITCH,
        Action.RETIRE,
        Action.WITHDRAW,
        Action.HOOK,
        Action.VERIFY,
        Action.FINISH,
    }
)
_BACK = frozenset({RolloutState.ABORTING, RolloutState.ROLLING_BACK, RolloutState.FAILED})


def hosts(rollout: Rollout, steps: Sequence[Step], events: Sequence[Event]) -> tuple[HostOutcome, ...]:
    """In the plan's order, then those that only its steps name."""
    planned = {str(one.get("host")): one for one in (rollout.plan or {}).get("hosts") or () if isinstance(one, dict)}
    mine: dict[str, list[Step]] = {name: [] for name in planned}
    for step in steps:
        if step.action in _ON_HOSTS and step.host != BASTION:
            mine.setdefault(step.host, []).append(step)
    owed = {event.host: str(event.body.get("reason") or "") for event in events if event.kind == "debt" and event.host}
    for event in events:
        if event.kind == "debt.settled" and event.host:
            owed.pop(event.host, None)
    return tuple(_host(rollout, name, found, planned.get(name), owed.get(name)) for name, found in mine.items())


def _host(
    rollout: Rollout, name: str, steps: Sequence[Step], planned: dict[str, Any] | None, owed: str | None
) -> HostOutcome:
    before = planned.get("current") if planned is not None else rollout.from_release
    moved = [step for step in steps if step.action in (Action.SWITCH, Action.WITHDRAW) and step.state is StepState.DONE]
    release = (moved[-1].body.get("release") if moved[-1].action == Action.SWITCH else None) if moved else before
    seconds = _span(steps)
    failed = [step for step in steps if step.state is StepState.FAILED]
    error = _words(failed[-1]) if failed else ""
    if owed is not None:
        return HostOutcome(name, "owed", release, seconds, owed)
    if planned is not None and planned.get("error"):
        return HostOutcome(name, "unreachable", release, seconds, str(planned["error"]))
    if moved and release == before:
        return HostOutcome(name, "taken_back", release, seconds, error)
    if failed and rollout.state is not RolloutState.SUCCEEDED:
        return HostOutcome(name, "failed", release, seconds, error)
    return HostOutcome(name, "changed" if moved else "unchanged", release, seconds, error)


def _span(steps: Sequence[Step]) -> float | None:
    began = [moment for step in steps if (moment := moment_of(step.started)) is not None]
    ended = [moment for step in steps if (moment := moment_of(step.ended)) is not None]
    return round(max(0.0, (max(ended) - min(began)).total_seconds()), 3) if began and ended else None


def _words(step: Step) -> str:
    found = next((step.outcome[key] for key in ("error", "problem", "detail", "health") if step.outcome.get(key)), "")
    return f"{step.action}: {found}" if found else str(step.action)


def first_sign(rollout: Rollout, events: Sequence[Event]) -> Sign | None:
    """Of the rollout itself, after it began; None where nothing went wrong in it."""
    since = moment_of(rollout.started)
    for event in events:
        if event.rollout != rollout.id or since is None:
            continue
        body = event.body
        if event.kind == "step.failed":
            outcome = body.get("outcome")
            told = outcome if isinstance(outcome, dict) else {}
            words = next((str(told[key]) for key in ("error", "problem", "detail", "health") if told.get(key)), "")
            what = f"{body.get('action')} failed on {event.host}" + (f": {words}" if words else "")
        elif event.kind == "request" and body.get("kind") == "abort":
            what = f"{event.who} asked for it to be aborted"
        elif event.kind == "state" and str(body.get("to")) in _BACK:
            what = str(body.get("outcome") or body.get("to"))
        else:
            continue
        return sign(event.time, since, what)
    return None


def sign(time: str, since: datetime, what: str) -> Sign:
    at = moment_of(time) or since
    return Sign(time, since.isoformat(timespec="milliseconds").replace("+00:00", "Z"), seconds_from(since, at), what)


def seconds_from(since: datetime, at: datetime) -> float:
    return round(max(0.0, (at - since).total_seconds()), 3)
