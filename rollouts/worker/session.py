"""A worker's life: take the lock, arm or take over, let the plan be carried out, close everything."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Literal, NoReturn

from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.config.model import ApprovalPolicy
from quarterdeck.history.errors import EpochLost, JournalError, LockHeld, RequestRefused, TargetBusy, Withdrawn
from quarterdeck.history.identity import current_operator, process_identity
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import WorkerLock
from quarterdeck.history.records import ENDED, Request, Rollout, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.approvals import wanted_of
from quarterdeck.rollouts.control import ARMED_FOR
from quarterdeck.rollouts.plans.plan import Action, HostNow, Plan
from quarterdeck.rollouts.promoting import waits_in
from quarterdeck.rollouts.refusals import busy
from quarterdeck.rollouts.worker.armed import Armed, CannotBegin, describe, hosts_from_body
from quarterdeck.rollouts.worker.carrying_out import CarryingOut
from quarterdeck.rollouts.worker.crew import Crew
from quarterdeck.rollouts.worker.journal_thread import JournalThread
from quarterdeck.rollouts.worker.standing import masked_values
from quarterdeck.rollouts.worker.standing_still import Aborted
from quarterdeck.rollouts.worker.steps import StepFailed
from quarterdeck.rollouts.worker.waiting_for_a_turn import NotItsTurn, WaitingForTurn
from quarterdeck.rollouts.worker.waiting_for_words import Overtaken
from quarterdeck.rollouts.worker.waves import Waves

log = logging.getLogger("quarterdeck.worker")

HEARTBEAT = 2.0  # seconds
TAKING_BACK = frozenset({RolloutState.ABORTING, RolloutState.ROLLING_BACK})


async def run(state: Path, rollout: int, backend: Hosts, crew: Crew) -> int:
    """Runs the rollout to its end, or to where it stands still, on connections that ``crew`` is opening. Exit status of the process;
    never raises for a rollout's failure."""
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
            unheard_of = journal.unheard_of(rollout) if now.state is RolloutState.QUEUED else 0.0
            journal.set_worker(rollout, os.getpid(), *process_identity(os.getpid()))
            thread = JournalThread(journal, reader)
            try:
                session = Session(state, now, thread, backend, crew)
                session.unheard_of = unheard_of
                async with session.telling.beside():
                    await session.live()
            finally:
                thread.close()
    finally:
        lock.release()
    return 0


