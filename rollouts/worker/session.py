"""A worker's life: take the lock, arm or take over, carry the plan out, take it back when it fails, say how it
ended."""

import asyncio
import contextlib
import logging
import os
from collections import Counter
from pathlib import Path
from typing import Literal, NoReturn

from quarterdeck.backends.errors import BackendError, Fenced
from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.secrets import Masker, resolve_secrets
from quarterdeck.config.model import OnUnreachable, Target
from quarterdeck.config.release import Release
from quarterdeck.history.errors import (
    EpochLost,
    JournalBusy,
    JournalError,
    JournalFull,
    LockHeld,
    TargetBusy,
    Withdrawn,
)
from quarterdeck.history.identity import current_operator, process_identity
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import WorkerLock
from quarterdeck.history.records import (
    ENDED,
    NewStep,
    Observation,
    Request,
    Rollout,
    RolloutKind,
    RolloutState,
    Step,
    StepState,
)
from quarterdeck.rollouts.control import ARMED_FOR, busy
from quarterdeck.rollouts.plan import (
    Action,
    HostNow,
    Plan,
    Touched,
    back_to,
    plan_deploy,
    plan_rollback,
    plan_take_back,
)
from quarterdeck.rollouts.spawn import artifact_cache
from quarterdeck.rollouts.worker.arming import Armed, Arming, CannotBegin, describe, hosts_from_body
from quarterdeck.rollouts.worker.crew import Crew
from quarterdeck.rollouts.worker.journal_thread import JournalThread
from quarterdeck.rollouts.worker.steps import Archives, StepFailed, Work
from quarterdeck.rollouts.worker.waves import Aborted, Waves
from quarterdeck.rollouts.worker.wishes import Wishes

log = logging.getLogger("quarterdeck.worker")

HEARTBEAT = 2.0  # seconds
TAKING_BACK = frozenset({RolloutState.ABORTING, RolloutState.ROLLING_BACK})


def run(state: Path, rollout: int) -> int:
    """Runs the rollout to its end, or to where it stands still. Exit status of the process; never raises for a
    rollout's failure."""
    try:
        lock = WorkerLock.acquire(state, rollout)
    except LockHeld:
        return 0  # somebody else carries it out already
    operator = current_operator()
    try:
        with (
            Journal.open(state, operator=operator, create=False) as journal,
            Journal.open(state, operator=operator, create=False, read_only=True) as reader,
        ):
            now = journal.rollout(rollout)
            if now.state in ENDED:
                return 0
            journal.set_worker(rollout, os.getpid(), *process_identity(os.getpid()))
            thread = JournalThread(journal, reader)
            try:
                asyncio.run(Session(state, now, thread).live())
            finally:
                thread.close()
    finally:
        lock.release()
    return 0


