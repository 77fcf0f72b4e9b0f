"""Which release a rollback leads to: by the journal alone, before anybody asks a host."""

import difflib

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ReleaseRow, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.refusals import Refused, UnknownPart

NAMED = 3  # releases that an advice names


def begun(active: Rollout | None) -> Rollout | None:
    """None also for one that only waits: nothing of it is on any host, so there is nothing of it to go back from."""
    return None if active is not None and active.epoch == 0 else active


def other_good_ones(journal: Journal, target: str, bad: ReleaseRow) -> str:
    """Where else there is to go, in words that the rest of the advice follows; empty when nowhere."""
    current = journal.current_release(target)
    rows = [row for row in journal.releases(target) if row.verdict == "good" and row.id not in (bad.id, current)]
    return f"good are {', '.join(row.id for row in rows[:NAMED])}; " if rows else ""


def leads_back_to(journal: Journal, target: str, to: str | None) -> str:
    """The release's id. ``to``: a release's id or a version; None: the last good one, or where what failed half-way was going back to.

    Raises Refused: no earlier release worked; UnknownPart: the target has no such release.
    """
    current = journal.current_release(target)
    active = begun(journal.active(target))
    last = journal.last_begun(target, other_than=0)
    if to is None and active is None and last is not None and last.state is RolloutState.FAILED:
        # What failed half-way is finished first: the way back leads to where it was going back to.
        if last.kind is RolloutKind.ROLLBACK and last.to_release:
            return last.to_release
        forward = last.kind in (RolloutKind.DEPLOY, RolloutKind.DRILL)
        if forward and current is not None and last.to_release != current:
            return current
    if to is None:
        leaving = active.to_release if active is not None and active.kind is RolloutKind.DEPLOY else current
        row = journal.last_good(target, other_than=leaving)
        if row is None:
            raise Refused(
                f"{target} has no earlier release that worked",
                f"see what there is: qd releases {target}; after a lost journal: qd adopt",
            )
        return row.id
    rows = journal.releases(target, limit=1000)
    for row in rows:
        if row.id == to:
            return row.id
    matches = [row for row in rows if row.release.version == to]
    if matches:
        good = [row for row in matches if row.verdict == "good"]
        return (good or matches)[0].id
    nearest = difflib.get_close_matches(to, [row.release.version for row in rows] + [row.id for row in rows])
    hint = f"did you mean {' or '.join(dict.fromkeys(nearest))}?" if nearest else f"see: qd releases {target}"
    raise UnknownPart(f"{target} has no release {to!r}", hint)
