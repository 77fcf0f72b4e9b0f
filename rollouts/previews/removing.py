"""Takes a preview off its hosts: its services are stopped, its releases or containers removed, under the fence of a rollout. Of any other
environment nothing is ever touched.
"""

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.backends.hosts.contract import Fence, HostBackend, TargetFacts
from quarterdeck.config.model import Host, Preview, Target
from quarterdeck.config.release import Release
from quarterdeck.history.errors import TargetBusy
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import WorkerLock, lock_is_held
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.manifest import release_in
from quarterdeck.rollouts.previews.declaring import refuse_if_changed
from quarterdeck.rollouts.previews.places import out_of_reach, places_of
from quarterdeck.rollouts.previews.whose import of_another_fleet
from quarterdeck.rollouts.refusals import Refused, busy

CONNECT = 10.0  # seconds
LOOK = 20.0
STOP = 120.0
_BY_HAND = "stop and remove it there by hand"


class OnHost(msgspec.Struct, frozen=True):
    """What became of one target on one host. ``error``: why something may be left there; ``away``: the host could not be asked;
    ``never``: nothing was ever put there, and nothing was removed."""

    target: str
    host: str
    was: str | None  # the release that ran there
    error: str = ""
    away: bool = False
    never: bool = False


async def remove_target(
    control: Control, backend: HostBackend, target: Target, said: Callable[[OnHost], None]
) -> list[OnHost]:
    """Stops and removes all of ``target``, on its hosts side by side; where the journal says that it was put on another host or path since
    the preview was made, that is told as left. Raises nothing for a host; Refused for who may not, where the target belongs to no preview,
    where somebody has changed the preview since the fleet was read, and while a rollout is under way on it (one whose worker died is
    superseded, unless it is a rollback)."""
    control.allow_change()
    environment = control.fleet.environments[target.environment]
    if environment.preview is None:
        raise Refused(f"{target.environment} is no preview", "its services are never removed")
    refuse_if_changed(environment.preview)
    active = control.under_way(target.name)
    died = active is not None and (
        (active.state is RolloutState.ORPHANED and active.kind is not RolloutKind.ROLLBACK)
        or (
            active.removes and not lock_is_held(control.journal.path.parent, active.id)
        )  # it has it from before it begins
    )
    if active is not None and not died:
        raise Refused(busy(active), f"wait for it, or first: qd abort {active.id}")
    journal = control.journal
    rollout = journal.arm(
        target.name,
        RolloutKind.DEPLOY,
        from_release=journal.current_release(target.name),
        options={"removes": True},
        reason=f"the preview {target.environment} is removed",
    )
    lock = WorkerLock.acquire(journal.path.parent, rollout.id)
    try:
        try:
            epoch = journal.begin(rollout.id, preempt="deploys" if died else "nothing")
        except TargetBusy as error:
            journal.set_state(rollout.id, None, RolloutState.CANCELLED, outcome="another rollout is under way")
            raise Refused(busy(error.active), "wait for it") from None
        seq, digest = journal.head()
        fence = Fence(target.name, epoch, f"rollout {rollout.id}, {rollout.requested_by}", f"{seq}:{digest}")
        found: list[OnHost] = []
        asking = _Asking(journal, control.fleet.name)
        for place in out_of_reach(places_of(journal, target.name, environment.preview), target):
            where = f"{place.release} was put {f'in {place.path} ' if place.path else ''}there, by the journal"
            lost = OnHost(
                target.name, place.host, place.release, f"{where}, and that is not what is declared now: {_BY_HAND}"
            )
            found.append(lost)
            said(lost)

        async def one(host: Host) -> None:
            outcome = await asking.remove(backend, host, target, fence, f"remove-{rollout.id}")
            found.append(outcome)
            said(outcome)

        async with asyncio.TaskGroup() as group:
            for host in target.hosts:
                group.create_task(one(host))
        failed = [outcome for outcome in found if outcome.error]
        told = "; ".join(f"{outcome.host}: {outcome.error}" for outcome in failed)
        journal.set_state(
            rollout.id,
            epoch,
            RolloutState.FAILED if failed else RolloutState.SUCCEEDED,
            outcome=told or f"removed from {', '.join(host.name for host in target.hosts)}",
        )
        return found
    finally:
        lock.release()


