"""Waiting in the middle of a plan until enough people have agreed to going on, state paused; hosts with the new release are watched.

The plan holds who must agree, so its hash tells that as well. The time runs on the clock of this boot, from when the step began to wait:
a worker that takes over waits for what is left. Nobody promotes or skips it; a no and an abort take the release back.
"""

import asyncio
from typing import Any, NoReturn

from quarterdeck.config.model import OnTimeout
from quarterdeck.history.approvals import seconds_left
from quarterdeck.history.records import RolloutState, Step, StepState
from quarterdeck.rollouts.approvals import Tally, wanted_at
from quarterdeck.rollouts.approving import Waiting, standing, until_words
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.worker.standing_still import Aborted
from quarterdeck.rollouts.worker.waiting_out import WaitingOut


class WaitingAtApprovals(WaitingOut):
    async def _over(self, step: Step) -> str:
        if step.action != Action.APPROVAL:
            return await super()._over(step)
        journal = self.journal.journal
        wanted = dict(step.body["approval"])
        asked = await self.journal.do(journal.want_approvals_at, self.rollout, self.epoch, step.seq, wanted)
        watch = asyncio.create_task(self._watch(step))
        refusing = asyncio.create_task(self._refuse_wishes(step))
        others = [asyncio.create_task(event.wait()) for event in (self.wishes.aborted, self.wishes.overtaken)]
        tasks: tuple[asyncio.Task[Any], ...] = (watch, refusing, *others)
        told_last = ""
        try:
            while True:
                self.wishes.moved.clear()
                now = self._asked(step)
                left = seconds_left(asked)
                if now.tally.rejected is not None or not now.tally.missing or left <= 0:
                    return await self._decided(step, late=left <= 0)
                if now.words != told_last:
                    told_last = now.words
                    await self._state(RolloutState.PAUSED, now.words, ("approve",))
                await self._something(step, tasks, left)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _something(self, step: Step, tasks: tuple[asyncio.Task[Any], ...], left: float) -> None:
        """Until something was journalled, or the time is over. Raises StepFailed, Aborted, EpochLost."""
        moved = asyncio.create_task(self.wishes.moved.wait())
        try:
            await asyncio.wait((moved, *tasks), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self.wishes.overtaken.is_set():
                await self._start([step])  # raises EpochLost, and says who it is
            if self.wishes.aborted.is_set():
                raise Aborted
            for task in tasks:
                if task.done():
                    task.result()  # raises: none of them ends otherwise
        finally:
            moved.cancel()
            await asyncio.gather(moved, return_exceptions=True)

    def _asked(self, step: Step) -> Waiting:
        reader = self.journal.reader
        return standing(reader, reader.rollout(self.rollout), wanted_at(step), step)

    async def _decided(self, step: Step, *, late: bool) -> str:
        """How it ends, by every word that was in time: a word and the step's end are never journalled at once. Raises Aborted."""
        if self.wishes.heard_abort():
            raise Aborted
        journal = self.journal.journal
        goes_on = step.body.get("on_timeout") == OnTimeout.PROMOTE

        def decide() -> tuple[Waiting, str]:
            now = standing(journal, journal.rollout(self.rollout), wanted_at(step), step)
            how = ""
            if now.tally.rejected is None and not now.tally.missing:
                how = f"approved by {', '.join(word.by for word in now.tally.given)}"
            elif now.tally.rejected is None and late and goes_on:
                how = f"nobody had to agree any more: it {now.tally.words}, and the time for that is over"
            if how:
                journal.end_step(self.rollout, self.epoch, step.seq, StepState.DONE, {"detail": how})
            return now, how

        now, how = await self.journal.do(journal.together, decide, rollout=self.rollout)
        if not how:
            _refused(now.tally, now.until)
        await self._state(RolloutState.RUNNING, how)
        return how

    async def _refuse_wishes(self, step: Step) -> NoReturn:
        """What operators may ask of other steps is not for this one: who has to agree ends it, and an abort."""
        while True:
            request = await self.wishes.next("promote", "resume", "retry", "skip", "pause")
            why = f"it waits for people to agree, at step {step.seq}: qd approve {self.rollout}"
            await self.wishes.answer(request, why, state="refused")


def _refused(told: Tally, until: str | None) -> NoReturn:
    if told.rejected is not None:
        because = f": {told.rejected.reason}" if told.rejected.reason else ""
        raise Aborted(f"rejected by {told.rejected.by}{because}")
    was = until_words(until).replace(" until ", ": it was ")
    raise Aborted(f"it {told.words}, and the time for that is over{was}")
