"""One step, carried out on one host: what each action of a plan means in calls to a backend, and what counts as
done."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.backends.errors import ArtifactMissing, BackendError, CommandFailed, Unhealthy
from quarterdeck.backends.hosts.contract import (
    Connection,
    Fence,
    HealthOutcome,
    SecretValues,
    StageOutcome,
    SwitchOutcome,
)
from quarterdeck.backends.secrets import Masker
from quarterdeck.config.model import Hook, Target
from quarterdeck.config.release import Release
from quarterdeck.history.records import RolloutKind, Step
from quarterdeck.rollouts.plans.plan import BASTION, Action
from quarterdeck.rollouts.worker.crew import Crew
from quarterdeck.rollouts.worker.failing import StepFailed
from quarterdeck.rollouts.worker.health_gate import become_healthy

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.opening import Hosts
    from quarterdeck.config.analyses import Analysis
    from quarterdeck.rollouts.worker.directing import Director
    from quarterdeck.rollouts.worker.flagging import Flags

__all__ = ["StepFailed"]

MASKED = 65536  # bytes of a hook's output that are looked at
SHOWN = 2000  # characters of it that are kept


class Work(msgspec.Struct):
    """What steps need: the same for all of a rollout. ``archives`` gives a release's tarball when a host needs it."""

    target: Target
    kind: RolloutKind
    crew: Crew
    releases: Mapping[str, Release]
    secrets: Mapping[str, SecretValues]
    fence: Fence
    archives: "Archives"
    base: Path
    masker: Masker
    release: Release  # what the rollout is about
    good: frozenset[str] = frozenset()  # releases that must stay on the hosts
    bad: frozenset[str] = frozenset()  # what hosts are told, for a bastion that has lost its journal
    taking_back: bool = False
    leaving: str | None = None  # the release that the hosts come from
    analyses: Mapping[str, "Analysis"] = msgspec.field(default_factory=dict)  # by name, those that steps name
    director: "Director | None" = None  # None: no router is in front of the target
    backend: "Hosts | None" = None  # by which the router's host is reached
    flags: "Flags | None" = None
    overtaken: asyncio.Event | None = None  # set when another rollout has taken this one's place
    others_gone: "Callable[[], Awaitable[None]] | None" = None  # returns when no older rollout runs a hook here

    def secrets_of(self, release: str) -> SecretValues:
        return self.secrets.get(release, SecretValues({}))


class Archives:
    """Tarballs by release, fetched at most once each, checked before anything is sent."""

    def __init__(self, fetch: Any) -> None:
        self._fetch = fetch
        self._tasks: dict[str, asyncio.Task[Path]] = {}

    async def of(self, release: Release) -> Path:
        known = self._tasks.get(release.id)
        if known is None or (known.done() and (known.cancelled() or known.exception() is not None)):
            self._tasks[release.id] = asyncio.create_task(self._fetch(release))
        return await asyncio.shield(self._tasks[release.id])


