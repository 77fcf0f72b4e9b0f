"""A rollout as screens show it, and which of them a picture holds: those that have not ended, and the newest that have."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.history.records import ENDED, Rollout, Step, StepState
from quarterdeck.rollouts.version_words import version_of

if TYPE_CHECKING:
    from quarterdeck.history.journal import Journal
    from quarterdeck.rollouts.picture.needs import PicturedFleet

RECENT_ROLLOUTS = 30
MOVES = frozenset({"switch", "withdraw"})  # actions of steps that change what a host runs (see plan.Action)


class RolloutSeen(msgspec.Struct, frozen=True):
    """A rollout with its steps (only of one that has not ended: ``steps`` is empty for the others)."""

    rollout: Rollout
    from_version: str | None
    to_version: str | None
    steps: tuple[Step, ...] = ()

    @property
    def id(self) -> int:
        return self.rollout.id

    @property
    def progress(self) -> tuple[int, int]:
        """Hosts that have been moved, and how many are to be moved; (0, 0) before there is a plan."""
        moves = {step.host: step.state for step in self.steps if step.action in MOVES}
        return sum(state is StepState.DONE for state in moves.values()), len(moves)


def rollouts_seen(fleet: "PicturedFleet", journal: "Journal") -> tuple[RolloutSeen, ...]:
    living = [r for r in journal.living() if r.target in fleet.targets]
    known = {r.id for r in living}
    recent = [r for r in journal.rollouts(limit=RECENT_ROLLOUTS) if r.target in fleet.targets]
    ended = [r for r in recent if r.id not in known and r.state in ENDED]
    return tuple(rollout_seen(rollout, journal) for rollout in [*reversed(living), *ended])


def renewed_rollouts(
    before: tuple[RolloutSeen, ...], concerned: Collection[int], fleet: "PicturedFleet", journal: "Journal"
) -> tuple[RolloutSeen, ...]:
    """Only those that events told of are read anew."""
    known = {seen.id: seen for seen in before}
    ended = [seen for seen in before if seen.rollout.state in ENDED]
    living = []
    for rollout in reversed([r for r in journal.living() if r.target in fleet.targets]):
        old = known.get(rollout.id)
        same = old is not None and rollout.id not in concerned
        living.append(old if same and old is not None else rollout_seen(rollout, journal))
    ids = {seen.id for seen in (*living, *ended)}
    for id in sorted(concerned):
        if id not in ids and (rollout := journal.rollout(id)).state in ENDED and rollout.target in fleet.targets:
            ended.append(rollout_seen(rollout, journal))
    ended.sort(key=lambda seen: seen.id, reverse=True)
    return (*living, *ended[:RECENT_ROLLOUTS])


def rollout_seen(rollout: Rollout, journal: "Journal") -> RolloutSeen:
    steps = () if rollout.state in ENDED else tuple(journal.steps(rollout.id))
    wanted = rollout.to_release or (str(rollout.options.get("version") or "") or None)
    return RolloutSeen(rollout, version_of(rollout.from_release), version_of(wanted), steps)
