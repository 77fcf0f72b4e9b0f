"""Reads everything that the journal knows of a rollout and of the time around it, in a bounded number of short reads. Writes nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED, Event, ReleaseRow, Rollout, RolloutKind, RolloutState, Step
from quarterdeck.rollouts.differences.releases import Difference, compare
from quarterdeck.rollouts.outcome import cause, exit_status
from quarterdeck.rollouts.post_mortem.outcomes import first_sign, hosts, sign
from quarterdeck.rollouts.post_mortem.values import Linked, MetricEvidence, PostMortem, Sign
from quarterdeck.rollouts.statistics import Judged, judged, moment_of

AROUND: Final = 900.0  # seconds before the first and after the last event of the rollout
MOST_EVENTS: Final = 5000  # of the rollout itself, and as many of the time around it
MOST_MEASUREMENTS: Final = 5000
_MEASURED: Final = frozenset({"analysis.measured"})  # told by the metrics
_OF_THE_FLEET: Final = ("note", "freeze", "freeze.ended")  # that may concern a target without naming it


def gather(journal: Journal, id: int, *, around: float = AROUND) -> PostMortem:
    """Without logs, which are the hosts'. Raises ``UnknownRollout``, JournalError."""
    rollout = journal.rollout(id)
    steps = tuple(journal.steps(id))
    own, more = _own(journal, id)
    beside = _beside(journal, rollout, own, around)
    events = sorted([*own, *beside], key=lambda event: event.seq)
    before, after = _release(journal, rollout.from_release), _release(journal, rollout.to_release)
    detected, seconds, restored_by, restores = _restoring(journal, rollout, own)
    return PostMortem(
        rollout,
        exit_status(rollout, cause(journal, id)) if rollout.state in ENDED else None,
        around,
        hosts(rollout, steps, own),
        steps,
        tuple(events),
        more,
        tuple(journal.approvals(id)),
        _metrics(journal, rollout, steps),
        before,
        after,
        _difference(before, after),
        detected,
        seconds,
        restored_by,
        restores,
    )


def _own(journal: Journal, id: int) -> tuple[list[Event], int]:
    """The rollout's events but measurements; and how many there are that are not among them."""
    found = [event for event in journal.every_event(id) if event.kind not in _MEASURED]
    return found[:MOST_EVENTS], max(0, len(found) - MOST_EVENTS)


def _beside(journal: Journal, rollout: Rollout, own: list[Event], around: float) -> list[Event]:
    """What else happened to the target, or was said of the whole fleet, from ``around`` seconds before it until as long after."""
    first = moment_of(own[0].time if own else rollout.created) or datetime.now(UTC)
    last = moment_of(rollout.ended) or moment_of(own[-1].time if own else None) or first
    low = journal.seq_at(_text(first - timedelta(seconds=around)))
    high = journal.seq_at(_text(last + timedelta(seconds=around)))
    known = {event.seq for event in own}
    found = {
        event.seq: event
        for event in journal.events(low - 1, before=high, target=rollout.target, limit=MOST_EVENTS)
        if event.rollout != rollout.id or event.seq not in known
    }
    environment = rollout.target.partition("/")[0]
    for kind in _OF_THE_FLEET:
        for event in journal.events(low - 1, before=high, kind=kind, limit=MOST_EVENTS):
            meant = event.body.get("environment") == environment if kind != "note" else event.rollout is None
            if event.target is None and meant:
                found[event.seq] = event
    return [event for event in found.values() if event.rollout != rollout.id and _told_beside(event)]


def _told_beside(event: Event) -> bool:
    """Of other rollouts what they came to, not each of their steps."""
    return event.rollout is None or not (
        event.kind.startswith("step.") or event.kind in {"worker", "analysis.measured", "analysis.begun", "armed"}
    )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _release(journal: Journal, id: str | None) -> ReleaseRow | None:
    """None also where it can't be read: a report of what else is known is worth more than none."""
    try:
        return journal.release(id) if id is not None else None
    except ValueError:
        return None


def _difference(before: ReleaseRow | None, after: ReleaseRow | None) -> Difference | None:
    return compare(before.release, after.release) if before is not None and after is not None else None


def _metrics(journal: Journal, rollout: Rollout, steps: Sequence[Step]) -> tuple[MetricEvidence, ...]:
    analyses = rollout.options.get("analyses")
    if not analyses or not any(step.body.get("analyses") for step in steps):
        return ()
    from quarterdeck.config.analyses import Analysis
    from quarterdeck.rollouts.measured import BEGUN, MEASURED
    from quarterdeck.rollouts.post_mortem.measurements import measurements

    events = [
        event
        for kind in (BEGUN, MEASURED)
        for event in journal.events(rollout=rollout.id, kind=kind, newest_first=True, limit=MOST_MEASUREMENTS)
    ]
    try:
        return measurements(steps, msgspec.convert(analyses, dict[str, Analysis]), events)
    except (ValueError, KeyError) as error:
        step = next(step.seq for step in steps if step.body.get("analyses"))
        why = f"what the journal has of it can't be read: {error}"
        return (MetricEvidence(step, "analysis", "unreadable", why, 0, None, 0, 0, 0, 0.0),)


def _restoring(
    journal: Journal, rollout: Rollout, own: list[Event]
) -> tuple[Sign | None, float | None, Linked | None, tuple[Linked, ...]]:
    """What showed first, how long until it was well again, what made it well, and what this rollout made well: as statistics count."""
    found = judged(journal.changes([rollout.target]))
    detected = first_sign(rollout, own)
    restores = tuple(
        _linked(journal.rollout(one.of), one.seconds)
        for one in found.restored
        if one.rollout == rollout.id and one.of is not None and one.of != rollout.id
    )
    by = next((one for one in found.restored if one.of == rollout.id), None)
    if by is None:
        seconds = next((one.seconds for one in found.restored if one.rollout == rollout.id), None)
        if rollout.kind is not RolloutKind.ROLLBACK:
            seconds = None
        return detected, seconds, None, restores
    if by.rollout == rollout.id:
        return detected, by.seconds, None, restores
    other = journal.rollout(by.rollout)
    if detected is None and (since := _well_until(found, rollout)) is not None:
        what = f"{other.requested_by} asked for rollout {other.id}"
        detected = sign(other.created, since, f"{what}: {other.reason}" if other.reason else what)
    return detected, by.seconds, _linked(other, by.seconds), restores


def _well_until(found: Judged, rollout: Rollout) -> datetime | None:
    """When the trouble can have begun: with the end of what had succeeded, with the beginning of all else."""
    return next(
        (
            one.ended if rollout.state is RolloutState.SUCCEEDED else one.began
            for one in found.deployments
            if one.rollout == rollout.id
        ),
        None,
    )


def _linked(other: Rollout, seconds: float | None) -> Linked:
    return Linked(
        other.id,
        str(other.kind),
        str(other.state),
        other.requested_by,
        other.reason,
        other.created,
        other.ended,
        other.to_release,
        seconds,
    )
