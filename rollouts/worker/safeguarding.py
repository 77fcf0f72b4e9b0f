"""Safeguards: analyses that are measured beside all other steps, from the moment that a feature flag is up.

One that fails ends what is under way and has the rollout taken back. One that can't tell lets what is under way end, and then nothing goes
on without a person.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from quarterdeck.backends.errors import BackendError
from quarterdeck.history.records import Request, Step, StepState
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.worker.steps import StepFailed
from quarterdeck.rollouts.worker.waiting_at_approvals import WaitingAtApprovals

if TYPE_CHECKING:
    from quarterdeck.rollouts.analysis.course import Ended

T = TypeVar("T")


class Safeguarding(WaitingAtApprovals):
    _guard: "asyncio.Task[Ended] | None" = None
    _guarded: Step | None = None  # the step that names the safeguards
    _refuted = False  # they have failed, and a person has said that it is tried again

    async def guarded(self, steps: Sequence[Step], work: Callable[[], Awaitable[T]]) -> T:
        """Does ``work`` while the safeguards of ``steps`` are measured, if their flag is up by now. Raises ``StepFailed``,
        Aborted, and what ``work`` does."""
        await self._begin(steps)
        await self.heed_safeguards()
        if self._guard is None:
            return await work()
        running = asyncio.ensure_future(work())
        try:
            await asyncio.wait([running, self._guard], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self._raise_if_failed()
            return await running
        finally:
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def stand_still_guarded(
        self, steps: Sequence[Step], why: str, *ways_on: str, heed_older: bool = False, at: Collection[int] = ()
    ) -> Request:
        """As ``stand_still``, with the safeguards of ``steps`` measured meanwhile: who decides may be long in coming, and the flag is up.
        Where they have failed already nothing is measured before a person has said that it is tried again. Raises ``StepFailed`` too."""
        still = partial(self.stand_still, why, *ways_on, heed_older=heed_older, at=at)
        if self._refuted:
            return await still()
        try:
            return await self.guarded(steps, still)
        finally:
            await self.end_safeguards()

    async def heed_safeguards(self) -> None:
        """Between two steps: stands still where they can't tell."""
        while self._guard is not None and self._guard.done():
            self._raise_if_failed()
            ended, step = self._guard.result(), self._guarded
            if step is None or ended.verdict == "successful":
                return
            why = f"{_named(step)} can't tell: {ended.why}; nobody else gets it"
            on = f"qd resume {self.rollout} measures anew and goes on, qd abort {self.rollout}"
            await self.stand_still(f"{why}; {on}", "resume")
            await self._anew(step)

    async def end_safeguards(self) -> None:
        """Measures no more; the next time that something is guarded it goes on with what was measured."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.cancel()
            await asyncio.gather(guard, return_exceptions=True)

    async def _begin(self, steps: Sequence[Step]) -> None:
        step = next((one for one in steps if one.action == Action.FLAG and one.body.get("analyses")), None)
        if step is None or self._guard is not None:
            return
        now = {one.seq: one for one in self.journal.reader.steps(self.rollout)}[step.seq]
        if now.state is not StepState.DONE:
            return
        self._guarded = now
        if self._refuted:
            self._refuted = False
            await self._anew(now)
        else:
            self._guard = asyncio.create_task(self._watched(now))

    async def _anew(self, step: Step) -> None:
        await self._measuring(step).begin_anew()
        self._guard = asyncio.create_task(self._watched(step))

    async def _watched(self, step: Step) -> "Ended":
        """How it ends; a source that can't even be opened is one that can't tell."""
        from quarterdeck.rollouts.analysis.course import Ended
        from quarterdeck.rollouts.analysis.verdicts import Verdict

        try:
            return await self._measuring(step).verdict(None)
        except BackendError as error:
            return Ended(Verdict.ERROR, error.told(self.work.masker.mask))

    def _raise_if_failed(self) -> None:
        guard, step = self._guard, self._guarded
        if guard is None or step is None or not guard.done():
            return
        ended = guard.result()
        if ended.verdict == "failed":
            self._refuted = True
            failure = StepFailed(step, f"{_named(step)} failed: {ended.why}", release_at_fault=True)
            self.failures.append(failure)
            raise failure


def _names(step: Step) -> list[str]:
    return [str(name) for name in step.body["analyses"]]


def _named(step: Step) -> str:
    names = _names(step)
    return f"safeguard{'s' if len(names) > 1 else ''} {', '.join(names)}"
