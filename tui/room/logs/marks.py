"""Marks between the lines of a log: one for each step of a rollout, and those that the operator sets. Pure."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import Event, StepState
from quarterdeck.rollouts.picture.rollout import MOVES
from quarterdeck.rollouts.picture.router import router_seen
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.cli.routing_words import requests_words

LONGEST: Final = 100  # characters of a mark's words
MOST: Final = 1000
_STATES: Final = {
    "running": "rollout {id} begins",
    "paused": "rollout {id} paused",
    "baking": "rollout {id} watched",
    "aborting": "rollout {id} is taken back",
    "rolling_back": "rollout {id} rolls back",
    "orphaned": "the worker of rollout {id} died",
    "succeeded": "rollout {id} succeeded",
    "rolled_back": "rollout {id} rolled back",
    "failed": "rollout {id} failed",
    "cancelled": "rollout {id} cancelled",
    "superseded": "rollout {id} superseded",
}
REQUESTS: Final = "requests: "
"""How a mark begins that says which release gets how many of them."""
_STEPS: Final = {"started": "{action} begins", "done": "{action} done", "failed": "{action} FAILED"}


class Mark(msgspec.Struct, frozen=True):
    """``time``: milliseconds since 1970. ``at``: the number of the line above which it stands; None: not known yet."""

    time: int
    text: str
    at: int | None = None


def mark_of(event: Event) -> Mark | None:
    """What a step of a rollout says between the lines; None for what does not touch the service."""
    words = ""
    if event.kind == "state":
        words = _STATES.get(str(event.body.get("to", "")), "").format(id=event.rollout)
        outcome = str(event.body.get("outcome") or "")
        if words and outcome:
            words = f"{words}: {outcome}"
    elif event.kind == "routed" and (router := router_seen(None, event)) is not None:
        words = f"{REQUESTS}{requests_words(router, idle=False)}"
    elif event.kind.startswith("step.") and str(event.body.get("action", "")) in MOVES:
        words = _STEPS.get(event.kind.removeprefix("step."), "").format(action=event.body["action"])
        if words and event.host:
            words = f"{event.host} {words}"
    if not words:
        return None
    words = clean(words).replace("\n", " ")
    return Mark(milliseconds(event.time), words if len(words) <= LONGEST else words[: LONGEST - 2] + "..")


def without_same(marks: Iterable[Mark]) -> list[Mark]:
    """Of those that say how requests go only the first of several that say the same: servers enter and leave meanwhile."""
    found: list[Mark] = []
    said = ""
    for mark in marks:
        if mark.text.startswith(REQUESTS):
            if mark.text == said:
                continue
            said = mark.text
        found.append(mark)
    return found


def milliseconds(time: str) -> int:
    """Of an ISO 8601 time of the journal."""
    return int(datetime.fromisoformat(time).timestamp() * 1000)


def clock(time: int) -> str:
    """``14:32:07``, in UTC like every time on the screen."""
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%H:%M:%S")


def placed(marks: Iterable[Mark], head: int, floor: int, time_of: Callable[[int], int]) -> list[Mark]:
    """Marks with the line that they stand above, found by their times; those older than every line are left out."""
    found = []
    for mark in marks:
        if mark.at is None:
            low, high = floor, head
            while low < high:
                middle = (low + high) // 2
                if time_of(middle) <= mark.time:
                    low = middle + 1
                else:
                    high = middle
            if low == floor:
                continue
            mark = Mark(mark.time, mark.text, low)
        if mark.at is not None and mark.at >= floor:
            found.append(mark)
    return sorted(found, key=lambda mark: (mark.at or 0, mark.time))[-MOST:]


def sides_of(seen: TargetSeen | None) -> dict[str, int | None]:
    """By host: since when (milliseconds) it runs the new release of the rollout under way, None: the old one still.

    Empty where nothing is under way that changes what runs."""
    moving = seen.moving if seen is not None else None
    if seen is None or moving is None or moving.rollout.from_release in (None, moving.rollout.to_release):
        return {}
    sides: dict[str, int | None] = {}
    for step in moving.steps:
        if step.action not in MOVES:
            continue
        sides.setdefault(step.host, None)
        if step.started is not None and step.state not in (StepState.PENDING, StepState.SKIPPED):
            new = step.body.get("release") == moving.rollout.to_release
            sides[step.host] = milliseconds(step.started) if new else None
    return sides if any(since is not None for since in sides.values()) else {}


def versions_of(seen: TargetSeen | None) -> tuple[str, str]:
    """The new and the old version of the rollout under way."""
    moving = seen.moving if seen is not None else None
    if moving is None:
        return "", ""
    return moving.to_version or "", moving.from_version or version_of(moving.rollout.from_release) or ""
