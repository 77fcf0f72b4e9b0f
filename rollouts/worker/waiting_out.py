"""Waiting between steps: a pause for a time or until somebody promotes, an analysis, and the bake at the end.

Hosts that have the new release are watched meanwhile: one that stops running it, or stays unhealthy, ends the wait as a failure of
the release. A host that can't be asked is no bad news and no good one; it is asked again when the wait is over.
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.history.identity import process_identity
from quarterdeck.history.records import Request, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.promoting import held_words, where_words
from quarterdeck.rollouts.worker.standing_still import Aborted, StandingStill
from quarterdeck.rollouts.worker.steps import StepFailed

if TYPE_CHECKING:
    from quarterdeck.rollouts.analysis.course import Ended
    from quarterdeck.rollouts.worker.analysing import Analysing

log = logging.getLogger("quarterdeck.worker")

LOOK = 2.0  # seconds between two looks at a host, at the least
READ_BACK = 5  # every so many looks the host is asked what it runs, and not only whether that is healthy
FAILS = 3  # looks in a row that are not healthy


class WaitingOut(StandingStill):
    async def _wait_out(self, step: Step) -> None:
        """Until the time is over or somebody promotes. Raises StepFailed for a release that does not hold, Aborted, EpochLost."""
        await self._start([step])
        started = time.monotonic()
        try:
            ended = await self._over(step)
        except StepFailed as failure:
            await self._end(step, StepState.FAILED, {"error": failure.why})
            self.failures.append(failure)
            raise
        except (Aborted, asyncio.CancelledError) as error:
            why = error.why if isinstance(error, Aborted) else ""
            await self._end(step, StepState.FAILED, {"error": why or "interrupted: it was not waited for"})
            raise
        seconds = round(time.monotonic() - started, 3)
        await self._end(step, StepState.DONE, {"seconds": seconds, **({"detail": ended} if ended else {})})

    async def _over(self, step: Step) -> str:
        """Waits; how it ended in words, empty: its time was over."""
        until = await self._end_of(step) if step.body.get("seconds") else None
        stands = ""
        if step.body.get("promote"):
            stands = f"{_where(step)}, until somebody promotes: qd promote {self.rollout}"
        ways: tuple[str, ...] = ("promote",)
        while True:
            if stands:
                await self._state(RolloutState.PAUSED, stands, ways)
            else:
                await self._state(RolloutState.BAKING if step.action == Action.BAKE else RolloutState.RUNNING, "")
            outcome = asyncio.create_task(self._outcome(step, until, stands=bool(stands)))
            watch = asyncio.create_task(self._watch(step))
            word = asyncio.create_task(self._word(step, ways))
            held = asyncio.create_task(self.wishes.next("pause"))
            others = [asyncio.create_task(event.wait()) for event in (self.wishes.aborted, self.wishes.overtaken)]
            tasks: tuple[asyncio.Task[Any], ...] = (outcome, watch, word, held, *others)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if self.wishes.overtaken.is_set():
                    await self._start([step])  # raises EpochLost, and says who it is
                if self.wishes.aborted.is_set():
                    raise Aborted
                if watch.done():
                    watch.result()  # raises: it does not end otherwise
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            if _has_ended(outcome):
                ended = outcome.result()  # or the failure
                if ended is None or ended.verdict == "successful":
                    return ended.why if ended is not None else ""
                stands = f"{_named(step)} is inconclusive: {ended.why}{self._ways_on()}"
                ways = ("promote", "retry")
            elif _has_ended(word):
                request = word.result()
                if request.kind == "promote":
                    return await self._promoted(step, request)
                await self._measuring(step).begin_anew()
                if until is not None:
                    until = await self._begin_time(step)
                await self.wishes.answer(request, "it is measured anew")
                stands, ways = "", ("promote",)
            else:
                request = held.result()
                if stands:
                    await self.wishes.answer(request, "it stands still already", state="refused")
                else:
                    await self.wishes.answer(request, "paused at once, its time runs on")
                    await self.stand_still(held_words(request), "resume")

    async def _outcome(self, step: Step, until: float | None, *, stands: bool) -> "Ended | None":
        """How it ends by itself: its time is over (None), or what its analysis has come to. Raises StepFailed where that is a failure."""
        ended = None
        if not stands and step.body.get("analyses"):
            ended = await self._measuring(step).verdict(until)
            if ended.verdict == "failed":
                raise StepFailed(step, f"{_named(step)} failed: {ended.why}", release_at_fault=True)
            if until is None or ended.verdict != "successful":
                return ended
        await _sleep_until(None if stands else until)
        return ended

    def _measuring(self, step: Step) -> "Analysing":
        from quarterdeck.rollouts.worker.analysing import Analysing

        return Analysing(self, step)

    def _ways_on(self) -> str:
        return f"; qd promote {self.rollout} goes on, qd retry {self.rollout} measures again, qd abort {self.rollout}"

    async def _end_of(self, step: Step) -> float:
        """Its end on the clock of this boot, journalled when it begins: a worker that takes over waits for what remains, not for
        all of it again."""
        boot = process_identity(os.getpid())[1]
        mine = {
            "seq": step.seq,
            "op_id": step.op_id,
            "boot": boot,
        }  # another attempt at the step has its whole time before it
        for event in self.journal.reader.events(rollout=self.rollout, kind="pause.until", newest_first=True):
            if mine.items() <= event.body.items():
                return float(event.body["until"])
        return await self._begin_time(step)

    async def _begin_time(self, step: Step) -> float:
        boot = process_identity(os.getpid())[1]
        seconds = float(step.body["seconds"])
        until = time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
        await self.journal.do(
            self.journal.journal.record,
            "pause.until",
            target=self.work.target.name,
            rollout=self.rollout,
            body={
                "seq": step.seq,
                "op_id": step.op_id,
                "until": until,
                "boot": boot,
                "seconds": seconds,
                "action": step.action,
            },
        )
        return until

    # promoting

    async def _word(self, step: Step, ways: Sequence[str]) -> Request:
        """The first wish, of those that make sense here, that is about this step; others are answered."""
        while True:
            request = await self.wishes.next("promote", "resume", "retry", "skip")
            if request.kind not in ways:
                meant = " or ".join(f"qd {way} {self.rollout}" for way in ways)
                why = f"it waits, and goes on with {meant}"
            elif request.step not in (None, step.seq):
                why = f"it stands at step {step.seq} now, and this was asked at step {request.step}"
            else:
                return request
            await self.wishes.answer(request, why, state="refused")

    async def _promoted(self, step: Step, request: Request) -> str:
        told = f"promoted by {request.by}"
        if request.arguments.get("full"):
            await self._leave_out_pauses(told)
        await self._state(RolloutState.RUNNING, told)
        await self.wishes.answer(request, f"goes on after step {step.seq}")
        return told

    async def _promote_in_full_if_asked(self) -> None:
        """Between two waves: no pause that is still to come stops it then."""
        request = self.wishes.pending("promote")
        if request is not None and request.step is None and request.arguments.get("full"):
            await self._leave_out_pauses(f"promoted by {request.by}")
            await self.wishes.answer(request, "no pause stops it any more")

    def _left_out(self, step: Step) -> bool:
        """Whether a promotion has passed it over since the plan was read."""
        now = {one.seq: one.state for one in self.journal.reader.steps(self.rollout)}
        return now[step.seq] is StepState.SKIPPED

    async def _leave_out_pauses(self, why: str) -> None:
        for step in self.journal.reader.steps(self.rollout):
            if step.action == Action.PAUSE and step.state is StepState.PENDING:
                await self._end(step, StepState.SKIPPED, {"why": why})

    # watching

    async def _watch(self, step: Step) -> None:
        """Runs until cancelled, or until a host refutes the release that the step is about (StepFailed)."""
        release = step.body.get("release")  # none: a pause between two batches
        try:
            async with asyncio.TaskGroup() as group:
                for host in self.having(str(release)) if release else ():
                    group.create_task(self._watch_host(step, host))
                group.create_task(asyncio.Event().wait())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several

    async def _watch_host(self, step: Step, host: str) -> None:
        health = self.work.release.health
        pause = max(LOOK, health.interval if health is not None else 0.0)
        looks = unwell = 0
        while True:
            try:
                what = await self._unwell(step, host, read_back=looks % READ_BACK == 0)
            except Unreachable as error:
                log.warning("not asked while waiting, host=%s reason=%s", host, error)
                await self._back_again(host)
            except BackendError as error:
                log.warning("not asked while waiting, host=%s reason=%s", host, error)
            else:
                unwell = unwell + 1 if what else 0
                if unwell >= FAILS:
                    version = self.work.release.version
                    raise StepFailed(step, f"{host}: {version} does not hold: {what}", release_at_fault=True)
            looks += 1
            await asyncio.sleep(pause)

    async def _unwell(self, step: Step, host: str, *, read_back: bool) -> str:
        """What is wrong with the release there, in words; empty: nothing. Raises BackendError; StepFailed where somebody has put
        another release there."""
        release = self.work.release
        connection = await self.work.crew.connection(host)
        if (read_back or release.health is None) and host not in self.with_both():
            facts = await connection.facts(self.work.target.name, self.work.target.path, release)
            if facts.current != release.id:
                why = f"{host}: runs {facts.current or 'nothing'} where {release.id} was put: somebody else changed it"
                raise StepFailed(step, why, release_at_fault=False)
            if facts.running is False:
                return "it has stopped running"
        if release.health is None:
            return ""
        outcome = await connection.check_health(release.health, release)
        return "" if outcome.healthy else self.work.masker.mask(outcome.detail) or "it is not healthy"

    async def _back_again(self, host: str) -> None:
        try:
            await self.work.crew.reconnect(host)
        except BackendError as error:
            log.warning("no new connection yet, host=%s reason=%s", host, error)
            self.work.crew.renew()


def _named(step: Step) -> str:
    return f"analysis {', '.join(map(str, step.body['analyses']))}"


def _where(step: Step) -> str:
    return f"waits at {where_words(step.body)}"


async def _sleep_until(until: float | None) -> None:
    """``until``: of CLOCK_BOOTTIME, which a machine's sleep does not stop; None: for ever."""
    if until is None:
        await asyncio.Event().wait()
        return
    await asyncio.sleep(max(0.0, until - time.clock_gettime(time.CLOCK_BOOTTIME)))


def _has_ended(task: "asyncio.Task[Any]") -> bool:
    return task.done() and not task.cancelled()