async def perform(step: Step, work: Work) -> dict[str, Any]:
    """Does ``step`` and gives its outcome as JSON. Raises StepFailed, or the BackendError of a lost host or an old
    epoch."""
    action = Action(step.action)
    if action in (Action.SHARE, Action.ROUTE):
        from quarterdeck.rollouts.worker import routed

        return await routed.direct(step, work)
    if action is Action.NOTIFY:
        # Whoever is to be told is told by the event of this step's end, beside the rollout (``telling``).
        return {name: step.body[name] for name in ("notify", "weight", "hosts", "of")}
    if action is Action.FLAG:
        assert work.flags is not None
        return await work.flags.carry_out(step)
    if step.host == BASTION:
        return await _hook_here(step, work)
    connection = await work.crew.connection(step.host)
    match action:
        case Action.STAGE:
            return await _stage(step, work, connection)
        case Action.STOP:
            await _stand_aside(step, work, connection)
            running = work.releases.get(str(step.body.get("release")), work.release)
            try:
                outcome = await connection.switch(running, SecretValues({}), work.fence, step.op_id, action="stop")
            except BackendError as error:
                error.untouched = error.untouched and work.director is None  # else it has left the router
                raise
            return {"seconds": outcome.seconds}
        case Action.SWITCH:
            return await _switch(step, work, connection)
        case Action.RETIRE:
            return await _retire_old(step, work, connection)
        case Action.WITHDRAW:
            await _stand_aside(step, work, connection)
            outcome = await connection.withdraw(_release(step, work), work.fence, step.op_id)
            if outcome.current is not None:
                raise StepFailed(
                    step, f"{step.host}: current still points to {outcome.current}", release_at_fault=False
                )
            return {"seconds": outcome.seconds, "current": None}
        case Action.HOOK:
            return await _hook(step, work, connection)
        case Action.VERIFY:
            return await _verify(step, work, connection)
        case Action.FINISH:
            removed = await connection.finish(
                _release(step, work),
                sorted(work.good),
                work.fence,
                step.op_id,
                bad=sorted(work.bad),
                prune_to=work.target.keep.releases,
                warm=work.target.keep.warm,
            )
            return {"removed": list(removed)}
    raise AssertionError(f"no such action: {action}")


def _release(step: Step, work: Work) -> Release:
    name = step.body["release"]
    release = work.releases.get(str(name))
    if release is None:
        raise StepFailed(
            step, f"{step.host}: nothing is known of release {name}, so it can't be put back", release_at_fault=False
        )
    return release


async def _stage(step: Step, work: Work, connection: Connection) -> dict[str, Any]:
    outcome = await _put_there(step, _release(step, work), work, connection)
    return {"already": outcome.already, "seconds": outcome.seconds}


async def _put_there(step: Step, release: Release, work: Work, connection: Connection) -> StageOutcome:
    secrets = work.secrets_of(release.id)
    if release.container is None:
        await _refuse_without_secrets(step, release, work, connection)
        return await connection.stage(release, await work.archives.of(release), secrets, work.fence)
    try:
        return await connection.stage(release, None, secrets, work.fence)
    except ArtifactMissing:
        if work.target.images_on is None:
            raise
        # No registry has it: it is brought from an engine that does, once for all hosts that lack it.
        return await connection.stage(release, await work.archives.of(release), secrets, work.fence)


async def _refuse_without_secrets(step: Step, release: Release, work: Work, connection: Connection) -> None:
    """A worker that took a rollout over, or that goes back, may not know them: a copy that is there has them, no other is made."""
    missing = sorted(release.secrets.keys() - work.secrets_of(release.id).values.keys())
    if not missing:
        return
    facts = await connection.facts(work.target.name, work.target.path, release)
    if release.id not in {kept.release for kept in facts.kept if kept.intact}:
        raise StepFailed(
            step,
            f"{step.host}: {', '.join(missing)} can't be read now, and {release.version} has no copy there that has it",
            release_at_fault=False,
            untouched=True,
        )


