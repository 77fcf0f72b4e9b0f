"""From a rollout's events to what somebody is told of them, in the words of the fleet file. Pure: sends nothing, reads no journal."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.history.records import Event, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.policy import aside_words

if TYPE_CHECKING:
    from quarterdeck.backends.notify.contract import Message, Tone
    from quarterdeck.config.notifications import Destination

TOLD = "notified"  # the events of a delivery; each names the event that it was about, and to whom
NOT_TOLD = "notify.failed"
TEST = "test"  # the event of a message that is about nothing
STEP = "step"  # likewise of a message that a canary's step asks for
LONGEST = 4000  # characters of a body; services cut what is longer, or refuse it

_ENDS = {
    RolloutState.ROLLING_BACK: ("rolling_back",),
    RolloutState.SUCCEEDED: ("succeeded",),
    RolloutState.ROLLED_BACK: ("rolled_back",),
    RolloutState.FAILED: ("failed",),
    RolloutState.CANCELLED: ("cancelled",),
    RolloutState.SUPERSEDED: ("superseded",),
}
_TONES: Mapping[str, "Tone"] = {
    "started": "info",
    "succeeded": "success",
    "failed": "failure",
    TEST: "info",
    STEP: "info",
}


class Moment(msgspec.Struct, frozen=True):
    """Something that happened, as notifications name it: ``words[0]`` is what it is called, each of them what may be asked for.
    ``seq``: of its event. ``notice``: what a canary's step asks for, with the keys of the plan."""

    seq: int
    words: tuple[str, ...]
    state: str
    outcome: str
    by: str
    time: str
    notice: Mapping[str, Any] | None = None


def moments(events: Iterable[Event], kind: RolloutKind, stood: str | None = None) -> tuple[list[Moment], str | None]:
    """Those that ``events``, in their order, hold; and where the rollout stands still after them, in words. ``stood``: before them.

    A new worker writes down once more that a rollout stands where it stood: that is nothing new.
    """
    found = []
    for event in events:
        if event.kind == "override":
            found.append(_moment(event, ("override",), "", aside_words(event.body, " was set aside")))
        elif event.kind == "step.done" and event.body.get("action") == Action.NOTIFY:
            outcome = event.body["outcome"]
            moment = _moment(event, (STEP,), "", _come_to(outcome))
            found.append(msgspec.structs.replace(moment, notice=outcome["notify"]))
        elif event.kind == "state":
            state, outcome = RolloutState(event.body["to"]), str(event.body.get("outcome") or "")
            words = _words(state, event.body, kind)
            waits = outcome if words == ("waiting",) else None
            if words and (waits is None or waits != stood):
                found.append(_moment(event, words, str(state), outcome))
            if state is not RolloutState.ORPHANED:
                stood = waits
    return found, stood


def _words(state: RolloutState, body: Mapping[str, Any], kind: RolloutKind) -> tuple[str, ...]:
    match state:
        case RolloutState.RUNNING:
            return ("started",) if body.get("from") in ("armed", "queued") else ()
        case RolloutState.QUEUED if body.get("queue"):
            return ()  # for others to be done: no person is waited for
        case RolloutState.QUEUED | RolloutState.PAUSED:
            return ("waiting",)
        case RolloutState.ROLLING_BACK if kind is RolloutKind.DRILL:
            return ()  # its second half
        case RolloutState.ROLLED_BACK if kind is RolloutKind.DRILL:
            return ("failed", "rolled_back")  # the way back is not what it was thought to be
        case RolloutState.SUCCEEDED if kind is RolloutKind.ROLLBACK:
            return (
                "rolled_back",
                "succeeded",
            )  # the release before is back: whoever wants to hear of that, hears of it
    return _ENDS.get(state, ())


def _moment(event: Event, words: tuple[str, ...], state: str, outcome: str) -> Moment:
    return Moment(event.seq, words, state, outcome, event.who, event.time)


def _come_to(outcome: Mapping[str, Any]) -> str:
    if not outcome["weight"]:
        return "the canary begins"
    return f"the canary is at {float(outcome['weight']):g} %, on {outcome['hosts']} of {outcome['of']} hosts"


def wanted(destination: "Destination", moment: Moment) -> bool:
    if moment.notice is not None:
        to = moment.notice.get("to")
        return to is None or destination.name in to
    return any(word in destination.on for word in moment.words)


def values_of(moment: Moment, rollout: Rollout, version: str, fleet: str) -> dict[str, str]:
    """What may stand in ``{{…}}``, by name."""
    environment, _, service = rollout.target.partition("/")
    return {
        "event": moment.words[0].replace("_", " "),
        "state": (moment.state or str(rollout.state)).replace("_", " "),
        "outcome": moment.outcome,
        "reason": rollout.reason,
        "by": moment.by if moment.words[0] == "override" else rollout.requested_by,
        "rollout": str(rollout.id),
        "kind": str(rollout.kind),
        "version": version,
        "release": rollout.to_release or "",
        "target": rollout.target,
        "environment": environment,
        "service": service,
        "fleet": fleet,
        "time": moment.time,
    }


def rehearsed(fleet: str, by: str, time: str) -> dict[str, str]:
    """The same for a message that is about nothing: what a rollout would say is said by its placeholder."""
    from quarterdeck.config.notifications import PLACEHOLDERS

    values = {name: f"({name})" for name in PLACEHOLDERS}
    outcome = "This is a test of Quarterdeck's notifications: nothing has happened"
    return values | {"event": TEST, "outcome": outcome, "by": by, "fleet": fleet, "time": time, "reason": ""}


def message(
    destination: "Destination", word: str, values: Mapping[str, str], notice: Mapping[str, Any] | None = None
) -> "Message":
    """In the destination's own words, but for those of ``notice``. ``values``: without any secret, since what is left out can't be masked
    any more."""
    from quarterdeck.backends.notify.contract import Message
    from quarterdeck.backends.text_cleaning import clean
    from quarterdeck.config.metric_templates import filled

    own = {"title": destination.title, "body": destination.body, **(notice or {})}
    title = " ".join(filled(own["title"], values, clean).split())
    body = filled(own["body"], values, clean).strip()
    if len(body) > LONGEST:
        body = f"{body[:LONGEST]} …"
    return Message(title, body or title, _TONES.get(word, "warning"))  # many services take no message without a text
