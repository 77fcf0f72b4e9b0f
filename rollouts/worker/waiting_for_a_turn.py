"""Waiting for a turn, state queued, where no more than so many deploys may be under way in an environment at once.

Who begins is decided in the transaction that begins: whoever comes at the same moment finds the line as that left it. What policy says, and
what the hosts want, is asked anew when the turn has come; the place is kept meanwhile.
"""

import contextlib
import logging
from functools import partial

from quarterdeck.config.model import ApprovalPolicy
from quarterdeck.history.errors import RequestRefused, TargetBusy
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Request, RolloutKind
from quarterdeck.rollouts.approvals import tally
from quarterdeck.rollouts.refusals import busy
from quarterdeck.rollouts.worker.armed import Armed, CannotBegin
from quarterdeck.rollouts.worker.waiting_for_words import WaitingForWords, rejected

log = logging.getLogger("quarterdeck.worker")

FORGOTTEN = (
    900.0  # seconds without a worker after which a deploy that waited does not begin: nobody expects it any more
)
LOOK = 5.0  # seconds between two looks at the line where nothing is journalled: a place is lost without an event


class NotItsTurn(Exception):
    """As many as may be are under way, or others came earlier. Nothing was written."""


class WaitingForTurn(WaitingForWords):
    unheard_of = 0.0  # seconds since the worker before this one gave word

    @property
    def places(self) -> int | None:
        """How many may be under way in the environment; None: it waits for no turn, as a rollback."""
        told = self.rollout.options.get("max_parallel")
        return int(told) if told and self.rollout.kind is RolloutKind.DEPLOY else None

    def take_turn(self, journal: Journal) -> None:
        """Within the transaction that begins. What takes the place of a rollout that has begun has its place in the environment, too.
        Raises ``NotItsTurn``; who sets the queue aside goes on, and that is journalled with whom it passed."""
        places = self.places
        if places is None:
            return
        active = journal.active(self.target.name)
        if active is not None and active.id != self.id and active.epoch > 0:
            return
        line = journal.line(self.id)
        if line.has_room(places):
            return
        if "queue" not in (self.rollout.options.get("override") or ()):
            raise NotItsTurn
        from quarterdeck.rollouts.queueing import line_words

        words = line_words(line, places, self.target.environment)
        body = {"policy": "queue", "words": words, "reason": self.rollout.reason}
        journal.record("override", target=self.target.name, rollout=self.id, body=body)

    async def await_turn(self, wanted: ApprovalPolicy | None, request: Request | None) -> None:
        """Waits in the line until its turn has come. ``wanted``: who must have agreed, and may still say no. Raises ``CannotBegin``,
        ``Overtaken``."""
        places = self.places
        assert places is not None
        told_last = await self._take_place(places, request)
        while True:
            self.wishes.moved.clear()
            reader = self.journal.reader
            if wanted is not None:
                told = tally(wanted, reader.rollout(self.id), reader.approvals(self.id))
                if told.rejected is not None:
                    raise rejected(told)
            line = reader.line(self.id)
            if line.has_room(places):
                return
            words = self._words(reader, places)
            if words != told_last:
                told_last = words
                await self._while_it_waits(partial(self.journal.journal.join_queue, self.id, words))
            await self._something(LOOK)

    async def _take_place(self, places: int, request: Request | None) -> str:
        """From armed to queued, or only into the line. The sentence that was journalled. Raises ``CannotBegin``, ``Overtaken``."""
        journal = self.journal.journal

        def join() -> str:
            words = self._words(journal, places)
            journal.join_queue(self.id, words, supersede=bool(self.rollout.options.get("supersede")))
            if request is not None:
                with contextlib.suppress(RequestRefused):  # answered already
                    journal.answer(request.id, "done", words)
            return words

        try:
            words = await self._while_it_waits(lambda: journal.together(join, rollout=self.id))
        except TargetBusy as error:
            if request is not None:
                await self.wishes.answer(request, busy(error.active), state="refused")
            why = f"{busy(error.active)}; what waits for its turn does not stop it; nothing was changed"
            raise CannotBegin("busy", why) from error
        if request is not None:
            self.wishes.forget(request)
        log.info("waits for its turn, rollout=%d", self.id)
        return words

    def _words(self, journal: Journal, places: int) -> str:
        from quarterdeck.rollouts.queueing import turn_words

        return turn_words(journal.line(self.id), places, self.target.environment)

    def refuse_if_forgotten(self) -> None:
        """Of one that waited when its worker died. Raises ``CannotBegin``."""
        if self.unheard_of > FORGOTTEN:
            raise CannotBegin(
                "silence",
                f"nobody was at work on it for {self.unheard_of / 60:.0f} minutes while it waited for its turn: it does not begin "
                "unexpectedly, deploy it anew; nothing was changed",
            )

    async def armed_for_its_turn(self, armed: Armed | None) -> Armed:
        """The plan as the hosts want it now, where nobody has to agree to it. Raises ``CannotBegin``, ``Overtaken``."""
        release = self._queued_release() if armed is None else armed.release
        again = await self.arming.arm_again(release, armed)
        await self.arming.check_policy(release)
        set_plan = self.journal.journal.set_plan
        to, leaving = again.release.id, again.leaving
        await self._while_it_waits(
            partial(set_plan, self.id, again.body, again.plan_hash, to_release=to, from_release=leaving)
        )
        return again
