"""Rebuilds releases, current and previous ones, verdicts and fences from what the hosts say: for a journal that was lost.

It changes no host. Doing it twice does nothing the second time; a verdict that the journal has already is kept.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import HostBackend, TargetFacts
from quarterdeck.backends.pacing import Pace
from quarterdeck.config.model import Fleet, Host, Target
from quarterdeck.config.release import Release
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import WorkerLock
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.manifest import release_in

CONNECT = 10.0  # seconds
ASK = 30.0  # seconds without an answer of a host, counted from when it is its turn
AT_ONCE = 100  # hosts that are asked
SLOW = 1.0  # seconds without an answer, and a host gives its place to the next one
_HIGHEST_EPOCH = (
    10**15
)  # of rollouts there are fewer; beyond it the journal and the hosts' shells could count no further


class Told(msgspec.Struct, frozen=True):
    """What one host said of one target, or the ``error`` why it said nothing."""

    target: str
    host: str
    facts: TargetFacts | None
    error: str | None = None


class AdoptedTarget(msgspec.Struct, frozen=True):
    """What became of one target. ``changed``: something was written to the journal."""

    target: str
    current: str | None
    previous: str | None
    releases: tuple[str, ...]  # good ones in the order in which they became good, then the others
    epoch: int
    changed: bool
    disagreements: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()  # hosts that could not be asked, each with its reason


class Anchors(msgspec.Struct, frozen=True):
    anchors: list[tuple[str, int, str]]  # where, seq, hash: what the hosts were told of the audit chain
    silent: list[str]


class _Gathered(msgspec.Struct):
    releases: dict[str, Release] = msgspec.field(default_factory=dict)
    disagreements: list[str] = msgspec.field(default_factory=list)


async def ask_hosts(backend: HostBackend, fleet: Fleet, targets: Collection[str]) -> list[Told]:
    """The facts of every host of ``targets``; one connection a host, all hosts side by side. Raises nothing for a host."""
    wanted: dict[str, list[Target]] = {}
    for name in targets:
        for host in fleet.targets[name].hosts:
            wanted.setdefault(host.name, []).append(fleet.targets[name])
    pace = Pace(AT_ONCE, SLOW)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(backend, fleet.hosts[host], asked, pace)) for host, asked in wanted.items()]
    return [told for task in tasks for told in task.result()]


async def _ask(backend: HostBackend, host: Host, targets: Sequence[Target], pace: Pace) -> list[Told]:
    told: list[Told] = []
    error = f"{host.name}: no answer within {ASK:g} s"
    with suppress(TimeoutError):
        async with pace.place() as turn, asyncio.timeout(ASK) as clock:
            try:
                connection = await backend.connect(host, deadline=CONNECT)
            except BackendError as failed:
                return [Told(target.name, host.name, None, str(failed)) for target in targets]
            try:
                for target in targets:
                    try:
                        facts = await connection.facts(target.name, target.path, None)
                        told.append(_checked(target.name, host.name, facts))
                    except BackendError as failed:
                        told.append(Told(target.name, host.name, None, str(failed)))
                    clock.reschedule(asyncio.get_running_loop().time() + ASK)
                    turn.moved()
            finally:
                await leave(connection)
    answered = {one.target for one in told}
    return told + [Told(target.name, host.name, None, error) for target in targets if target.name not in answered]


def _checked(target: str, host: str, facts: TargetFacts) -> Told:
    """One host's nonsense is no other's: taken over, an epoch that can't be one would end every later rollout of the target."""
    if 0 <= facts.epoch <= _HIGHEST_EPOCH:
        return Told(target, host, facts)
    return Told(target, host, None, f"{host}: read what runs of {target}: {facts.epoch} can't be an epoch")


async def adopt(backend: HostBackend, fleet: Fleet, journal: Journal, targets: Collection[str]) -> list[AdoptedTarget]:
    """Asks the hosts and writes what they say into the journal. A target with a rollout under way gets its releases and its
    fence, its current release is left to the rollout."""
    told = await ask_hosts(backend, fleet, targets)
    return [_adopt_target(journal, name, [one for one in told if one.target == name]) for name in targets]


def _adopt_target(journal: Journal, target: str, told: Sequence[Told]) -> AdoptedTarget:
    before = journal.head()[0]
    gathered = _gather(target, told)
    heard = [one for one in told if one.facts is not None]
    bad = held_for_bad([one.facts for one in heard if one.facts is not None])
    good = [
        name for name in merged_order([one.facts.good for one in heard if one.facts is not None]) if name not in bad
    ]
    currents = [one.facts.current for one in heard if one.facts is not None and one.facts.current is not None]
    known = journal.current_release(target)
    proved = [name for name in currents if name in good]
    # A release that no host calls good is never taken for the stable one: a rollback goes to the last that proved itself.
    current = (
        known
        if known in currents
        else max(proved, key=lambda name: (proved.count(name), good.index(name)), default=None)
    )
    for release in _oldest_first(gathered.releases, good):
        if journal.release(release.id) is None:
            journal.put_release(release)
    for name in [*(g for g in good if g != current), *(g for g in good if g == current)]:
        row = journal.release(name)
        if row is not None and row.verdict == "untried":
            journal.judge(name, "good", "adopted: a host says that it proved itself there")
    for name in sorted(bad):
        row = journal.release(name)
        if row is not None and row.verdict == "untried":
            journal.judge(name, "bad", "adopted: a host says that it was left because it was bad")
    epoch = max((one.facts.epoch for one in heard if one.facts is not None), default=0)
    if epoch:
        journal.seed_epoch(target, epoch)
    if (
        current is not None
        and current != known
        and journal.active(target) is None
        and journal.release(current) is not None
    ):
        _make_current(
            journal, target, known, current, [one.host for one in heard if one.facts and one.facts.current == current]
        )
    now = journal.current_release(target)
    gathered.disagreements += _disagreements(heard, now, good)
    changed = journal.head()[0] != before
    previous = journal.last_good(target, other_than=now)
    found = AdoptedTarget(
        target,
        now,
        previous.id if previous else None,
        tuple(dict.fromkeys((*(g for g in good if g in gathered.releases), *gathered.releases))),
        epoch,
        changed,
        tuple(gathered.disagreements),
        tuple(f"{one.host}: {one.error}" for one in told if one.facts is None),
    )
    if changed:
        journal.record("adopted", target=target, body=_event_body(found, heard))
    return found


