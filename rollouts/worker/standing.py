"""What every part of a worker's life stands on: rollout, journal, hosts and work, and the words in which it is journalled.

Decides nothing and changes no host.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.backends.secrets import Masker
from quarterdeck.config.model import Target
from quarterdeck.config.release import Release
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import NewStep, Observation, Rollout, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.plan import BASTION, Action, Plan
from quarterdeck.rollouts.promoting import ALONE
from quarterdeck.rollouts.spawn import artifact_cache
from quarterdeck.rollouts.way_back.old_secrets import OldSecrets, old_secrets
from quarterdeck.rollouts.worker.armed import Armed
from quarterdeck.rollouts.worker.arming import Arming
from quarterdeck.rollouts.worker.crew import Crew
from quarterdeck.rollouts.worker.image_archive import fetch_image
from quarterdeck.rollouts.worker.journal_thread import JournalThread
from quarterdeck.rollouts.worker.steps import Archives, Work
from quarterdeck.rollouts.worker.telling import Telling
from quarterdeck.rollouts.worker.wishes import Wishes

if TYPE_CHECKING:
    from quarterdeck.config.analyses import Analysis
    from quarterdeck.rollouts.worker.directing import Director

_TASKS: Final = 3.0  # seconds for a Swarm to say which of its tasks run
_LEAVING: Final = 10.0  # seconds for a worker whose place was taken to end what it runs here

log = logging.getLogger("quarterdeck.worker")


class Standing:
    def __init__(self, state: Path, rollout: Rollout, journal: JournalThread, backend: Hosts, crew: Crew) -> None:
        self.state_directory = state
        self.rollout = rollout
        self.id = rollout.id
        self.journal = journal
        self.target: Target = msgspec.convert(rollout.options["target"], Target)
        self.crew = crew
        self.wishes = Wishes(journal, rollout.id)
        self.arming = Arming(rollout, self.target, crew, journal, backend=backend, cache=artifact_cache(state))
        self._epoch = 0
        self.director = self._open_director(backend)
        self.arming.director = self.director
        self.telling = Telling(rollout, self.target, journal, self.arming.base)

    def _open_director(self, backend: Hosts) -> "Director | None":
        if self.target.routed is None:
            return None
        from quarterdeck.rollouts.worker.directing import Director

        async def record(body: dict[str, Any]) -> None:
            await self.journal.do(
                self.journal.journal.record, "routed", target=self.target.name, rollout=self.id, body=body
            )

        return Director(self.target, backend, lambda: self.journal.reader.check_epoch(self.id, self._epoch), record)

    def _work(self, armed: Armed, epoch: int) -> Work:
        self._epoch = epoch
        seq, hash_ = self.journal.reader.head()
        cache = artifact_cache(self.state_directory)

        async def fetch_archive(release: Release) -> Path:
            from quarterdeck.backends.artifacts import check_archive, fetch

            if armed.archive is not None and release.id == armed.release.id:
                return armed.archive
            if release.container is not None:
                return await fetch_image(self.arming.backend, self.target, release, cache)
            archive = await fetch(release.artifact, cache, connect=self.arming.sftp)
            await check_archive(archive)  # a release that was adopted has its checksum from a host, not from a deploy
            return archive

        values = masked_values(*armed.secrets.values(), *armed.masked)
        self.telling.hide(values)
        rows = self.journal.reader.releases(self.target.name, limit=50)
        good = {row.id for row in rows if row.verdict == "good"}
        bad = {row.id for row in rows if row.verdict == "bad"}
        if self.rollout.kind is RolloutKind.ROLLBACK and armed.leaving is not None and not self.rollout.partial:
            bad.add(armed.leaving)  # what a rollback leaves is judged bad when it has succeeded, before hosts are told
        last = self.journal.reader.last_good(self.target.name, other_than=armed.release.id)
        keep = {
            name
            for name in (armed.leaving, last.id if last else None)
            if name is not None and (name in good or not good)
        }
        return Work(
            target=self.target,
            kind=self.rollout.kind,
            crew=self.crew,
            releases=armed.releases,
            secrets=armed.secrets,
            fence=Fence(self.target.name, epoch, f"rollout {self.id}, {self.rollout.requested_by}", f"{seq}:{hash_}"),
            archives=Archives(fetch_archive),
            base=self.arming.base,
            masker=Masker(values),
            good=frozenset(keep),
            bad=frozenset(bad - {armed.release.id}),
            release=armed.release,
            leaving=armed.leaving,
            analyses=analyses_of(self.rollout.options),
            director=self.director,
            backend=self.arming.backend,
            flags=self.arming.flags,
            overtaken=self.wishes.overtaken,
            others_gone=self._others_gone,
        )

    async def _others_gone(self) -> None:
        """Until the workers whose place was taken, and that were running a hook on this machine, have ended it: hosts do that by
        themselves. One that hangs is not waited for any longer than ``_LEAVING``."""
        reader = self.journal.reader
        running = [
            past.id
            for past in reader.half_way(self.target.name, other_than=self.id)
            if past.state is RolloutState.SUPERSEDED and any(map(_runs_here, reader.steps(past.id)))
        ]
        deadline = time.monotonic() + _LEAVING
        while any(lock_is_held(self.state_directory, past) for past in running):
            if time.monotonic() > deadline:
                log.warning("a worker whose place was taken does not leave, rollouts=%s", running)
                return
            await asyncio.sleep(0.05)

    async def _add_steps(self, epoch: int, plan: Plan, *, after: int = 0, wave: int = 0) -> list[Step]:
        new = []
        for seq, step in enumerate(plan.steps, after + 1):
            body = dict(step.body)
            new.append(NewStep(seq, step.host, str(step.action), wave + step.wave, body))
        await self.journal.do(self.journal.journal.add_steps, self.id, epoch, new)
        added = {step.seq for step in new}
        return [step for step in self.journal.reader.steps(self.id) if step.seq in added]

    def _left_half_way(self) -> set[str]:
        """Hosts where a rollout that this one superseded, or one that such a one had superseded, had begun to change something: it may
        be done, or ended half-way, or run still, whatever the host says now."""
        reader = self.journal.reader
        chain = {self.id}
        hosts: set[str] = set()
        for past in sorted(reader.rollouts(self.target.name), key=lambda one: one.epoch, reverse=True):
            if past.state is not RolloutState.SUPERSEDED:
                continue
            if reader.events(rollout=past.id, kind="state", newest_first=True, limit=1)[0].body.get("by") in chain:
                chain.add(past.id)
                hosts |= {step.host for step in reader.steps(past.id) if moves(step) and may_have_changed(step)}
        return hosts

    def _fresh(self, steps: list[Step]) -> list[Step]:
        wanted = {step.seq for step in steps}
        return [step for step in self.journal.reader.steps(self.id) if step.seq in wanted]

    def _failed(self) -> list[int]:
        """The steps that a rollout stands at."""
        steps = self.journal.reader.steps(self.id)
        return [step.seq for step in steps if step.state is StepState.FAILED and step.action != Action.FINISH]

    async def _try_failed_again(self, epoch: int, *, skip: int | None = None, since: int = 0) -> None:
        """Failed steps (from ``since`` on) are pending again, under a new op_id; ``skip`` is passed over for good."""
        journal = self.journal.journal
        for step in self.journal.reader.steps(self.id):
            if step.state is not StepState.FAILED or step.action == Action.FINISH or step.seq < since:
                continue
            await self.journal.do(journal.retry_step, self.id, epoch, step.seq)
            if step.seq == skip:
                await self._pass_over(epoch, step)

    async def _pass_over(self, epoch: int, failed: Step) -> None:
        """A hook is passed over alone; a host that could not be moved is left out of all that comes later."""
        alone = failed.action in ALONE
        why = {"why": "skipped by an operator"}
        for step in self.journal.reader.steps(self.id):
            later = step.host == failed.host and step.seq > failed.seq and step.state is StepState.PENDING
            if step.seq == failed.seq or (later and not alone and step.action != Action.FINISH):
                await self.journal.do(self.journal.journal.end_step, self.id, epoch, step.seq, StepState.SKIPPED, why)

    async def _secrets_of(self, release: Release) -> OldSecrets:
        return await old_secrets(release, self.arming.base, deadline=5.0)

    async def _observe_steps(self, armed: Armed) -> None:
        """The last known state of every host that this rollout changed is journalled."""
        if seen := await self._observed(armed):
            await self.journal.do(self.journal.journal.observe, seen, self.id)

    async def _observed(self, armed: Armed) -> list[Observation]:
        """From what its steps read back; of a Swarm also which tasks run now, which no step says: else screens would count none until
        somebody looks."""
        seen = self._read_back(armed)
        hosts = self.crew.hosts
        swarms = [one for one in seen if one.error is None and one.host in hosts and hosts[one.host].swarm]
        parts = await asyncio.gather(*(self._tasks_of(one, armed) for one in swarms))
        told = {one.host: part for one, part in zip(swarms, parts, strict=True) if part is not None}
        return [msgspec.structs.replace(one, body={**one.body, **told.get(one.host, {})}) for one in seen]

    async def _tasks_of(self, seen: Observation, armed: Armed) -> dict[str, Any] | None:
        """What its observation says of the Swarm; None where it does not answer at once: the end is told without that."""
        from quarterdeck.rollouts.looking import swarm_part
        from quarterdeck.rollouts.picture.swarm import KEY

        release = armed.releases.get(seen.release) if seen.release is not None else None
        try:
            async with asyncio.timeout(_TASKS):
                connection = await self.crew.connection(seen.host)
                facts = await connection.facts(self.target.name, self.target.path, deadline=_TASKS)
        except (BackendError, TimeoutError) as error:
            log.info("rollout=%d the tasks on %s are not known: %s", self.id, seen.host, error)
            return None
        part = swarm_part(facts, release)
        return {KEY: part} if part is not None else None

    def _read_back(self, armed: Armed) -> list[Observation]:
        seen: dict[str, Observation] = {}
        for step in self.journal.reader.steps(self.id):
            if not moves(step) or step.ended is None or step.outcome.get("beside"):
                continue  # what runs beside the release that is current is not what the host runs yet
            if not may_have_changed(step):
                continue  # what was seen of the host before holds on
            release = str(step.body.get("release") or "") or None
            done = step.state is StepState.DONE
            seen[step.host] = Observation(
                target=self.target.name,
                host=step.host,
                time=step.ended,
                release=release if done else None,
                version=version_of(armed, release) if done and release else None,
                health="healthy" if done and step.action in (Action.SWITCH, Action.RETIRE) else "unknown",
                error=None if done else str(step.outcome.get("error") or step.outcome.get("why") or "not finished"),
                body={"rollout": self.id},
            )
        return list(seen.values())

    def _mixed(self) -> str:
        """Which host runs what, by the last thing that was read back."""
        now = {o.host: o.version or o.release or "unknown" for o in self.journal.reader.observations(self.target.name)}
        return (
            "now: " + ", ".join(f"{host} {version}" for host, version in sorted(now.items())) if now else "now: unknown"
        )

    async def _end(
        self,
        epoch: int | None,
        state: RolloutState,
        outcome: str,
        *,
        cause: str = "",
        lost: Mapping[str, str] | None = None,
        with_it: Callable[[], None] = lambda: None,
    ) -> None:
        """``lost``: hosts that could not be asked, where there is no plan that says so. ``with_it``: what is journalled in the
        same transaction."""
        journal = self.journal.journal
        body = ({"cause": cause} if cause else {}) | ({"lost": dict(lost)} if lost else {})

        def end() -> None:
            with_it()
            journal.set_state(self.id, epoch, state, outcome=outcome, body=body)

        await self.journal.do(journal.together, end, rollout=self.id, urgent=True)
        log.info("ended, rollout=%d state=%s outcome=%s", self.id, state, outcome)


def analyses_of(options: Mapping[str, Any]) -> Mapping[str, "Analysis"]:
    """As they stood in the fleet file when the rollout was asked for."""
    found = options.get("analyses")
    if not found:
        return {}
    from quarterdeck.config.analyses import Analysis

    return msgspec.convert(found, dict[str, Analysis])


def moves(step: Step) -> bool:
    return step.action in (Action.STOP, Action.SWITCH, Action.RETIRE, Action.WITHDRAW)


def may_have_changed(step: Step) -> bool:
    """Whether it was begun, and its host did not say that it refused it before it changed anything."""
    return step.attempt > 0 and not step.outcome.get("untouched")


def _runs_here(step: Step) -> bool:
    return step.action == Action.HOOK and step.host == BASTION and step.state is StepState.STARTED


def masked_values(*groups: SecretValues) -> list[str]:
    return [value for secrets in groups for value in secrets.values.values()]


def version_of(armed: Armed, release: str | None) -> str:
    if release is None:
        return "nothing"
    known = armed.releases.get(release)
    return known.version if known else release
