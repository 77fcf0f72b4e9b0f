"""How often a team deploys, how often that goes wrong, how long until it is well again, how long a change is on its way: counted from
rollouts. Pure. docs/stats.md has the same definitions in words; a change here is one there.

The figures are the four keys of DORA ("Accelerate", Forsgren, Humble, Kim: 2018).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from quarterdeck.history.records import Change, RolloutKind, RolloutState
from quarterdeck.rollouts.version_words import version_of

FAILED_WITHIN: Final = timedelta(hours=24)
"""A rollback so soon after a deploy counts against it; a later one is a restore of its own."""


class Failure(StrEnum):
    """How a deployment failed."""

    TAKEN_BACK = "taken_back"  # it came back by itself, or was aborted
    NOT_TAKEN_BACK = "failed"  # it ended as failed
    ROLLED_BACK = "rolled_back"  # a rollback to an earlier release left it, soon after it had succeeded or while it ran


class Restored(msgspec.Struct, frozen=True):
    """A way back to a release that is well. ``seconds``: from when the trouble can have begun to when it was well again; ``of``: the
    deployment that had failed, None: what was left had run for long, or is not known."""

    rollout: int
    target: str
    ended: str
    seconds: float
    of: int | None = None


class Lead(msgspec.Struct, frozen=True):
    """``seconds``: until the version ran on the target. ``since``: commit, or first_deploy (to another environment)."""

    seconds: float
    since: str


class Deployment(msgspec.Struct, frozen=True):
    """A deploy that changed its target. ``began`` and ``ended``: UTC. ``came``: the release came to the target for the first time, and
    ran there. ``lead``: None where it did not, or where nothing is known of it from before."""

    rollout: int
    target: str
    began: datetime
    ended: datetime
    failure: Failure | None = None
    came: bool = False
    lead: Lead | None = None


class Judged(msgspec.Struct, frozen=True):
    """All that counts, in the order in which it ended. ``rollbacks``: when those that succeeded ended, with their targets."""

    deployments: tuple[Deployment, ...] = ()
    restored: tuple[Restored, ...] = ()
    rollbacks: tuple[tuple[datetime, str], ...] = ()

    def only(self, targets: Collection[str] | None) -> "Judged":
        """Of these targets; None: all of it."""
        if targets is None:
            return self
        return Judged(
            tuple(one for one in self.deployments if one.target in targets),
            tuple(one for one in self.restored if one.target in targets),
            tuple(one for one in self.rollbacks if one[1] in targets),
        )


class Day(msgspec.Struct, frozen=True):
    day: date  # UTC
    deploys: int = 0  # that began a change, however they ended
    bad: int = 0  # of them: taken back by themselves, failed, or soon rolled back by somebody


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
        return median([one.seconds for one in self.restored])


def statistics(changes: Iterable[Change], now: datetime, *, days: int = 28) -> Statistics:
    """Counts changes (in any order) by day, those that began within the last ``days`` days before ``now``."""
    first = (now.astimezone(UTC) - timedelta(days=days - 1)).date()
    found = judged(changes)
    counted: dict[date, list[int]] = {first + timedelta(days=number): [0, 0] for number in range(days)}
    for one in found.deployments:
        day = one.ended.date()
        if day in counted:
            counted[day][0] += 1
            counted[day][1] += one.failure is not None
    restored = tuple(
        one for one in found.restored if (ended := moment_of(one.ended)) is not None and ended.date() >= first
    )
    return Statistics(tuple(Day(day, *counts) for day, counts in counted.items()), restored)


def judged(
    changes: Iterable[Change], *, within: timedelta = FAILED_WITHIN, commits: Mapping[str, datetime] | None = None
) -> Judged:
    """What became of every deploy, and what restored what. ``commits``: by release, when its commit was made, where that is known."""
    telling = _Telling(within, commits or {})
    for change in sorted(changes, key=lambda change: change.seq):
        telling.take(change)
    return telling.told()


class _Target:
    """What is known of a target after what has been told of it so far. Numbers are places in the list of deployments."""

    def __init__(self) -> None:
        self.running: int | None = None  # which one brought what runs; None: not known
        self.release = ""  # that runs
        self.brought: dict[str, int] = {}  # by release, the deployment that brought it last
        self.order: dict[str, int] = {}  # by release, when it first came, among those of the target
        self.broken: list[int] = []  # failed ones that nothing has made well yet
        self.overtaken: Change | None = None  # superseded just now: whether it had failed is told by what comes next


class _Telling:
    def __init__(self, within: timedelta, commits: Mapping[str, datetime]) -> None:
        self._within = within
        self._commits = commits
        self._targets: dict[str, _Target] = {}
        self._first: dict[tuple[str, str], tuple[str, datetime]] = {}  # by service and version: where and when first
        self._deployments: list[Deployment] = []
        self._restored: list[Restored] = []
        self._rollbacks: list[tuple[datetime, str]] = []

    def told(self) -> Judged:
        return Judged(tuple(self._deployments), tuple(self._restored), tuple(self._rollbacks))

    def take(self, change: Change) -> None:
        if change.kind not in (RolloutKind.DEPLOY, RolloutKind.ROLLBACK):
            return  # drills, flags and restarts change no release for good
        if change.kind is RolloutKind.DEPLOY and change.to_release is None:
            return  # nothing was deployed: a preview was removed
        began, ended = moment_of(change.started), moment_of(change.ended)
        if began is None or ended is None:
            return
        ended = max(began, ended)  # a clock that was set back makes no time negative
        target = self._targets.setdefault(change.target, _Target())
        if change.kind is RolloutKind.DEPLOY:
            self._take_deploy(target, change, began, ended)
        elif change.state is RolloutState.SUCCEEDED:
            self._take_rollback(target, change, began, ended)

    def _take_deploy(self, target: _Target, change: Change, began: datetime, ended: datetime) -> None:
        target.overtaken = change if change.state is RolloutState.SUPERSEDED else None
        match change.state:
            case RolloutState.ROLLED_BACK:
                self._add(target, change, began, ended, Failure.TAKEN_BACK)
                self._restore(change, began, ended, change.id)
            case RolloutState.FAILED:
                target.broken.append(self._add(target, change, began, ended, Failure.NOT_TAKEN_BACK))
            case RolloutState.SUCCEEDED:
                number = self._add(target, change, began, ended, None)
                self._mend(target, change, ended)
                target.running, target.release = number, change.to_release or ""
                target.brought[target.release] = number
                target.order.setdefault(target.release, len(target.order))

    def _take_rollback(self, target: _Target, change: Change, began: datetime, ended: datetime) -> None:
        self._rollbacks.append((ended, change.target))
        overtaken, target.overtaken = target.overtaken, None
        if overtaken is not None:  # it was rolled back while it was on its way
            since, until = moment_of(overtaken.started), moment_of(overtaken.ended)
            assert since is not None
            assert until is not None
            target.broken.append(self._add(target, overtaken, since, max(since, until), Failure.ROLLED_BACK))
        if target.broken:
            self._mend(target, change, ended)
        elif (left := target.running) is None:
            self._restore(change, began, ended, None)
        else:
            self._leave(target, left, change, began, ended)
        target.release = change.to_release or ""
        target.running = target.brought.get(target.release)

    def _leave(self, target: _Target, left: int, change: Change, began: datetime, ended: datetime) -> None:
        """A rollback from what had succeeded: what was well until then was no outage."""
        deployment = self._deployments[left]
        to = target.order.get(change.to_release or "", -1)  # what is not known was there before all that is
        earlier = to < target.order[target.release]
        if earlier and began - deployment.ended <= self._within:
            if deployment.failure is None:
                self._deployments[left] = msgspec.structs.replace(deployment, failure=Failure.ROLLED_BACK)
            self._restore(change, deployment.ended, ended, deployment.rollout)
        elif earlier:
            self._restore(change, began, ended, None)

    def _mend(self, target: _Target, change: Change, ended: datetime) -> None:
        for number in target.broken:
            failed = self._deployments[number]
            self._restore(change, failed.began, ended, failed.rollout)
        target.broken.clear()

    def _restore(self, by: Change, since: datetime, until: datetime, of: int | None) -> None:
        seconds = max(0.0, (until - since).total_seconds())
        self._restored.append(Restored(by.id, by.target, by.ended, seconds, of))

    def _add(self, target: _Target, change: Change, began: datetime, ended: datetime, failure: Failure | None) -> int:
        came = failure is None and (change.to_release or "") not in target.order
        lead = self._lead(change, began, ended) if came else None
        self._deployments.append(Deployment(change.id, change.target, began, ended, failure, came, lead))
        return len(self._deployments) - 1

    def _lead(self, change: Change, began: datetime, ended: datetime) -> Lead | None:
        environment, _, service = change.target.partition("/")
        release = change.to_release or ""
        where, since = self._first.setdefault((service, version_of(release) or ""), (environment, began))
        if (commit := self._commits.get(release)) is not None:
            return Lead(max(0.0, (ended - commit).total_seconds()), "commit")
        if where == environment:
            return None
        return Lead(max(0.0, (ended - since).total_seconds()), "first_deploy")


def median(values: Sequence[float]) -> float | None:
    """None of nothing."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if not ordered:
        return None
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that so many of all are not above (nearest rank: no value is made up); None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def moment_of(text: str | None) -> datetime | None:
    """In UTC; None where it is no time."""
    try:
        moment = datetime.fromisoformat(text) if text else None
        if moment is None:
            return None
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