def _event_body(found: AdoptedTarget, heard: Sequence[Told]) -> dict[str, Any]:
    """``anchors``: of the chain that the hosts knew before, so that a verification tells an older journal from a cut one."""
    return {
        "current": found.current,
        "previous": found.previous,
        "releases": list(found.releases),
        "epoch": found.epoch,
        "disagreements": list(found.disagreements),
        "silent": list(found.silent),
        "anchors": sorted({one.facts.anchor for one in heard if one.facts is not None and one.facts.anchor}),
    }


def _gather(target: str, told: Sequence[Told]) -> _Gathered:
    """The releases that the hosts carry, from manifests that are whole and say what their directory's name says."""
    gathered = _Gathered()
    for one in told:
        for kept in one.facts.kept if one.facts is not None else ():
            if not kept.intact or kept.manifest is None:
                gathered.disagreements.append(
                    f"{one.host}: release {kept.release} is not as it was staged; it was left out"
                )
                continue
            try:
                release = release_in(kept.manifest)
            except ValueError:
                gathered.disagreements.append(
                    f"{one.host}: the manifest of {kept.release} can't be read; it was left out"
                )
                continue
            if release.id != kept.release or release.target != target:
                gathered.disagreements.append(
                    f"{one.host}: the manifest of {kept.release} is of {release.id} of {release.target}; it was left out"
                )
                continue
            gathered.releases.setdefault(release.id, release)
    return gathered


def _make_current(journal: Journal, target: str, known: str | None, current: str, hosts: Sequence[str]) -> None:
    """A rollout that changed nothing, so that the journal says what runs in the only way in which it ever says it. The
    worker's lock is held meanwhile: nobody takes it for one whose worker died."""
    rollout = journal.arm(
        target, RolloutKind.DEPLOY, from_release=known, to_release=current, reason="adopted from the hosts"
    )
    lock = WorkerLock.acquire(journal.path.parent, rollout.id)
    try:
        epoch = journal.begin(rollout.id, preempt="nothing")
        journal.set_state(
            rollout.id,
            epoch,
            RolloutState.SUCCEEDED,
            outcome=f"adopted: {', '.join(hosts)} {'runs' if len(hosts) == 1 else 'run'} it; nothing was changed",
        )
    finally:
        lock.release()


def _disagreements(heard: Sequence[Told], current: str | None, good: Sequence[str]) -> list[str]:
    found = []
    for one in heard:
        assert one.facts is not None
        if one.facts.current != current:
            found.append(f"{one.host}: runs {one.facts.current or 'nothing'}, not {current or 'nothing'}")
        elif current is not None and current not in good:
            found.append(f"{one.host}: {current} runs there and has not been found good")
        elif one.facts.running is False:
            found.append(f"{one.host}: {current} is there and does not run")
    return found


def held_for_bad(said: Sequence[TargetFacts]) -> set[str]:
    """The releases that were left because they were bad. Where hosts disagree, those with the highest epoch were there when
    the last word was spoken; of hosts with the same epoch, the warning counts."""
    verdicts: dict[str, str] = {}
    for epoch in sorted({facts.epoch for facts in said}):
        of_epoch = [facts for facts in said if facts.epoch == epoch]
        verdicts.update((name, "good") for facts in of_epoch for name in facts.good)
        verdicts.update((name, "bad") for facts in of_epoch for name in facts.bad)
    return {name for name, verdict in verdicts.items() if verdict == "bad"}


def merged_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """One order, oldest first, that keeps the order of every list where they agree; the longest list decides where they do not."""
    merged: list[str] = []
    for names in sorted(lists, key=len, reverse=True):
        position = 0
        for name in names:
            if name in merged:
                position = merged.index(name) + 1
            else:
                merged.insert(position, name)
                position += 1
    return merged


def _oldest_first(releases: dict[str, Release], good: Sequence[str]) -> list[Release]:
    """The order in which they were made; the good list breaks ties."""
    return sorted(releases.values(), key=lambda r: (r.created, good.index(r.id) if r.id in good else len(good)))


async def read_anchors(backend: HostBackend, fleet: Fleet, journal: Journal) -> Anchors:
    """What every host was last told of the audit chain, for ``audit verify``. Anchors of an earlier journal, which ``adopt``
    has recorded in this one, are left out."""
    earlier: set[str] = set()
    after = 0
    while events := journal.events(after, kind="adopted", limit=500):
        after = events[-1].seq
        earlier.update(anchor for event in events for anchor in event.body.get("anchors", ()))
    told = await ask_hosts(backend, fleet, list(fleet.targets))
    anchors = []
    for one in told:
        if one.facts is None or not one.facts.anchor or one.facts.anchor in earlier:
            continue
        seq, _, digest = one.facts.anchor.partition(":")
        if seq.isascii() and seq.isdigit():
            anchors.append((f"{one.host} ({one.target})", int(seq), digest))
        else:
            anchors.append((f"{one.host} ({one.target})", -1, one.facts.anchor))
    silent = {one.host: str(one.error) for one in told if one.facts is None}
    return Anchors(anchors, list(silent.values()))