class Session(WaitingForTurn, CarryingOut):
    async def live(self) -> None:
        beside = [asyncio.create_task(self._beat()), asyncio.create_task(self.wishes.follow())]
        try:
            if self.rollout.state is RolloutState.ARMED:
                await self._from_the_start()
            elif self.rollout.state is RolloutState.QUEUED:
                await self._begin_after_waiting(self._last_begun())
            else:
                await self._taken_over()
        except CannotBegin as error:
            with contextlib.suppress(RequestRefused):  # a rollback took its place at that very moment
                await self._end(None, RolloutState.CANCELLED, error.why, cause=error.cause, lost=error.hosts)
        except Overtaken:
            log.info("superseded while it waited, this worker leaves, rollout=%d", self.id)
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
            if self.director is not None:
                await self.director.close()

    async def _beat(self) -> None:
        while True:
            try:
                await self.journal.do(self.journal.journal.heartbeat, self.id)
            except JournalError as error:
                log.warning("no heartbeat could be written, rollout=%d reason=%s", self.id, error)
            await asyncio.sleep(HEARTBEAT)

    async def _from_the_start(self) -> None:
        begun_before = self._last_begun()
        armed = await self._arm_or_cancel()
        self.telling.hide(masked_values(*armed.secrets.values(), *armed.masked))
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
        self.arming.let_go = True
        if self.rollout.kind is RolloutKind.ROLLBACK:
            await self.arming.note_bad(armed.release)
        elif request is not None:
            await self._still_allowed(armed, request)
        wanted = wanted_of(self.rollout)
        if wanted is not None:
            await self._queue(wanted, armed.plan_hash, request)
            armed, request = await self._agreed(wanted, armed), None
        await self._begin_in_turn(armed, begun_before, request, wanted)

    async def _begin_after_waiting(self, begun_before: Rollout | None) -> None:
        """Of one that another worker had armed, and that waits."""
        wanted = wanted_of(self.rollout)
        if self.journal.reader.in_queue(self.id):
            self.refuse_if_forgotten()
            if self.places is not None:
                await self.await_turn(wanted, None)
        armed = await (self._agreed(wanted, None) if wanted is not None else self.armed_for_its_turn(None))
        await self._begin_in_turn(armed, begun_before, None, wanted)

    async def _begin_in_turn(
        self, armed: Armed, begun_before: Rollout | None, request: Request | None, wanted: ApprovalPolicy | None
    ) -> None:
        """As soon as there is room in its environment, with the plan that the hosts want then."""
        while True:
            try:
                await self._begin(armed, begun_before, request, wanted)
            except NotItsTurn:
                await self.await_turn(wanted, request)
                request = None
            else:
                return
            armed = await (self._agreed(wanted, armed) if wanted is not None else self.armed_for_its_turn(armed))

    async def _begin(
        self,
        armed: Armed,
        begun_before: Rollout | None,
        request: Request | None,
        wanted: ApprovalPolicy | None = None,
    ) -> None:
        """The first change, and all that follow. ``wanted``: who must have agreed, at that very moment."""
        journal = self.journal.journal
        active = self.journal.reader.active(self.target.name)
        preempted = active if active is not None and active.id != self.id else None

        def begin() -> int:
            if wanted is not None:
                self.still_agreed(journal, wanted)
            self.take_turn(journal)
            journal.seed_epoch(self.target.name, armed.highest_epoch)
            epoch = journal.begin(self.id, preempt=self._preempt(preempted))
            if request is not None:
                with contextlib.suppress(RequestRefused):  # answered already
                    journal.answer(request.id, "done", "begun")
            return epoch

        try:
            epoch = await self.journal.do(journal.together, begin, rollout=self.id)
        except Withdrawn as error:
            await self._cancelled(error.request)
        except TargetBusy as error:
            if request is not None:
                await self.wishes.answer(request, busy(error.active), state="refused")
            raise CannotBegin("busy", f"{busy(error.active)}; nothing was changed") from error
        except RequestRefused as error:
            if wanted is None and self.places is None:
                raise
            raise Overtaken from error  # at the last moment
        if request is not None:
            self.wishes.forget(request)
        if (preempted is not None and preempted.epoch > 0) or self._moved_since(begun_before):
            try:
                await self._look_again(armed, preempted)
            except CannotBegin as error:
                if preempted is None or preempted.epoch == 0:
                    raise
                half_way = f"rollout {preempted.id} was superseded and stands half-way"
                why = f"{error.why.removesuffix('; nothing was changed')}; {half_way}: qd rollback {self.target.name}"
                await self._end(epoch, RolloutState.FAILED, why, cause="partly", lost=error.hosts)
                return
        work = self._work(armed, epoch)
        steps = await self._add_steps(epoch, armed.plan)
        await self._carry_out(steps, armed, work, epoch)

    def _preempt(self, active: Rollout | None) -> Literal["nothing", "deploys", "everything"]:
        if self.rollout.kind is RolloutKind.ROLLBACK:
            return "everything" if active is not None and active.state is RolloutState.ORPHANED else "deploys"
        if self.rollout.kind is RolloutKind.DRILL:
            return "nothing"
        if self.rollout.options.get("supersede"):
            return "deploys"
        return "everything" if active is not None and active.state is RolloutState.ORPHANED else "nothing"

    def _last_begun(self) -> Rollout | None:
        """The rollout, other than this one, that was the last to begin on the target: whether the hosts moved since."""
        return self.journal.reader.last_begun(self.target.name, other_than=self.id)

    def _moved_since(self, begun_before: Rollout | None) -> bool:
        """Whether another rollout has begun since the hosts were looked at, or (to a rollback that matters, too) the last one went on."""
        last = self._last_begun()
        if last is None or begun_before is None or last.id != begun_before.id:
            return last is not begun_before
        return self.rollout.kind is RolloutKind.ROLLBACK and (last.state, last.epoch) != (
            begun_before.state,
            begun_before.epoch,
        )

    async def _refuse_if_stale(self, begun_before: Rollout | None, request: Request | None) -> None:
        """A person said ``go`` to what they saw: when the target has moved since, their plan is about something that
        is no more.

        A deploy, or a drill, that began meanwhile does not stand in a rollback's way; that it is preempted is what the
        rollback is for.
        """
        last = self._last_begun()
        careless = self.rollout.kind is RolloutKind.ROLLBACK or bool(self.rollout.options.get("supersede"))
        if (request is None and careless) or last is None or (begun_before is not None and last.id == begun_before.id):
            return
        if self.rollout.kind is RolloutKind.ROLLBACK and last.kind in (RolloutKind.DEPLOY, RolloutKind.DRILL):
            return
        why = (
            f"{self.target.name} has moved since this was armed: rollout {last.id} ({last.kind}) "
            f"by {last.requested_by}, {str(last.state).replace('_', ' ')}"
        )
        if request is not None:
            await self.wishes.answer(request, why, state="refused")
        raise CannotBegin("busy", f"{why}; nothing was changed")

    async def _still_allowed(self, armed: Armed, request: Request) -> None:
        """What policy allowed when this was armed may be forbidden by the time that somebody says ``go``."""
        try:
            if self.rollout.kind is RolloutKind.DRILL:
                await self.arming.check_drill(armed.hosts, armed.leaving)
                return
            await self.arming.check_policy(armed.release)
            await self.arming.check_required(armed, looked=False)
        except CannotBegin as error:
            await self.wishes.answer(request, error.why, state="refused")
            raise

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
        if self.rollout.kind is RolloutKind.DRILL:
            raise CannotBegin(
                "busy", f"{self.target.name} has moved since the drill was asked for; nothing was changed"
            )
        deploy = self.rollout.kind is not RolloutKind.ROLLBACK
        hosts = await self.arming.look(armed.release, patient=deploy)
        if deploy:
            self.arming.refuse_unreachable(hosts)
        # An old worker can't begin a further step, but one that it has begun may still be running on the host.
        moved = self._left_half_way()
        hosts = [_unsettled(host) if host.host in moved else host for host in hosts]
        armed.hosts, armed.traffic = await self.arming.traffic(hosts, armed.release, armed.leaving)
        hosts = armed.hosts
        if self.rollout.kind is RolloutKind.ROLLBACK:
            leaving = armed.leaving
            known = self.arming.known_releases(armed.release)
            undo = self.arming.to_undo(armed.release.id, leaving, known)
            armed.masked += await self.arming.secrets_to_mask([one.release for one in undo], known)
            armed.plan = self.arming.plan_back(hosts, armed.release.id, leaving, undo, armed.traffic)
        else:
            armed.plan = await self.arming.plan_deploy(hosts, armed.release, armed.leaving, armed.traffic)
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
        old = await self._secrets_of(row.release)
        steps = self.journal.reader.steps(self.id)
        undone = [str(step.body["release"]) for step in steps if step.body.get("reverse")]
        armed = Armed(
            self.target,
            row.release,
            self.rollout.from_release,
            hosts_from_body(body),
            Plan((), (), ()),
            {row.release.id: old.to_write},
            releases,
            [old.readable, *await self.arming.secrets_to_mask(undone, releases)],
            body=dict(body),
        )
        work = self._work(armed, epoch)
        state = self.rollout.state
        if not steps and self.rollout.kind is RolloutKind.DRILL:
            raise CannotBegin("hosts", "its worker died before the first change; nothing was changed")
        if not steps:
            # It had begun but planned nothing yet: its plan is made anew from what the hosts say now.
            armed.hosts = await self.arming.look(row.release, patient=False)
            half_way = sorted(self._left_half_way())
            try:
                await self._look_again(armed, None)
            except CannotBegin as error:
                if not half_way:
                    raise
                left = f"what it superseded stands half-way on {', '.join(half_way)}: qd rollback {self.target.name}"
                why = f"{error.why.removesuffix('; nothing was changed')}; {left}"
                await self._end(epoch, RolloutState.FAILED, why, cause="partly", lost=error.hosts)
                return
            work = self._work(armed, epoch)
            steps = await self._add_steps(epoch, armed.plan)
        if self.rollout.kind is RolloutKind.DRILL and state not in TAKING_BACK:
            gone = self._gone_back() is not None
            why = f"{armed.release.version} was back everywhere" if gone else "the drill failed: its worker died"
            await self._take_back(armed, work, epoch, why, at_fault=False)
            return
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
        way, at, waves = "resume", None, Waves(self.id, epoch, work, self.journal, self.wishes)
        if (
            state is RolloutState.PAUSED
            and before.state is not RolloutState.ORPHANED
            and not self._waits_by_itself(steps)
        ):
            # (an orphan has a new worker because somebody said resume)
            try:
                wish = await self._still_paused(waves, steps, before.outcome or "paused")
                way, at = wish.kind, wish.step
            except Aborted:
                await self._aborted(armed, work, epoch)
                return
            except StepFailed as refuted:  # by a safeguard
                await self._take_back(armed, work, epoch, refuted.why, at_fault=refuted.release_at_fault)
                return
        # What had failed is not done: only what is tried again, and observed, may count as success.
        failed = self._failed()
        await self._try_failed_again(epoch, skip=(at or failed[0]) if way == "skip" and failed else None)
        steps = self.journal.reader.steps(self.id)
        waves.failures.clear()  # a safeguard that failed while it stood still is measured anew
        await self._carry_out([s for s in steps if s.state is not StepState.SKIPPED], armed, work, epoch, waves)

    async def _still_paused(self, waves: Waves, steps: list[Step], outcome: str) -> Request:
        """Until an operator says how it goes on. Raises Aborted; ``StepFailed`` where a safeguard fails and policy answers that."""
        ways_on, at = ("resume", "retry", "skip"), self._failed()
        try:
            return await waves.stand_still_guarded(steps, outcome, *ways_on, heed_older=True, at=at)
        except StepFailed as refuted:
            if self.target.rollback.automatic:
                raise
            why = outcome if refuted.why in outcome else f"{refuted.why}; {outcome}"
            return await waves.stand_still(why, *ways_on, heed_older=True, at=at)

    def _waits_by_itself(self, steps: list[Step]) -> bool:
        """Whether it stands in a step that asks again by itself, or that what was asked is about."""
        waits = waits_in(steps)
        self.wishes.heard_abort()
        return waits is not None and (
            bool(waits.body.get("promote"))
            or waits.action == Action.APPROVAL
            or self.wishes.pending("promote", "retry") is not None
        )

    def _first_step_back(self, steps: list[Step]) -> int | None:
        """The steps of taking back come after the plan's own, which end with ``finish``."""
        finish = [step.seq for step in steps if step.action == Action.FINISH]
        later = [step.seq for step in steps if finish and step.seq > max(finish)]
        return min(later) if later else None


def _unsettled(host: HostNow) -> HostNow:
    import msgspec

    return msgspec.structs.replace(host, running=False) if host.error is None else host