async def _switch(step: Step, work: Work, connection: Connection) -> dict[str, Any]:
    release = _release(step, work)
    action = str(step.body.get("how", "restart"))
    if step.body.get("look_first"):
        facts = await connection.facts(work.target.name, work.target.path, release)
        if release.id not in {kept.release for kept in facts.kept if kept.intact}:
            await _put_there(step, release, work, connection)
    way = None
    if "slot" in step.body:
        from quarterdeck.rollouts.worker import routed

        way = await routed.before(step, work, connection, release)
    try:
        secrets, served = work.secrets_of(release.id), way is not None and not way.left
        outcome = await connection.switch(release, secrets, work.fence, step.op_id, action=action, served=served)
    except BackendError as error:
        untouched = error.untouched
        if way is not None and way.left:
            error.untouched = (
                False  # the host has left the router: it counts as changed, and enters again when it is taken back
            )
        if not isinstance(error, CommandFailed):
            raise
        raise StepFailed(
            step,
            error.told(work.masker.mask),
            release_at_fault=(error.exit_status is not None or isinstance(error, Unhealthy)) and not untouched,
            untouched=error.untouched,
        ) from error
    if not outcome.beside:
        _is_current(step, outcome, release)
    health = await _healthy(step, work, connection, release)
    if way is not None:
        await routed.after(step, work, connection, release, way)
    routed_how = way.told if way is not None else {}
    seconds = outcome.seconds
    retired: dict[str, float] = {}
    if step.body.get("hold") and outcome.beside:
        return {"current": outcome.current, "beside": True, "seconds": seconds, **routed_how, **_told(work, health)}
    if outcome.beside:  # the old one has served until here
        outcome = await _retire(step, work, connection, release)
        seconds += outcome.seconds
        retired = {"retired_in": round(outcome.seconds, 3)}
    result: dict[str, Any] = {"current": outcome.current, "previous": outcome.previous, "seconds": seconds, **retired}
    result |= routed_how
    return result | _told(work, health)


async def _stand_aside(step: Step, work: Work, connection: Connection) -> None:
    if work.director is not None:
        from quarterdeck.rollouts.worker import routed

        await routed.stand_aside(step, work, connection)


def _told(work: Work, health: HealthOutcome | None) -> dict[str, Any]:
    if health is None:
        return {}
    return {"health": work.masker.mask(health.detail), "healthy_after": round(health.seconds, 3)}


async def _retire_old(step: Step, work: Work, connection: Connection) -> dict[str, Any]:
    """As a step of its own: what was held beside the release gets nothing any more, and is stopped."""
    release = _release(step, work)
    from quarterdeck.rollouts.worker import routed

    told = await routed.alone(step, work, connection, release)
    outcome = await _retire(step, work, connection, release)
    return {"current": outcome.current, "previous": outcome.previous, "seconds": outcome.seconds, **told}


async def _retire(step: Step, work: Work, connection: Connection, release: Release) -> SwitchOutcome:
    try:
        outcome = await connection.retire(release, work.fence, f"{step.op_id}.retire")
    except CommandFailed as error:
        raise StepFailed(step, error.told(work.masker.mask), release_at_fault=False) from error
    _is_current(step, outcome, release)
    return outcome


def _is_current(step: Step, outcome: SwitchOutcome, release: Release) -> None:
    if outcome.current != release.id:
        raise StepFailed(
            step,
            f"{step.host}: current points to {outcome.current or 'nothing'}, not to {release.id}",
            release_at_fault=False,
        )


async def _healthy(step: Step, work: Work, connection: Connection, release: Release) -> HealthOutcome | None:
    if release.health is None:
        return None
    going_back = work.taking_back or work.kind in (RolloutKind.ROLLBACK, RolloutKind.DRILL)
    outcome = await become_healthy(
        connection, release.health, release, hold=0.0 if going_back else release.health.min_healthy_time
    )
    if not outcome.healthy:
        detail = work.masker.mask(outcome.detail)
        raise StepFailed(
            step,
            f"{step.host}: {release.version} did not become healthy "
            f"within {release.health.healthy_deadline:g} s: {detail}",
            release_at_fault=True,
        )
    return outcome


async def _verify(step: Step, work: Work, connection: Connection) -> dict[str, Any]:
    release = _release(step, work)
    facts = await connection.facts(work.target.name, work.target.path, release)
    held = bool(step.body.get("hold"))  # beside what is current until then
    if facts.current != release.id and not held:
        raise StepFailed(
            step,
            f"{step.host}: runs {facts.current or 'nothing'} where {release.id} was put: somebody else changed it",
            release_at_fault=False,
        )
    if facts.mismatch:
        raise StepFailed(step, f"{step.host}: {facts.mismatch}: somebody else changed it", release_at_fault=False)
    if facts.running is False and not held:
        raise StepFailed(step, f"{step.host}: {release.version} has stopped running", release_at_fault=True)
    if release.health is not None:
        outcome = await connection.check_health(release.health, release)
        if not outcome.healthy:
            outcome = await become_healthy(connection, release.health, release, hold=0.0)
        if not outcome.healthy:
            raise StepFailed(
                step,
                f"{step.host}: {release.version} is not healthy: {work.masker.mask(outcome.detail)}",
                release_at_fault=not step.body.get("untouched"),
            )
    return {"current": facts.current}


