"""What a rollout waits for by its own plan, in words: a pause, a bake, people who must agree, and how much of it is left. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from quarterdeck.history.records import Event, Step, StepState
from quarterdeck.rollouts.promoting import WAITS, where_words
from quarterdeck.tui.cli.times import clock, duration, seconds_between


def wait_words(action: str, body: Mapping[str, Any]) -> str:
    """``pause 5m00s at 25 % (1 of 4 hosts)``, ``pause until promoted at …``, ``analysis smoke at …``, ``bake 30m00s``;
    ``approval by 1 of @oncall within 30m00s at …``."""
    names = ", ".join(map(str, body.get("analyses") or ()))
    lasts = "until promoted" if body.get("promote") else duration(float(body.get("seconds") or 0))
    if names:
        lasts = f"{lasts}, measuring {names}" if body.get("seconds") else names
    if asked := body.get("approval"):
        who = " or ".join(map(str, asked["from"])) if asked.get("from") else "anybody"
        lasts = f"by {asked['count']} of {who} within {duration(float(asked['timeout']))}"
    at = f" at {where_words(body)}" if body.get("weight") else ""
    return f"{action} {lasts}{at}"


def notice_words(notice: Mapping[str, Any]) -> str:
    """``tell oncall, leads: It is at 25 %``: of a canary's step, which waits for nothing."""
    whom = ", ".join(map(str, notice["to"])) if notice.get("to") else "all who are told"
    said = " ".join(str(notice.get("body") or notice.get("title") or "").split())
    return f"tell {whom}: {said}" if said else f"tell {whom}"


def flag_off_words(event: Event) -> str:
    """``checkout was switched off at 14:31:02 by maya, because: carts are lost; this rollout goes no further``."""
    why = f", because: {event.body['reason']}" if event.body.get("reason") else ""
    return f"flag {event.body['flag']} was switched off at {clock(event.time)} by {event.who}{why}; this rollout goes no further"


def standing_words(steps: Iterable[Step], outcome: str, now: datetime | None = None) -> str:
    """``pause 5m00s at 25 % (1 of 4 hosts), 3m12s left`` while it waits for a time, after ``outcome``, the rollout's own sentence: who
    holds it meanwhile, or that its worker died. Else that sentence alone."""
    for step in steps:
        if not step.body.get("promote") and not step.body.get("approval") and (left := left_words(step, now)):
            return "; ".join(filter(None, (outcome, f"{wait_words(step.action, step.body)}, {left}")))
    return outcome


def left_words(step: Step, now: datetime | None = None) -> str:
    """``3m12s left`` of a wait that has begun; empty for all else. By the wall clock, which is for people: the worker's is another."""
    if step.action not in WAITS or step.state is not StepState.STARTED or step.started is None:
        return ""
    if step.body.get("promote"):
        return "until promoted"
    if step.body.get("approval"):
        return "until people agree"
    if not step.body.get("seconds"):
        return "measuring"
    gone = seconds_between(step.started, (now or datetime.now(UTC)).isoformat())
    seconds = float(step.body.get("seconds") or 0)
    return f"{duration(max(seconds - (gone or 0.0), 0.0))} left"
