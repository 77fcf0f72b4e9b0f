"""What carrying steps out stands on: one step's beginning and end in the journal, and standing still until an operator says how it
goes on."""

import asyncio
from collections.abc import Collection, Sequence

from quarterdeck.history.records import Request, RolloutState, Step, StepState
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.rollouts.worker.journal_thread import JournalThread
from quarterdeck.rollouts.worker.steps import StepFailed, Work
from quarterdeck.rollouts.worker.wishes import Wishes


class Aborted(Exception):
    """An operator's abort, which always wins; or with ``why`` a no of somebody who had to agree, which is answered alike."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class StandingStill:
    def __init__(self, rollout: int, epoch: int, work: Work, journal: JournalThread, wishes: Wishes) -> None:
        self.rollout = rollout
        self.epoch = epoch
        self.work = work
        self.journal = journal
        self.wishes = wishes
        self.lost: dict[str, str] = {}  # hosts that went away during the rollout, with the reason
        self.failures: list[StepFailed] = []

    async def _start(self, steps: list[Step]) -> None:
        """One transaction for a whole wave's beginning: nothing runs on a host before this is on disk."""
        await self.journal.do(self.journal.journal.start_steps, self.rollout, self.epoch, [step.seq for step in steps])

    async def _end(self, step: Step, state: StepState, outcome: dict[str, object]) -> None:
        await self.journal.do(self.journal.journal.end_step, self.rollout, self.epoch, step.seq, state, outcome)

    def having(self, release: str) -> list[str]:
        """The hosts on which it runs by now, as far as this rollout has seen."""
        steps = self.journal.reader.steps(self.rollout)
        has = {s.host: s.state is StepState.DONE or bool(s.body.get("untouched")) for s in steps if _tells(s, release)}
        return [host for host, there in has.items() if there and host not in self.lost]

    def still_on_the_old_one(self) -> list[str]:
        steps = self.journal.reader.steps(self.rollout)
        waiting = [s.host for s in steps if s.action == Action.SWITCH and s.state is StepState.PENDING]
        return [host for host in dict.fromkeys([*waiting, *self.with_both()]) if host not in self.lost]

    def with_both(self) -> list[str]:
        """Hosts on which the release runs beside the one before, which still is current there."""
        steps = self.journal.reader.steps(self.rollout)
        retired = {s.host for s in steps if s.action == Action.RETIRE and s.state is not StepState.PENDING}
        return [s.host for s in steps if s.outcome.get("beside") and s.host not in retired]

    async def stand_still(self, why: str, *ways_on: str, heed_older: bool = False, at: Collection[int] = ()) -> Request:
        """Paused until an operator says one of ``ways_on`` (that wish is given back), or aborts (Aborted).

        Wishes from before are about something else, and are refused, but for a worker that takes over (``heed_older``).
        So is one that names a step but none of those it stands ``at``, and one that makes no sense here.
        """
        if self._at_an_approval(at):  # what nobody agreed to is not passed over
            ways_on = tuple(way for way in ways_on if way != "skip")
        while not heed_older and (late := self.wishes.pending("resume", "retry", "skip")) is not None:
            await self.wishes.answer(late, "it did not stand still when this was asked", state="refused")
        await self._state(RolloutState.PAUSED, why, ways_on)
        wish = asyncio.create_task(self._sensible(ways_on, at))
        abort = asyncio.create_task(self.wishes.aborted.wait())
        overtaken = asyncio.create_task(self.wishes.overtaken.wait())
        try:
            await asyncio.wait([wish, abort, overtaken], return_when=asyncio.FIRST_COMPLETED)
            if self.wishes.overtaken.is_set():
                await self._state(RolloutState.PAUSED, why)  # raises EpochLost, and says who it is
            if self.wishes.aborted.is_set():
                raise Aborted
            request = wish.result()
        finally:
            for task in (wish, abort, overtaken):
                task.cancel()
        await self._state(RolloutState.RUNNING, f"{request.kind} by {request.by}")
        await self.wishes.answer(request, f"{request.kind}: done")
        return request

    def _at_an_approval(self, at: Collection[int]) -> bool:
        return any(
            step.seq in at and step.action == Action.APPROVAL for step in self.journal.reader.steps(self.rollout)
        )

    async def _sensible(self, ways_on: Sequence[str], at: Collection[int]) -> Request:
        """The first wish that is about this standstill; the others are answered."""
        while True:
            request = await self.wishes.next("resume", "retry", "skip", "promote", but_in_full=True)
            if request.kind == "promote":  # left open it would end a pause that nobody has seen yet
                why = f"it stands still: let it go on first, with {' or '.join(f'qd {way} {self.rollout}' for way in ways_on)}"
            elif request.kind == "skip" and self._at_an_approval(at):
                why = "an approval is not skipped: retry it, or abort it"
            elif request.kind not in ways_on:
                why = f"nothing has failed here, there is nothing to {request.kind}: resume it, or abort it"
            elif request.step is not None and at and request.step not in at:
                why = f"it stands at step {min(at)} now, and this was asked at step {request.step}"
            else:
                return request
            await self.wishes.answer(request, why, state="refused")

    async def _state(self, state: RolloutState, outcome: str, ways: Sequence[str] = ()) -> None:
        """``ways``: what an operator can ask for where it stands still, the most usual first."""
        body = {"ways": list(ways)} if ways else {}
        await self.journal.do(
            self.journal.journal.set_state, self.rollout, self.epoch, state, outcome=outcome, body=body
        )


def _tells(step: Step, release: str) -> bool:
    moves = step.action == Action.SWITCH or (step.action == Action.VERIFY and bool(step.body.get("untouched")))
    return moves and step.body.get("release") == release
