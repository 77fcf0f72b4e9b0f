"""Carrying out steps wave by wave: journalled before and after, side by side over the hosts, stopped at once by an
abort.

Delivery is at least once: a step whose outcome is unknown is done again under the same op_id, and the host answers
with the recorded
outcome or finds that its result already holds.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from quarterdeck.backends.errors import BackendError, Fenced, HostKeyRejected, HostLockBusy, LoginRefused, Unreachable
from quarterdeck.backends.pacing import Pace
from quarterdeck.config.model import OnUnreachable
from quarterdeck.history.records import Step, StepState
from quarterdeck.rollouts.plans.plan import BASTION, Action
from quarterdeck.rollouts.promoting import WAITS, held_words
from quarterdeck.rollouts.worker.safeguarding import Safeguarding
from quarterdeck.rollouts.worker.standing_still import Aborted
from quarterdeck.rollouts.worker.steps import StepFailed, Work, hook_of, perform

log = logging.getLogger("quarterdeck.worker")

LOCK_PATIENCE = 150.0  # seconds: longer than any switch may take
_ENDING = 30.0  # seconds beside a hook's own limit, in which it is ended there
QUICK_LOSS = 7.0  # seconds: lost sooner than keepalive can tell, so the other side closed it and may be back
RESTART_PATIENCE = 15.0  # seconds that an sshd or an engine which is being restarted gets, while a host is brought back
AT_ONCE = (
    250  # hosts of a wave that begin together: the answers of thousands could not be read before their deadlines …
)
SLOW = 2.0  # … and a host that takes longer than so many seconds for a step gives its place to the next one
QUICK_REFUSAL = 3.0  # seconds: nobody listens there just now; what takes longer hangs


def _patience_for_lock(step: Step, work: Work) -> float:
    """Seconds in which what was begun there before may still hold the host's lock: of a hook, as long as it may run."""
    if step.action != Action.HOOK:
        return LOCK_PATIENCE
    return max(LOCK_PATIENCE, hook_of(step, work)[0].timeout + _ENDING)