def hook_of(step: Step, work: Work) -> tuple[Hook, Release]:
    release = _release(step, work)
    return release.hooks.of(str(step.body["phase"]))[int(step.body["index"])], release


async def _hook(step: Step, work: Work, connection: Connection) -> dict[str, Any]:
    hook, release = hook_of(step, work)
    command = str(step.body["run"])
    try:
        outcome = await connection.hook(hook, command, release, work.fence, step.op_id)
    except CommandFailed as error:
        raise StepFailed(
            step,
            f"hook {work.masker.mask(command)!r}: {error.told(work.masker.mask)}",
            # Without a status it was not the command that ended: it was stopped, or taken away with its node.
            release_at_fault=not error.untouched and error.exit_status is not None,
            untouched=error.untouched,
        ) from error
    output = work.masker.mask(outcome.output)[-SHOWN:]  # masked whole: half a secret would not be recognised
    if outcome.exit_status != 0:
        raise StepFailed(
            step,
            f"{step.host}: hook {command!r} ended with {outcome.exit_status}: {output.strip()[-400:]}",
            release_at_fault=True,
        )
    return {"exit_status": outcome.exit_status, "output": output, "seconds": outcome.seconds}


async def _hook_here(step: Step, work: Work) -> dict[str, Any]:
    """Runs a hook on this machine, in the fleet file's directory, in a process group of its own that ends at the
    deadline."""
    hook, release = hook_of(step, work)
    command = str(step.body["run"])
    environment = (
        os.environ
        | dict(release.env)
        | {
            "QD_TARGET": release.target,
            "QD_RELEASE": release.id,
            "QD_VERSION": release.version,
            "QD_OP_ID": step.op_id,
        }
    )
    if work.others_gone is not None:
        await work.others_gone()
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        command,
        cwd=work.base,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(hook.timeout):
            output = await _output_of(process, work.overtaken)
    except (TimeoutError, asyncio.CancelledError, _Overtaken) as error:
        with contextlib.suppress(ProcessLookupError):  # its leader may have ended and left others behind
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        if isinstance(error, _Overtaken):
            why = f"hook {command!r} here was ended: another rollout took this one's place"
            raise StepFailed(step, why, release_at_fault=False) from error
        raise StepFailed(
            step, f"hook {command!r} here took longer than {hook.timeout:g} s", release_at_fault=True
        ) from error
    text = work.masker.mask(output[-MASKED:].decode(errors="replace"))[-SHOWN:]
    if process.returncode != 0:
        raise StepFailed(
            step, f"hook {command!r} here ended with {process.returncode}: {text.strip()[-400:]}", release_at_fault=True
        )
    return {"exit_status": process.returncode, "output": text, "seconds": time.monotonic() - started}


class _Overtaken(Exception):
    """Another rollout has taken this one's place."""


async def _output_of(process: asyncio.subprocess.Process, overtaken: asyncio.Event | None) -> bytes:
    """All that it prints until it ends. Raises ``_Overtaken``: a newer rollout may be about to undo what this one does here, and no host
    is there to end it."""
    talk = asyncio.create_task(process.communicate())
    other = asyncio.create_task((overtaken or asyncio.Event()).wait())
    try:
        await asyncio.wait([talk, other], return_when=asyncio.FIRST_COMPLETED)
        if not talk.done():
            raise _Overtaken
        return talk.result()[0]
    finally:
        for task in (talk, other):
            task.cancel()
        await asyncio.gather(talk, other, return_exceptions=True)
