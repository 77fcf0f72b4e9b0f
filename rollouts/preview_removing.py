"""Takes a preview off its hosts: its services are stopped, its releases or containers removed, under the fence of a rollout. Of any other
environment nothing is ever touched.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.backends.hosts.contract import Fence, HostBackend
from quarterdeck.config.model import Host, Target
from quarterdeck.config.release import Release
from quarterdeck.history.errors import TargetBusy
from quarterdeck.history.lease import WorkerLock, lock_is_held
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.manifest import release_in
from quarterdeck.rollouts.refusals import Refused, busy

CONNECT = 10.0  # seconds
LOOK = 20.0
STOP = 120.0


class OnHost(msgspec.Struct, frozen=True):
    """What became of one target on one host. ``error``: why something may be left there; ``away``: the host could not be asked."""

    target: str
    host: str
    was: str | None  # the release that ran there
    error: str = ""
    away: bool = False


async def remove_target(
    control: Control, backend: HostBackend, target: Target, said: Callable[[OnHost], None]
) -> list[OnHost]:
    """Stops and removes all of ``target``, on its hosts side by side. Raises nothing for a host; Refused for who may not, where the target
    belongs to no preview, and while a rollout is under way on it (one whose worker died is superseded, unless it is a rollback)."""
    control.allow_change()
    environment = control.fleet.environments[target.environment]
    if environment.preview is None:
        raise Refused(f"{target.environment} is no preview", "its services are never removed")
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

        async def one(host: Host) -> None:
            outcome = await _remove(backend, host, target, fence, f"remove-{rollout.id}")
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


async def _remove(backend: HostBackend, host: Host, target: Target, fence: Fence, op: str) -> OnHost:
    was: str | None = None
    try:
        connection = await backend.connect(host, deadline=CONNECT)
        try:
            facts = await connection.facts(target.name, target.path, deadline=LOOK)
            was = facts.current
            if was is not None:
                kept = next((one for one in facts.kept if one.release == was), None)
                release = _release(target, kept.manifest if kept is not None else None)
                if release is None:
                    return OnHost(
                        target.name, host.name, was, f"the manifest of {was} can't be read: stop it there by hand"
                    )
                await connection.withdraw(release, fence, f"{op}-withdraw", deadline=STOP)
            await connection.clear(target.path, fence, f"{op}-clear", deadline=STOP)
        finally:
            await leave(connection)
    except BackendError as error:
        return OnHost(target.name, host.name, was, f"{error.action}: {error.problem}", isinstance(error, Unreachable))
    except TimeoutError:
        return OnHost(target.name, host.name, was, "it did not answer in time", away=True)
    return OnHost(target.name, host.name, was)


def _release(target: Target, manifest: Mapping[str, object] | None) -> Release | None:
    try:
        release = release_in(manifest) if manifest is not None else None
    except ValueError:
        return None
    return release if release is not None and release.target == target.name else None


def what_is_there(outcomes: Sequence[OnHost]) -> list[str]:
    """Hosts on which something may be left, each with the reason."""
    return [f"{one.host} ({one.target}): {one.error}" for one in outcomes if one.error]
