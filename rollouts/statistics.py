"""How often a team deploys, how often that goes wrong, and how long it takes to be well again: counted from rollouts. Pure.

The figures are those of "Accelerate" (Forsgren, Humble, Kim: 2018): deployment frequency, change failure rate, time to restore.
Lead time needs commits, which the journal does not have.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from quarterdeck.history.records import ENDED, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.outcome import seconds

_WENT_WRONG = frozenset({RolloutState.ROLLED_BACK, RolloutState.FAILED})


class Restored(msgspec.Struct, frozen=True):
    """A way back from a bad release. ``seconds``: from the first change of what went wrong to when it was well again."""

    rollout: int
    target: str
    ended: str
    seconds: float


class Day(msgspec.Struct, frozen=True):
    day: date  # UTC
    deploys: int = 0  # that began a change, however they ended
    bad: int = 0  # of them: taken back by themselves, failed, or rolled back by somebody later


class Statistics(msgspec.Struct, frozen=True):
    """``days``: the newest last, days without a deploy too. Rates are 0..1; None: nothing to count."""

    days: tuple[Day, ...]
    restored: tuple[Restored, ...]  # the oldest first

    @property
    def deploys(self) -> int:
        return sum(day.deploys for day in self.days)

    @property
    def failure_rate(self) -> float | None:
        return sum(day.bad for day in self.days) / self.deploys if self.deploys else None

    @property
    def median_restore(self) -> float | None:
        """Seconds."""
        took = sorted(one.seconds for one in self.restored)
        return took[len(took) // 2] if took else None


def statistics(rollouts: Iterable[Rollout], now: datetime, *, days: int = 28) -> Statistics:
    """Counts rollouts (in any order) that began within the last ``days`` days before ``now``."""
    first = (now.astimezone(UTC) - timedelta(days=days - 1)).date()
    begun = sorted((r for r in rollouts if r.started and r.state in ENDED), key=lambda r: r.id)
    bad = _bad(begun)
    counted: dict[date, list[int]] = {first + timedelta(days=number): [0, 0] for number in range(days)}
    for rollout in begun:
        day = _day(rollout.started)
        if rollout.kind is RolloutKind.DEPLOY and day in counted:
            counted[day][0] += 1
            counted[day][1] += rollout.id in bad
    restored = tuple(one for one in _restored(begun) if (day := _day(one.ended)) is not None and day >= first)
    return Statistics(tuple(Day(day, *counts) for day, counts in counted.items()), restored)


def _bad(begun: Sequence[Rollout]) -> set[int]:
    """Deploys that did not stay: ended badly, or were left by a rollback afterwards."""
    bad = {r.id for r in begun if r.kind is RolloutKind.DEPLOY and r.state in _WENT_WRONG}
    running: dict[str, int] = {}  # by target: the deploy whose release runs
    for rollout in begun:
        if rollout.state is not RolloutState.SUCCEEDED:
            continue
        if rollout.kind is RolloutKind.DEPLOY:
            running[rollout.target] = rollout.id
        elif rollout.kind is RolloutKind.ROLLBACK and rollout.target in running:
            bad.add(running.pop(rollout.target))
    return bad


def _restored(begun: Sequence[Rollout]) -> list[Restored]:
    """A deploy that came back by itself, and a rollback: counted from when the bad release began to go out."""
    found = []
    deployed: dict[str, Rollout] = {}
    for rollout in begun:
        if rollout.kind is RolloutKind.DEPLOY:
            if rollout.state is RolloutState.ROLLED_BACK and (took := seconds(rollout)) is not None:
                found.append(Restored(rollout.id, rollout.target, rollout.ended or "", took))
            elif rollout.state is RolloutState.SUCCEEDED:
                deployed[rollout.target] = rollout
        elif rollout.kind is RolloutKind.ROLLBACK and rollout.state is RolloutState.SUCCEEDED:
            bad = deployed.pop(rollout.target, None)
            since = bad.ended if bad is not None else rollout.started  # what was well until then was no outage
            took = _between(since, rollout.ended)
            if took is not None:
                found.append(Restored(rollout.id, rollout.target, rollout.ended or "", took))
    return found


def _day(text: str | None) -> date | None:
    moment = _moment(text)
    return moment.date() if moment is not None else None


def _between(start: str | None, end: str | None) -> float | None:
    first, last = _moment(start), _moment(end)
    return max(0.0, (last - first).total_seconds()) if first and last else None


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None
