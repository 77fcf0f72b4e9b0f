"""Waiting for people's words, state queued: nothing is changed meanwhile, and no rollback waits for it.

The connections stay open: an SSH agent may leave with its operator, hours before somebody agrees. What was seen of the hosts is old by
then, so they are looked at once more; only the very plan that was agreed to begins.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from quarterdeck.config.model import ApprovalPolicy
from quarterdeck.config.release import Release
from quarterdeck.history.approvals import seconds_left
from quarterdeck.history.errors import RequestRefused, TargetBusy
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Request
from quarterdeck.rollouts.approvals import SHOWN_HASH, Tally, policy_value, tally
from quarterdeck.rollouts.approving import until_words
from quarterdeck.rollouts.refusals import busy
from quarterdeck.rollouts.worker.armed import Armed, CannotBegin
from quarterdeck.rollouts.worker.standing import Standing

log = logging.getLogger("quarterdeck.worker")
T = TypeVar("T")


class Overtaken(Exception):
    """Another rollout has taken the target while this one waited: it is superseded, and that was journalled."""


class WaitingForWords(Standing):
    async def _queue(self, wanted: ApprovalPolicy, plan_hash: str, request: Request | None) -> None:
        """From armed to queued: the target is taken as far as other deploys are concerned. Raises ``CannotBegin``."""
        journal = self.journal.journal
        words = f"{tally(wanted, self.journal.reader.rollout(self.id), ()).words} (plan {plan_hash[:SHOWN_HASH]})"

        def queue() -> None:
            journal.want_approvals(
                self.id, words, policy_value(wanted), supersede=bool(self.rollout.options.get("supersede"))
            )
            if request is not None:
                with contextlib.suppress(RequestRefused):  # answered already
                    journal.answer(request.id, "done", words)

        try:
            await self.journal.do(journal.together, queue, rollout=self.id)
        except TargetBusy as error:
            why = f"{busy(error.active)}; what waits for approvals does not stop it; nothing was changed"
            if request is not None:
                await self.wishes.answer(request, busy(error.active), state="refused")
            raise CannotBegin("busy", why) from error
        if request is not None:
            self.wishes.forget(request)

    async def _agreed(self, wanted: ApprovalPolicy, armed: Armed | None) -> Armed:
        """Waits until enough people have agreed to the plan that the hosts still want. ``armed``: what this worker knows of it; None: it
        has taken the rollout up. Raises ``CannotBegin``, ``Overtaken``."""
        release = self._queued_release() if armed is None else armed.release
        while True:
            await self._enough(wanted)
            armed = await self.arming.arm_again(release, armed)
            await self.arming.check_policy(release)
            now = self.journal.reader.rollout(self.id)
            if armed.plan_hash == now.plan_hash:
                return armed
            await self._changed(wanted, armed, now.plan_hash)

    def still_agreed(self, journal: Journal, wanted: ApprovalPolicy) -> None:
        """Within the transaction that begins: a no that came at the last moment counts. Raises ``CannotBegin``."""
        told = tally(wanted, journal.rollout(self.id), journal.approvals(self.id))
        if told.rejected is not None:
            raise rejected(told)
        if told.missing:
            raise CannotBegin("policy", f"it {told.words}; nothing was changed")

    def _queued_release(self) -> Release:
        row = self.journal.reader.release(self.rollout.to_release or "")
        if row is None:
            raise CannotBegin("policy", "its plan was never made; nothing was changed")
        return row.release

    async def _enough(self, wanted: ApprovalPolicy) -> None:
        """Until enough of them count, or somebody says no, or time is over."""
        told_last: int | None = None
        while True:
            self.wishes.moved.clear()
            reader = self.journal.reader
            told = tally(wanted, reader.rollout(self.id), reader.approvals(self.id))
            if told.rejected is not None:
                raise rejected(told)
            in_time = seconds_left(reader.wanted_approvals(self.id) or {}) > 0
            if not told.missing and (in_time or reader.in_queue(self.id)):  # there it was agreed to in time
                return  # what was agreed to long ago, while nobody was at work on it, does not begin unexpectedly
            if told_last not in (None, len(told.given)):
                await self._say(told)
            told_last = len(told.given)
            await self._next_move(told)

    async def _next_move(self, told: Tally) -> None:
        until = self.journal.reader.wanted_approvals(self.id) or {}
        if not await self._something(seconds_left(until)):
            words = told.words if told.missing else "was agreed to, and nobody was at work on it in time"
            raise CannotBegin("silence", f"it {words}, and the time for that is over{_was(until)}; nothing was changed")

    async def _something(self, left: float) -> bool:
        """Until something was journalled; False: so many seconds are over. Raises ``Overtaken``, ``CannotBegin`` when it is withdrawn."""
        withdrawn = asyncio.create_task(self.wishes.next("cancel", "abort"))
        overtaken = asyncio.create_task(self.wishes.overtaken.wait())
        moved = asyncio.create_task(self.wishes.moved.wait())
        tasks = (withdrawn, overtaken, moved)
        try:
            done, _ = await asyncio.wait(tasks, timeout=max(left, 0.0), return_when=asyncio.FIRST_COMPLETED)
            if overtaken in done:
                raise Overtaken
            if withdrawn in done:
                request = withdrawn.result()
                await self.wishes.answer(request, "cancelled before the first change")
                raise CannotBegin("cancelled", f"cancelled by {request.by}; nothing was changed")
            return bool(done)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _say(self, told: Tally) -> None:
        """Who is waited for now, where everybody sees it."""
        words = f"{told.words} (plan {self.journal.reader.rollout(self.id).plan_hash[:SHOWN_HASH]})"
        journal = self.journal.journal
        await self._while_it_waits(lambda: journal.want_approvals(self.id, words, policy_value(told.wanted)))

    async def _changed(self, wanted: ApprovalPolicy, armed: Armed, before: str) -> None:
        """The hosts want another plan than the one that was agreed to: that one is shown, and waited for."""
        journal = self.journal.journal
        after = armed.plan_hash
        now = self.journal.reader.rollout(self.id)
        words = tally(wanted, now, ()).words
        told = f"{words} (plan {after[:SHOWN_HASH]}: the hosts have changed, what was said was about plan {before[:SHOWN_HASH]})"

        def change() -> None:
            journal.set_plan(self.id, armed.body, after, to_release=armed.release.id, from_release=armed.leaving)
            waited = journal.leave_queue(self.id)  # its turn has come, and it can't take it
            journal.want_approvals(self.id, told, policy_value(wanted), afresh=waited)

        await self._while_it_waits(lambda: journal.together(change, rollout=self.id))
        log.info("the plan has changed while it waited, rollout=%d plan=%s", self.id, after)

    async def _while_it_waits(self, write: Callable[[], T]) -> T:
        """Raises ``Overtaken`` when it does not wait any more: a rollback came between."""
        try:
            return await self.journal.do(write)
        except RequestRefused as error:
            raise Overtaken from error


def rejected(told: Tally) -> CannotBegin:
    assert told.rejected is not None
    why = f": {told.rejected.reason}" if told.rejected.reason else ""
    return CannotBegin("rejected", f"rejected by {told.rejected.by}{why}; nothing was changed")


def _was(until: Mapping[str, Any]) -> str:
    return until_words(until.get("until")).replace(" until ", ": it was ") if until.get("until") else ""