class Session:
    def __init__(self, state: Path, rollout: Rollout, journal: JournalThread) -> None:
        import msgspec

        self.state_directory = state
        self.rollout = rollout
        self.id = rollout.id
        self.journal = journal
        self.target: Target = msgspec.convert(rollout.options["target"], Target)
        options = rollout.options
        backend = SshBackend(
            ssh_config=tuple(Path(p) for p in options["ssh_config"]),
            known_hosts=tuple(Path(p) for p in options["known_hosts"]),
        )
        only = set(options.get("only") or ())
        self.crew = Crew(backend, [h for h in self.target.hosts if not only or h.name in only])
        self.wishes = Wishes(journal, rollout.id)
        self.arming = Arming(rollout, self.target, self.crew, journal, backend=backend, cache=artifact_cache(state))

    async def live(self) -> None:
        self.crew.connect_all()
        beside = [asyncio.create_task(self._beat()), asyncio.create_task(self.wishes.follow())]
        try:
            if self.rollout.state is RolloutState.ARMED:
                await self._from_the_start()
            else:
                await self._taken_over()
        except CannotBegin as error:
            await self._end(None, RolloutState.CANCELLED, error.why, cause=error.cause)
        except EpochLost as error:
            log.warning("another worker has taken over, this one stops, rollout=%d reason=%s", self.id, error)
        finally:
            for task in beside:
                task.cancel()
            results = await asyncio.gather(*beside, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    log.error("a task beside the rollout ended early, rollout=%d reason=%r", self.id, result)
            await self.crew.close()

    async def _beat(self) -> None:
        while True:
            try:
                await self.journal.do(self.journal.journal.heartbeat, self.id)
            except JournalError as error:
                log.warning("no heartbeat could be written, rollout=%d reason=%s", self.id, error)
            await asyncio.sleep(HEARTBEAT)

    # armed

    async def _from_the_start(self) -> None:
        begun_before = self._last_begun()
        armed = await self._arm_or_cancel()
        journal = self.journal.journal
        await self.journal.do(journal.put_release, armed.release)
        await self.journal.do(
            journal.set_plan,
            self.id,
            armed.body,
            armed.plan_hash,
            to_release=armed.release.id,
            from_release=armed.leaving,
        )
        request = await self._wait_for_go()
        if request is not None and request.arguments.get("plan_hash") not in (None, "", armed.plan_hash):
            await self.wishes.answer(request, "the plan has changed since it was shown", state="refused")
            raise CannotBegin(
                "policy", "the plan has changed since it was shown: look at it again; nothing was changed"
            )
        await self._refuse_if_stale(begun_before, request)
        await self.journal.do(journal.seed_epoch, self.target.name, armed.highest_epoch)
        preempted = self.journal.reader.active(self.target.name)
        try:
            epoch = await self.journal.do(journal.begin, self.id, preempt=self._preempt(preempted))
        except Withdrawn as error:
            await self._cancelled(error.request)
        except TargetBusy as error:
            if request is not None:
                await self.wishes.answer(request, busy(error.active), state="refused")
            raise CannotBegin("busy", f"{busy(error.active)}; nothing was changed") from error
        if request is not None:
            await self.wishes.answer(request, "begun")
        if preempted is not None or _id(self._last_begun()) != _id(begun_before):
            await self._look_again(armed, preempted)
        work = self._work(armed, epoch)
        steps = await self._add_steps(epoch, armed.plan)
        await self._carry_out(steps, armed, work, epoch)

    def _preempt(self, active: Rollout | None) -> Literal["nothing", "deploys", "everything"]:
        if self.rollout.kind is RolloutKind.ROLLBACK:
            return "everything" if active is not None and active.state is RolloutState.ORPHANED else "deploys"
        if self.rollout.options.get("supersede"):
            return "deploys"
        return "everything" if active is not None and active.state is RolloutState.ORPHANED else "nothing"

    def _last_begun(self) -> Rollout | None:
        """The rollout, other than this one, that was the last to begin on the target: whether the hosts moved since."""
        return self.journal.reader.last_begun(self.target.name, other_than=self.id)

    async def _refuse_if_stale(self, begun_before: Rollout | None, request: Request | None) -> None:
        """A person said ``go`` to what they saw: when the target has moved since, their plan is about something that
        is no more.

        A deploy that began meanwhile does not stand in a rollback's way; that it is preempted is what the rollback is
        for.
        """
        last = self._last_begun()
        careless = self.rollout.kind is RolloutKind.ROLLBACK or bool(self.rollout.options.get("supersede"))
        if (request is None and careless) or last is None or (begun_before is not None and last.id == begun_before.id):
            return
        if self.rollout.kind is RolloutKind.ROLLBACK and last.kind is RolloutKind.DEPLOY:
            return
        why = (
            f"{self.target.name} has moved since this was armed: rollout {last.id} ({last.kind}) "
            f"by {last.requested_by} is {last.state}"
        )
        if request is not None:
            await self.wishes.answer(request, why, state="refused")
        raise CannotBegin("busy", f"{why}; nothing was changed")

    async def _arm_or_cancel(self) -> Armed:
        arming = asyncio.create_task(self.arming.arm())
        cancelled = asyncio.create_task(self.wishes.next("cancel", "abort"))
        try:
            await asyncio.wait([arming, cancelled], return_when=asyncio.FIRST_COMPLETED)
            if arming.done():
                return arming.result()
            await self._cancelled(cancelled.result())
        finally:
            arming.cancel()
            cancelled.cancel()
            await asyncio.gather(arming, cancelled, return_exceptions=True)

    async def _wait_for_go(self) -> Request | None:
        if self.rollout.options.get("go"):
            return None
        self.wishes.eager = True
        try:
            async with asyncio.timeout(ARMED_FOR):
                request = await self.wishes.next("go", "cancel", "abort")
        except TimeoutError as error:
            raise CannotBegin(
                "silence", f"nobody said go within {ARMED_FOR / 60:g} minutes; nothing was changed"
            ) from error
        finally:
            self.wishes.eager = False
        if request.kind != "go":
            await self._cancelled(request)
        return request

    async def _cancelled(self, request: Request) -> NoReturn:
        await self.wishes.answer(request, "cancelled before the first change")
        raise CannotBegin("cancelled", f"cancelled by {request.by}; nothing was changed")

    async def _look_again(self, armed: Armed, preempted: Rollout | None) -> None:
        """Another rollout was at work since the hosts were looked at: what was seen is old, so the plan is made
        anew."""
        deploy = self.rollout.kind is not RolloutKind.ROLLBACK
        hosts = await self.arming.look(armed.release, patient=deploy)
        if deploy:
            self.arming.refuse_unreachable(hosts)
        moved: set[str] = set()
        if preempted is not None:
            # The old worker can't begin a further step, but one that it has begun may still be running on the host.
            moved = {
                step.host
                for step in self.journal.reader.steps(preempted.id)
                if step.action in (Action.STOP, Action.SWITCH, Action.WITHDRAW) and step.attempt > 0
            }
        hosts = [_unsettled(host) if host.host in moved else host for host in hosts]
        armed.hosts = hosts
        if self.rollout.kind is RolloutKind.ROLLBACK:
            leaving = armed.leaving
            known = self.arming.known_releases(armed.release)
            hooks = self.arming.hooks_to_reverse(leaving, known)
            armed.plan = plan_rollback(
                hosts, armed.release.id, self.target.rollback.max_unavailable, leaving=leaving, hooks=hooks
            )
        else:
            armed.plan = plan_deploy(hosts, armed.release.id, self.target.strategy, self.target.hooks, seed=self.id)
        armed.releases = self.arming.known_releases(armed.release)
        await self.journal.do(
            self.journal.journal.record,
            "replanned",
            target=self.target.name,
            rollout=self.id,
            body={
                "steps": describe(armed.plan),
                "because": f"rollout {preempted.id} was under way" if preempted else "time",
            },
        )

    # the work

    def _work(self, armed: Armed, epoch: int) -> Work:
        seq, hash_ = self.journal.reader.head()
        cache = artifact_cache(self.state_directory)

        async def fetch_archive(release: Release) -> Path:
            from quarterdeck.backends.artifacts import check_archive, fetch

            if armed.archive is not None and release.id == armed.release.id:
                return armed.archive
            archive = await fetch(release.artifact, cache, connect=self.arming.sftp)
            await check_archive(archive)  # a release that was adopted has its checksum from a host, not from a deploy
            return archive

        values = [value for secrets in armed.secrets.values() for value in secrets.values.values()]
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
        )

    async def _add_steps(self, epoch: int, plan: Plan, *, after: int = 0, wave: int = 0) -> list[Step]:
        new = []
        for seq, step in enumerate(plan.steps, after + 1):
            body = dict(step.body)
            new.append(NewStep(seq, step.host, str(step.action), wave + step.wave, body))
        await self.journal.do(self.journal.journal.add_steps, self.id, epoch, new)
        added = {step.seq for step in new}
        return [step for step in self.journal.reader.steps(self.id) if step.seq in added]

    async def _carry_out(self, steps: list[Step], armed: Armed, work: Work, epoch: int) -> None:
        waves = Waves(self.id, epoch, work, self.journal, self.wishes)
        rollback = self.rollout.kind is RolloutKind.ROLLBACK
        main = [step for step in steps if step.action != Action.FINISH]
        try:
            while True:
                try:
                    await waves.carry_out(
                        self._fresh(main),
                        stop_at_failure=not rollback,
                        on_unreachable=self.target.rollback.on_unreachable if rollback else self.target.on_unreachable,
                        heed_wishes=True,
                        progress_deadline=None if rollback else self.target.progress_deadline,
                    )
                    if not rollback and self.wishes.heard_abort():
                        raise Aborted  # asked after the last step had begun: it wins as long as success is not written
                    break
                except StepFailed as failure:
                    if rollback or self.target.rollback.automatic:
                        raise
                    await self._ask_what_to_do(waves, failure)
        except Fenced as error:
            await self._end(
                epoch, RolloutState.FAILED, f"{error}: somebody drives this target from another journal", cause="fenced"
            )
            return
        except Aborted:
            await self._aborted(armed, work, epoch)
            return
        except StepFailed as failure:
            await self._take_back(armed, work, epoch, failure.why, at_fault=failure.release_at_fault)
            return
        except (JournalFull, JournalBusy) as error:
            if rollback:
                raise
            # Taking back may use the journal's reserve; half a deploy must not be left standing.
            await self._take_back(armed, work, epoch, str(error), at_fault=False)
            return
        await self._finished(armed, waves, epoch, [step for step in steps if step.action == Action.FINISH])

    def _fresh(self, steps: list[Step]) -> list[Step]:
        wanted = {step.seq for step in steps}
        return [step for step in self.journal.reader.steps(self.id) if step.seq in wanted]

    async def _ask_what_to_do(self, waves: Waves, failure: StepFailed) -> None:
        why = f"{failure.why}; retry, skip or abort"
        request = await waves.stand_still(why, "retry", "skip", "resume", at=self._failed())
        skip = request.step or failure.step.seq if request.kind == "skip" else None
        await self._try_failed_again(waves.epoch, skip=skip)
        self.crew.renew()
        waves.failures.clear()
        waves.lost.clear()

    def _failed(self) -> list[int]:
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
        alone = failed.action in (Action.HOOK, Action.PAUSE)
        why = {"why": "skipped by an operator"}
        for step in self.journal.reader.steps(self.id):
            later = step.host == failed.host and step.seq > failed.seq and step.state is StepState.PENDING
            if step.seq == failed.seq or (later and not alone and step.action != Action.FINISH):
                await self.journal.do(self.journal.journal.end_step, self.id, epoch, step.seq, StepState.SKIPPED, why)

    async def _finished(self, armed: Armed, waves: Waves, epoch: int, finish: list[Step]) -> None:
        journal = self.journal.journal
        name = armed.release.version
        await self._observe_steps(armed)
        left_out = self._left_out(armed)
        skipped = [
            step.host
            for step in self.journal.reader.steps(self.id)
            if step.action in (Action.SWITCH, Action.VERIFY) and step.state is StepState.SKIPPED
        ]
        unfinished = list(
            dict.fromkeys([f.step.host for f in waves.failures] + [host.host for host in left_out] + skipped)
        )
        finish = [step for step in finish if step.host not in unfinished]
        passed_over = [HostNow(host, error="skipped by an operator") for host in dict.fromkeys(skipped)]
        await self._owe([*left_out, *passed_over], armed.release.id)
        for debt in self.journal.reader.debts(self.target.name):
            if debt.host in self.crew.hosts and debt.host not in unfinished:
                await self.journal.do(journal.settle_debt, self.target.name, debt.host)
        leaving = armed.leaving if armed.leaving and self.journal.reader.release(armed.leaving) is not None else None
        partial = self.rollout.partial  # then the other hosts go on with what is left here, which is no word against it
        rollback = self.rollout.kind is RolloutKind.ROLLBACK
        if rollback and leaving is not None and leaving != armed.release.id and not partial:
            await self.journal.do(
                journal.judge,
                leaving,
                "bad",
                self.rollout.reason or f"rolled back by rollout {self.id}",
                rollout=self.id,
            )
        total = len(self.crew.hosts)
        if unfinished and self.rollout.kind is RolloutKind.ROLLBACK:
            why = "; ".join(
                dict.fromkeys(
                    [f.why for f in waves.failures] + [f"{h.host}: {h.error}" for h in armed.hosts if h.error]
                )
            )
            await self._end(
                epoch,
                RolloutState.FAILED,
                f"{total - len(unfinished)} of {total} hosts run {name}; not {', '.join(unfinished)}: {why}. "
                f"When they are back: qd retry {self.id}",
                cause="partly",
            )
            return
        if not partial:
            await self.journal.do(journal.judge, armed.release.id, "good", "", rollout=self.id)
        owed = f"; owed: {', '.join(unfinished)} (qd retry {self.id})" if unfinished else ""
        await self._end(
            epoch,
            RolloutState.SUCCEEDED,
            f"{name} runs on {total - len(unfinished)} of {total} hosts, read back and healthy{owed}",
        )
        if finish:
            # The rollout is over and said so: cleaning up changes nothing about that, whatever happens to it.
            with contextlib.suppress(EpochLost, Fenced, StepFailed):
                await waves.carry_out(
                    finish, stop_at_failure=False, on_unreachable=OnUnreachable.CONTINUE, heed_wishes=False
                )

    def _left_out(self, armed: Armed) -> list[HostNow]:
        """Hosts that could not be asked when the plan was made, and did not come back in time."""
        lost = [host for host in armed.hosts if host.error is not None]
        if not lost:
            return []
        steps = self.journal.reader.steps(self.id)
        switched = {s.host for s in steps if s.action == Action.SWITCH and s.state is StepState.DONE}
        return [host for host in lost if host.host not in switched]

    async def _owe(self, hosts: list[HostNow], release: str) -> None:
        debts = self.journal.reader.debts(self.target.name) if hosts else []
        already = {debt.host for debt in debts if debt.rollout == self.id}
        for host in hosts:
            if host.host not in already:
                await self.journal.do(
                    self.journal.journal.add_debt, self.target.name, host.host, release, self.id, host.error or ""
                )

    # taking back

    async def _aborted(self, armed: Armed, work: Work, epoch: int) -> None:
        request = self.wishes.abort_request
        by = request.by if request else "an operator"
        if self.rollout.kind is RolloutKind.ROLLBACK:
            await self._observe_steps(armed)
            await self._end(epoch, RolloutState.FAILED, f"rollback aborted by {by}: {self._mixed()}", cause="aborted")
        else:
            await self._take_back(armed, work, epoch, f"aborted by {by}", at_fault=False)

    async def _take_back(self, armed: Armed, work: Work, epoch: int, why: str, *, at_fault: bool) -> None:
        journal = self.journal.journal
        await self.journal.do(journal.set_state, self.id, epoch, RolloutState.ABORTING, outcome=why)
        if at_fault:
            await self.journal.do(journal.judge, armed.release.id, "bad", why, rollout=self.id)
        steps = self.journal.reader.steps(self.id)
        seen = {host.host: host for host in armed.hosts}
        stable = armed.leaving if armed.leaving != armed.release.id else None
        touched = [
            _touched(seen[name], stable)
            for name in dict.fromkeys(
                step.host for step in steps if step.action in (Action.STOP, Action.SWITCH) and step.attempt > 0
            )
        ]
        hooks_done = [{"host": s.host, **s.body} for s in steps if s.action == Action.HOOK and s.attempt > 0]
        plan = plan_take_back(
            touched, hooks_done, armed.release.hooks, self.target.rollback.max_unavailable, leaving=armed.release.id
        )
        last_wave = max((step.batch for step in steps), default=0)
        last_seq = max((step.seq for step in steps), default=0)
        new = await self._add_steps(epoch, plan, after=last_seq, wave=last_wave + 1)
        await self._go_back(new, armed, work, epoch, why)

    async def _go_back(self, steps: list[Step], armed: Armed, work: Work, epoch: int, why: str) -> None:
        """Carries the steps of taking back out; no wish of an operator stops it and no host waits for another."""
        journal = self.journal.journal
        await self.journal.do(journal.set_state, self.id, epoch, RolloutState.ROLLING_BACK, outcome=why)
        work.taking_back = True
        self.crew.renew()
        for name in {str(step.body["release"]) for step in steps if step.body.get("release")}:
            if name not in work.secrets and name in work.releases:
                work.secrets = {**work.secrets, name: await self._secrets_of(work.releases[name])}
        values = [value for secrets in work.secrets.values() for value in secrets.values.values()]
        work.masker = Masker(values)
        waves = Waves(self.id, epoch, work, self.journal, self.wishes)
        try:
            await waves.carry_out(
                steps, stop_at_failure=False, on_unreachable=OnUnreachable.CONTINUE, heed_wishes=False
            )
        except Fenced as error:
            await self._end(epoch, RolloutState.FAILED, f"{why}; taking it back was refused: {error}", cause="fenced")
            return
        await self._observe_steps(armed)
        if waves.failures:
            names = ", ".join(dict.fromkeys(f.step.host for f in waves.failures))
            reasons = "; ".join(f.why for f in waves.failures)
            await self._end(
                epoch,
                RolloutState.FAILED,
                f"{why}; not taken back on {names}: {reasons}. {self._mixed()}. "
                f"To finish: qd rollback {self.target.name}",
                cause="partly",
            )
            return
        back = Counter(
            str(step.body["release"]) if step.action == Action.SWITCH else None
            for step in steps
            if step.action in (Action.SWITCH, Action.WITHDRAW)
        )
        where = ", ".join(
            f"{_version(armed, name)} on {count} host{'s' if count != 1 else ''}" for name, count in back.items()
        )
        await self._end(epoch, RolloutState.ROLLED_BACK, f"{why}; taken back: {where or 'no host had been changed'}")

    async def _secrets_of(self, release: Release) -> SecretValues:
        try:
            return await resolve_secrets(
                {name: record.reference for name, record in release.secrets.items()},
                base=self.arming.base,
                deadline=5.0,
            )
        except BackendError as error:
            log.warning("secrets of %s kept as they are on the hosts, reason=%s", release.id, error)
            return SecretValues({})

    def _mixed(self) -> str:
        """Which host runs what, by the last thing that was read back."""
        now = {o.host: o.version or o.release or "unknown" for o in self.journal.reader.observations(self.target.name)}
        return (
            "now: " + ", ".join(f"{host} {version}" for host, version in sorted(now.items())) if now else "now: unknown"
        )

    # a worker that takes over

    async def _taken_over(self) -> None:
        journal = self.journal.journal
        before = self.rollout
        epoch = await self.journal.do(journal.take_over, self.id)
        self.rollout = self.journal.reader.rollout(self.id)
        body = before.plan or {}
        if not body or self.rollout.to_release is None:
            raise CannotBegin("policy", "its plan was never made; nothing was changed")
        row = self.journal.reader.release(self.rollout.to_release)
        assert row is not None
        releases = self.arming.known_releases(row.release)
        armed = Armed(
            self.target,
            row.release,
            self.rollout.from_release,
            hosts_from_body(body),
            Plan((), (), ()),
            {
                row.release.id: await self._secrets_of(row.release),
                **await self.arming.secrets_to_mask(releases.get(self.rollout.from_release or "")),
            },
            releases,
            body=dict(body),
        )
        work = self._work(armed, epoch)
        steps = self.journal.reader.steps(self.id)
        state = self.rollout.state
        if not steps:
            # It had begun but planned nothing yet: its plan is made anew from what the hosts say now.
            armed.hosts = await self.arming.look(row.release, patient=False)
            await self._look_again(armed, None)
            work = self._work(armed, epoch)
            steps = await self._add_steps(epoch, armed.plan)
        if state in TAKING_BACK:
            first = self._first_step_back(steps)
            if first is None:
                await self._take_back(armed, work, epoch, before.outcome or "its worker died", at_fault=False)
            else:
                await self._try_failed_again(epoch, since=first)
                again = [s for s in self.journal.reader.steps(self.id) if s.seq >= first]
                await self._go_back(again, armed, work, epoch, before.outcome)
            return
        if self.rollout.options["target"].get("on_orphan") == "roll_back" and self.rollout.kind is RolloutKind.DEPLOY:
            await self._take_back(armed, work, epoch, "its worker died, and policy is to take it back", at_fault=False)
            return
        way, at = "resume", None
        if state is RolloutState.PAUSED and before.state is not RolloutState.ORPHANED:
            # (an orphan has a new worker because somebody said resume)
            waves = Waves(self.id, epoch, work, self.journal, self.wishes)
            try:
                outcome = before.outcome or "paused"
                wish = await waves.stand_still(outcome, "resume", "retry", "skip", heed_older=True, at=self._failed())
                way, at = wish.kind, wish.step
            except Aborted:
                await self._aborted(armed, work, epoch)
                return
        # What had failed is not done: only what is tried again, and observed, may count as success.
        failed = self._failed()
        await self._try_failed_again(epoch, skip=(at or failed[0]) if way == "skip" and failed else None)
        steps = self.journal.reader.steps(self.id)
        await self._carry_out([s for s in steps if s.state is not StepState.SKIPPED], armed, work, epoch)

    def _first_step_back(self, steps: list[Step]) -> int | None:
        """The steps of taking back come after the plan's own, which end with ``finish``."""
        finish = [step.seq for step in steps if step.action == Action.FINISH]
        later = [step.seq for step in steps if finish and step.seq > max(finish)]
        return min(later) if later else None

    # what is said

    async def _observe_steps(self, armed: Armed) -> None:
        """The last known state of every host that this rollout changed, from what its steps read back."""
        seen: dict[str, Observation] = {}
        for step in self.journal.reader.steps(self.id):
            if step.action not in (Action.SWITCH, Action.WITHDRAW, Action.STOP) or step.ended is None:
                continue
            release = str(step.body.get("release") or "") or None
            done = step.state is StepState.DONE
            seen[step.host] = Observation(
                target=self.target.name,
                host=step.host,
                time=step.ended,
                release=release if done else None,
                version=_version(armed, release) if done and release else None,
                health="healthy" if done and step.action == Action.SWITCH else "unknown",
                error=None if done else str(step.outcome.get("error", "")),
                body={"rollout": self.id},
            )
        if seen:
            await self.journal.do(self.journal.journal.observe, list(seen.values()), self.id)

    async def _end(self, epoch: int | None, state: RolloutState, outcome: str, *, cause: str = "") -> None:
        await self.journal.do(
            self.journal.journal.set_state,
            self.id,
            epoch,
            state,
            outcome=outcome,
            body={"cause": cause} if cause else {},
        )
        log.info("ended, rollout=%d state=%s outcome=%s", self.id, state, outcome)


def _version(armed: Armed, release: str | None) -> str:
    if release is None:
        return "nothing"
    known = armed.releases.get(release)
    return known.version if known else release


def _touched(host: HostNow, stable: str | None) -> Touched:
    back = back_to(host, stable)
    return Touched(host.host, back, has_copy=back is None or back in host.kept)


def _id(rollout: Rollout | None) -> int | None:
    return rollout.id if rollout is not None else None


def _unsettled(host: HostNow) -> HostNow:
    import dataclasses

    return dataclasses.replace(host, running=False) if host.error is None else host
