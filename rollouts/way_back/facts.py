"""What a card says about the two ends of a rollout before it goes: how good each release was, who brought it, what differs,
what stands in between. Read from the journal alone; what only hosts can know is in the worker's plan."""

from datetime import datetime

import msgspec

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ReleaseRow, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.differences.releases import Difference, compare
from quarterdeck.rollouts.in_line import Queued, in_line
from quarterdeck.rollouts.outcome import seconds

LOOKED_BACK = 200  # rollouts of the target


class ReleaseFacts(msgspec.Struct, frozen=True):
    """``since``/``by``: when, and by whom, it was last put there; ``ran``: seconds until something else came."""

    row: ReleaseRow
    since: str | None = None
    by: str | None = None
    ran: float | None = None

    @property
    def version(self) -> str:
        return self.row.release.version

    @property
    def digest(self) -> str:
        return self.row.release.artifact.sha256


class WayFacts(msgspec.Struct, frozen=True):
    """``other``: a rollout that is under way on the target and would be stopped. ``since``: the last one that began there after this
    one was asked for: the hosts moved meanwhile. ``took``: the median of earlier rollbacks, in seconds. ``irreversible``: commands
    of hooks that ran since and can't be undone. ``last_good``: the id. ``queue``: where it would stand; None: it waits for no turn."""

    leaving: ReleaseFacts | None = None
    to: ReleaseFacts | None = None
    difference: Difference | None = None
    other: Rollout | None = None
    since: Rollout | None = None
    last_good: str | None = None
    irreversible: tuple[str, ...] = ()
    took: float | None = None
    queue: Queued | None = None


def way_facts(journal: Journal, rollout: Rollout) -> WayFacts:
    """About ``rollout``, armed or begun. Raises JournalError."""
    history = journal.rollouts(rollout.target, limit=LOOKED_BACK)
    lasting = [one for one in history if one.kind is not RolloutKind.DRILL]  # that takes away what it brought
    leaving = _release(journal, rollout.from_release, lasting)
    to = _release(journal, rollout.to_release, lasting)
    active = journal.active(rollout.target)
    last = journal.last_begun(rollout.target, other_than=rollout.id)
    good = journal.last_good(rollout.target, other_than=rollout.from_release)
    took = sorted(
        s
        for r in history
        if r.kind is rollout.kind and r.state is RolloutState.SUCCEEDED and (s := seconds(r)) is not None
    )
    return WayFacts(
        leaving=leaving,
        to=to,
        difference=compare(leaving.row.release, to.row.release) if leaving is not None and to is not None else None,
        other=active if active is not None and active.id != rollout.id else None,
        since=last if last is not None and (last.started or "") > rollout.created else None,
        last_good=good.id if good is not None else None,
        irreversible=_irreversible(journal, rollout, lasting) if rollout.kind is RolloutKind.ROLLBACK else (),
        took=took[len(took) // 2] if took else None,
        queue=in_line(journal, rollout),
    )


def _release(journal: Journal, id: str | None, history: list[Rollout]) -> ReleaseFacts | None:
    row = journal.release(id) if id else None
    if row is None:
        return None
    until: str | None = None
    for past in history:  # newest first: what began after it ended its time
        if past.to_release == id and past.state is RolloutState.SUCCEEDED and past.ended is not None:
            return ReleaseFacts(row, past.ended, past.requested_by, _between(past.ended, until))
        if past.started is not None and past.to_release != id and past.epoch > 0:
            until = past.started
    return ReleaseFacts(row)


def _between(start: str, end: str | None) -> float | None:
    return (
        None if end is None else max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    )


def _irreversible(journal: Journal, rollout: Rollout, history: list[Rollout]) -> tuple[str, ...]:
    return undone_by_nobody(
        journal, rollout.from_release, rollout.to_release, [past for past in history if past.id != rollout.id]
    )


def undone_by_nobody(journal: Journal, leaving: str | None, to: str | None, history: list[Rollout]) -> tuple[str, ...]:
    """Commands of hooks that can't be undone: of every release that came to the target since ``to`` was left, and of the one that is left
    now. ``history``: rollouts of the target, the newest first. Raises JournalError."""
    found: dict[str, None] = {}
    came = [leaving]
    for past in history:
        if past.epoch == 0:
            continue
        if past.to_release == to and past.state is RolloutState.SUCCEEDED:
            break
        came.append(past.to_release)
    for id in dict.fromkeys(came):
        row = journal.release(id) if id and id != to else None
        if row is not None:
            hooks = row.release.hooks
            found |= {f"{hook.run} ({row.release.version})": None for hook in hooks.every if not hook.reversible}
    return tuple(found)