def undeclared(journal: Journal, preview: Preview, targets: Mapping[str, Target]) -> list[OnHost]:
    """Services of the preview that are no target any more (dropped from the fleet file, from the environment that it is of, or renamed):
    nobody knows how they are stopped. One for each host on which the journal knows them, else for each of the preview."""
    found = []
    for service in preview.services:
        name = f"{preview.name}/{service}"
        if name in targets:
            continue
        why = f"{service} is not in {preview.origin} any more"
        places = places_of(journal, name, preview)
        found += [
            OnHost(
                name,
                place.host,
                place.release,
                f"{why}, and {place.release} was put {f'in {place.path} ' if place.path else ''}there, by the journal: {_BY_HAND}",
            )
            for place in places
        ]
        if not places:
            told = f"{why}, and the journal does not know that it was ever deployed: {_BY_HAND}"
            found += [OnHost(name, host, None, told) for host in preview.hosts]
    return found


class _Asking:
    """Removes a target from hosts, where what lies there is this journal's."""

    def __init__(self, journal: Journal, fleet: str) -> None:
        self._journal = journal
        self._fleet = fleet

    async def remove(self, backend: HostBackend, host: Host, target: Target, fence: Fence, op: str) -> OnHost:
        was: str | None = None
        try:
            connection = await backend.connect(host, deadline=CONNECT)
            try:
                facts = await connection.facts(target.name, target.path, deadline=LOOK)
                was = facts.current
                if was is None and not facts.epoch and not facts.kept:
                    return OnHost(target.name, host.name, None, never=True)
                if strange := self._strange(facts, target):
                    return OnHost(target.name, host.name, was, strange)
                stopped = _to_stop(facts, target)
                if stopped is not None:
                    await connection.withdraw(stopped, fence, f"{op}-withdraw", surely=True, deadline=STOP)
                elif was is not None:
                    return OnHost(
                        target.name, host.name, was, f"the manifest of {was} can't be read: stop it there by hand"
                    )
                await connection.clear(target.path, fence, f"{op}-clear", deadline=STOP)
            finally:
                await leave(connection)
        except BackendError as error:
            return OnHost(
                target.name, host.name, was, f"{error.action}: {error.problem}", isinstance(error, Unreachable)
            )
        except TimeoutError:
            return OnHost(target.name, host.name, was, "it did not answer in time", away=True)
        return OnHost(target.name, host.name, was)

    def _strange(self, facts: TargetFacts, target: Target) -> str:
        """Why what lies there is not to be touched, in words; empty: it is this journal's. What is current was put there by a rollout that
        is in the journal, or was adopted; without that, what is kept says of which target it is."""
        if facts.current is not None:
            row = self._journal.release(facts.current)
            known = row is not None and row.release.target == target.name
            other = of_another_fleet(facts, target.name, self._fleet, known=known)
            if other or known:
                return other
            return (
                f"{facts.current} runs there, and the journal does not know it as a release of {target.name}: qd adopt {target.name} "
                "where it is one, else give the service or the environment another path"
            )
        kept = [_release(target, one.manifest) for one in facts.kept]
        foreign = [one.release for one, found in zip(facts.kept, kept, strict=True) if found is None]
        if not foreign or any(found is not None for found in kept):
            return ""
        return f"what lies there ({', '.join(foreign)}) does not say that it is of {target.name}: {_BY_HAND}"


def _to_stop(facts: TargetFacts, target: Target) -> Release | None:
    """The release by which everything of the target is stopped. Nothing is current where a first deploy was cut short: then something may
    run in a slot, or in a container that was to take over."""
    if facts.current is not None:
        kept = next((one for one in facts.kept if one.release == facts.current), None)
        return _release(target, kept.manifest if kept is not None else None)
    for one in reversed(facts.kept):
        found = _release(target, one.manifest)
        if found is not None and (found.container is not None or found.runner.slots is not None):
            return found
    return None


def _release(target: Target, manifest: Mapping[str, object] | None) -> Release | None:
    try:
        release = release_in(manifest) if manifest is not None else None
    except ValueError:
        return None
    return release if release is not None and release.target == target.name else None