class Waves(Safeguarding):
    """``stop_at_failure``: the first failed step ends the wave (a deploy); else every host gets its chance (a
    rollback)."""

    async def carry_out(
        self,
        steps: Sequence[Step],
        *,
        stop_at_failure: bool,
        on_unreachable: OnUnreachable,
        heed_wishes: bool,
        progress_deadline: float | None = None,
    ) -> None:
        """Does all steps that are not done. Raises StepFailed (with ``stop_at_failure``), Aborted, EpochLost, Fenced.

        ``heed_wishes``: pauses and aborts of operators count here; while taking back they don't.
        """
        guards = steps if heed_wishes else ()
        try:
            for _, wave in groupby(sorted(steps, key=lambda s: (s.batch, s.seq)), key=lambda s: s.batch):
                if heed_wishes:
                    await self.guarded(guards, self._stand_still_if_asked)
                todo = [s for s in wave if s.state in (StepState.PENDING, StepState.STARTED)]
                todo = [s for s in todo if s.host not in self.lost] if stop_at_failure else todo
                if todo and todo[0].action in WAITS:  # a wave of its own
                    if not self._left_out(todo[0]):
                        await self.guarded(guards, partial(self._wait_out, todo[0]))
                elif todo:
                    wave_of = partial(self._wave, todo, stop_at_failure, on_unreachable, heed_wishes, progress_deadline)
                    await self.guarded(guards, wave_of)
            await self.heed_safeguards()
        finally:
            await self.end_safeguards()

    async def _wave(
        self,
        steps: list[Step],
        stop_at_failure: bool,
        on_unreachable: OnUnreachable,
        heed_wishes: bool,
        progress_deadline: float | None,
    ) -> None:
        chains: dict[str, list[Step]] = {}
        for step in steps:
            chains.setdefault(step.host, []).append(step)
        first = list(chains.values())[:AT_ONCE]
        await self._start([chain[0] for chain in first])  # those behind them begin when it is their turn
        pace, begun = Pace(AT_ONCE, SLOW), {chain[0].seq for chain in first}

        async def everything() -> None:
            async with asyncio.TaskGroup() as group:
                for chain in chains.values():
                    group.create_task(self._chain(chain, begun, pace, stop_at_failure, on_unreachable, progress))

        progress = _Progress(progress_deadline, partial(self.work.crew.came_forward, tuple(chains)))
        running = asyncio.create_task(everything())
        watchers: list[asyncio.Task[Any]] = [asyncio.create_task(progress.overdue())]
        if heed_wishes:
            watchers.append(asyncio.create_task(self.wishes.aborted.wait()))
        try:
            await asyncio.wait([running, *watchers], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                running.cancel()
                await asyncio.wait([running])
                if heed_wishes and self.wishes.aborted.is_set():
                    raise Aborted
                now = {s.seq: s.state for s in self.journal.reader.steps(self.rollout)}
                slow = next((s for s in steps if now[s.seq] is not StepState.DONE), steps[0])
                raise StepFailed(
                    slow,
                    f"{slow.host}: {slow.action} has not ended, and no step was done within {progress_deadline:g} s",
                    release_at_fault=slow.action in (Action.SWITCH, Action.VERIFY, Action.HOOK),
                )
        finally:
            for task in (running, *watchers):
                task.cancel()
            await asyncio.gather(running, *watchers, return_exceptions=True)
        try:
            running.result()
        except BaseExceptionGroup as group:
            raise _worst(group) from group

    async def _chain(
        self,
        chain: list[Step],
        begun: Collection[int],
        pace: Pace,
        stop_at_failure: bool,
        on_unreachable: OnUnreachable,
        progress: "_Progress",
    ) -> None:
        """The steps of one host, one after the other. ``begun``: those that are journalled as started already."""
        for step in chain:
            async with pace.place():
                if step.seq not in begun:
                    await self._start([step])
                if not await self._carried_out(step, stop_at_failure, on_unreachable):
                    return
            progress.made()

    async def _carried_out(self, step: Step, stop_at_failure: bool, on_unreachable: OnUnreachable) -> bool:
        """Whether the host's next step may follow. Raises ``StepFailed`` where that ends the wave, and ``Fenced``."""
        # A deploy that loses a host is taken back at once, for the others' sake. A host that is being brought back holds up nobody,
        # and may have nothing running: it is given the time that a restart takes.
        patience = 0.0 if stop_at_failure or step.action == Action.FINISH else RESTART_PATIENCE
        try:
            outcome = await self._persistently(step, patience)
        except asyncio.CancelledError:
            await self._end(step, StepState.FAILED, {"error": "interrupted: what it did was not waited for"})
            raise
        except (StepFailed, BackendError, OSError) as error:
            if isinstance(error, Fenced):
                raise
            failure = self._as_failure(step, error)
            untouched = {"untouched": True} if self._never_touched(step, failure) else {}
            await self._end(step, StepState.FAILED, {"error": failure.why, **untouched})
            if step.action == Action.FINISH:
                return False  # cleaning up never fails a rollout
            self.failures.append(failure)
            if failure.unreachable:
                self.lost[step.host] = failure.why
                if on_unreachable is OnUnreachable.CONTINUE:
                    await self._owe(step, failure)
                    return False
            if stop_at_failure:
                raise failure from error
            return False
        await self._end(step, StepState.DONE, outcome)
        if step.action == Action.SWITCH:
            await self._settle(step)
        return True

    async def _persistently(self, step: Step, patience: float, since: float | None = None) -> dict[str, object]:
        """Once more on a new connection when the old one was cut (a restarted sshd); the op_id makes that harmless. ``patience``: for
        so many seconds, where the host was there before."""
        started = time.monotonic() if since is None else since
        try:
            return await perform(step, self.work)
        except HostLockBusy:
            # What an abort or another worker left behind still runs there. Nothing was changed: the same operation again.
            if time.monotonic() - started > _patience_for_lock(step, self.work):
                raise
            return await self._persistently(step, patience, started)
        except (HostKeyRejected, LoginRefused):
            raise
        except Unreachable as error:
            silent = time.monotonic() - started > QUICK_LOSS
            crew = self.work.crew
            if (
                step.host == BASTION
                or silent
                or not (crew.has_answered(step.host) if patience else crew.was_open(step.host))
            ):
                raise
            log.warning("connection lost, once more, host=%s step=%d reason=%s", step.host, step.seq, error)
            return await self._on_a_new_connection(step, patience, started)

    async def _on_a_new_connection(self, step: Step, patience: float, started: float) -> dict[str, object]:
        until, wait, told = time.monotonic() + patience, 0.2, False
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wishes.overtaken.wait(), wait)
            tried, wait = time.monotonic(), 1.0
            try:
                await self.work.crew.reconnect(step.host)
                return await perform(step, self.work)
            except HostLockBusy:
                return await self._persistently(step, patience, started)  # the first try still runs there
            except (StepFailed, BackendError) as again:
                again.untouched = False  # what the first try did is not known
                nobody_there = isinstance(again, Unreachable) and not isinstance(again, HostKeyRejected | LoginRefused)
                now = time.monotonic()
                if not nobody_there or now - tried > QUICK_REFUSAL or now > until or self.wishes.overtaken.is_set():
                    raise
                if not told:
                    told = True
                    body = {"reason": self.work.masker.mask(str(again)), "seconds": patience}
                    await self._record("host.away", step, body)

    async def _record(self, kind: str, step: Step, body: dict[str, Any]) -> None:
        await self.journal.do(
            self.journal.journal.record,
            kind,
            target=self.work.target.name,
            rollout=self.rollout,
            host=step.host,
            body=body,
        )

    def _as_failure(self, step: Step, error: StepFailed | BackendError | OSError) -> StepFailed:
        if isinstance(error, StepFailed):
            return error
        mask = self.work.masker.mask
        return StepFailed(
            step,
            error.told(mask) if isinstance(error, BackendError) else mask(f"{step.host}: {error}"),
            release_at_fault=False,
            unreachable=isinstance(error, Unreachable) and step.host != BASTION,  # nobody owes this machine anything
            untouched=isinstance(error, BackendError) and error.untouched,
        )

    def _never_touched(self, step: Step, failure: StepFailed) -> bool:
        """Whether the host said of every attempt, and not of the last one alone, that it had changed nothing there."""
        if not failure.untouched or not step.attempt:
            return failure.untouched
        failed = self.journal.reader.events(rollout=self.rollout, kind="step.failed", limit=10_000)
        mine = [event.body["outcome"] for event in failed if event.body.get("step") == step.seq]
        return sum(bool(outcome.get("untouched")) for outcome in mine) == step.attempt

    async def _owe(self, step: Step, failure: StepFailed) -> None:
        if step.body.get("reverse") or step.action == Action.WITHDRAW:
            return  # no release is owed: the host has its own already, or is to have none
        moves = step.action in (Action.SWITCH, Action.STAGE)
        release = str(step.body["release"]) if moves else self.work.release.id
        await self.journal.do(
            self.journal.journal.add_debt, self.work.target.name, step.host, release, self.rollout, failure.why
        )

    async def _settle(self, step: Step) -> None:
        if any(debt.host == step.host for debt in self.journal.reader.debts(self.work.target.name)):
            await self.journal.do(self.journal.journal.settle_debt, self.work.target.name, step.host)

    async def _stand_still_if_asked(self) -> None:
        if self.wishes.aborted.is_set():
            raise Aborted
        await self._promote_in_full_if_asked()
        held = ""
        while (request := self.wishes.pending("pause")) is not None:
            held = held or held_words(request)
            await self.wishes.answer(request, "paused after the steps that were under way")
        if held:
            await self.stand_still(held, "resume")


class _Progress:
    """A deadline that every finished step sets back, and every part of one that a host tells of (``forward``)."""

    def __init__(self, seconds: float | None, forward: Callable[[], float]) -> None:
        self._seconds = seconds
        self._forward = forward
        self._last = time.monotonic()

    def made(self) -> None:
        self._last = time.monotonic()

    async def overdue(self) -> None:
        if self._seconds is None:
            await asyncio.Event().wait()
            return
        # It sleeps until the deadline, which moves meanwhile: there is no event to wait for.
        while (left := max(self._last, self._forward()) + self._seconds - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)


def _worst(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of a wave that decides: losing the fence before everything else, then the first failed step."""
    flat: list[BaseException] = []

    def collect(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                collect(inner)
        else:
            flat.append(error)

    collect(group)
    for error in flat:
        if not isinstance(error, StepFailed):
            return error
    return flat[0]
