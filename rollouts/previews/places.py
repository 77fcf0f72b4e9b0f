"""Where a preview was put by the journal, though nothing that is declared today leads there: what a removal could not reach. Reads only."""

from collections.abc import Sequence

import msgspec

from quarterdeck.config.model import Preview, Target
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Rollout, RolloutState, StepState
from quarterdeck.rollouts.picture.rollout import MOVES

_MOST = 500  # rollouts of one target that are looked through, the newest first


class Place(msgspec.Struct, frozen=True):
    """A host to which a release was switched, or may have been. ``path``: empty for a container."""

    host: str
    release: str
    path: str


def places_of(journal: Journal, target: str, preview: Preview) -> list[Place]:
    """Where releases of ``target`` went since ``preview`` was made and since the target was last removed as a whole; of each host and
    path the newest."""
    found: dict[tuple[str, str], Place] = {}
    for rollout in _since(journal, target, preview):
        row = journal.release(rollout.to_release) if rollout.to_release is not None else None
        if row is None:
            continue
        path = "" if row.release.container is not None else row.release.path.rstrip("/")
        for step in journal.steps(rollout.id):
            if step.action in MOVES and step.state not in (StepState.PENDING, StepState.SKIPPED):
                found.setdefault((step.host, path), Place(step.host, row.id, path))
    return list(found.values())


def _since(journal: Journal, target: str, preview: Preview) -> Sequence[Rollout]:
    found = []
    for rollout in journal.rollouts(target, limit=_MOST):
        removed = rollout.removes and rollout.state is RolloutState.SUCCEEDED
        if removed or rollout.created[:19] < preview.made[:19]:
            break
        found.append(rollout)
    return found


def out_of_reach(places: Sequence[Place], target: Target) -> list[Place]:
    """Those that the target, as it is declared today, does not lead to: another host, or another path."""
    hosts = {host.name for host in target.hosts}
    return [
        place for place in places if place.host not in hosts or (place.path and place.path != target.path.rstrip("/"))
    ]
