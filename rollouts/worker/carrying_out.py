"""Carrying the plan out to its end: success, what is still owed, or taking it back. Success is only what was read back."""

import asyncio
import contextlib

from quarterdeck.backends.errors import Fenced
from quarterdeck.config.model import OnUnreachable
from quarterdeck.history.errors import EpochLost, JournalBusy, JournalFull
from quarterdeck.history.records import RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.outcome import UNCHANGED
from quarterdeck.rollouts.plans.plan import Action, HostNow
from quarterdeck.rollouts.plans.undoing import stays
from quarterdeck.rollouts.worker.armed import Armed, with_host
from quarterdeck.rollouts.worker.drilling import Drilling
from quarterdeck.rollouts.worker.journal_thread import WAY_BACK
from quarterdeck.rollouts.worker.standing import may_have_changed, moves, version_of
from quarterdeck.rollouts.worker.standing_still import Aborted
from quarterdeck.rollouts.worker.steps import StepFailed, Work
from quarterdeck.rollouts.worker.waves import Waves

BESIDE_HOSTS = (Action.HOOK, Action.FLAG, Action.SHARE, Action.ROUTE)  # change what is no host's release
CLEAN_UP_AFTER = 0.25  # seconds between the end that is journalled and the removal of old releases


class CarryingOut(Drilling):
    async def _carry_out(
        self, steps: list[Step], armed: Armed, work: Work, epoch: int, waves: Waves | None = None
    ) -> None:
        """``waves``: those that it stood still with before, which know what was measured meanwhile."""
        if self.rollout.kind is RolloutKind.DRILL:
            await self._practise(steps, armed, work, epoch)
            return
        waves = waves or Waves(self.id, epoch, work, self.journal, self.wishes)
        rollback = self.rollout.kind is RolloutKind.ROLLBACK
        if rollback:
            self.journal.patience = WAY_BACK
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
                    await self._ask_what_to_do(waves, failure, main)
        except Fenced as error:
            await self._end(
                epoch, RolloutState.FAILED, f"{error}: somebody drives this target from another journal", cause="fenced"
            )
            return
        except Aborted as error:
            await self._aborted(armed, work, epoch, error.why)
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

    async def _ask_what_to_do(self, waves: Waves, failure: StepFailed, steps: list[Step]) -> None:
        """``steps``: whose safeguards go on being measured. One that fails meanwhile is told in front of what it stands at."""
        ways = "retry or abort" if failure.step.action == Action.APPROVAL else "retry, skip or abort"
        why, ways_on, at = f"{failure.why}; {ways}", ("retry", "skip", "resume"), self._failed()
        try:
            request = await waves.stand_still_guarded(steps, why, *ways_on, at=at)
        except StepFailed as refuted:
            request = await waves.stand_still(f"{refuted.why}; {why}", *ways_on, at=at)
        skip = request.step or failure.step.seq if request.kind == "skip" else None
        await self._try_failed_again(waves.epoch, skip=skip)
        self.crew.renew()
        waves.failures.clear()
        waves.lost.clear()

    async def _finished(self, armed: Armed, waves: Waves, epoch: int, finish: list[Step]) -> None:
        journal = self.journal.journal
        name = armed.release.version
        observed = await self._observed(armed)
        left_out = self._left_out(armed)
        skipped = [
            step.host
            for step in self.journal.reader.steps(self.id)
            if step.action in (Action.SWITCH, Action.VERIFY) and step.state is StepState.SKIPPED
        ]
        failures = self._that_count(waves.failures)
        hooks = [f for f in failures if f.step.body.get("reverse")]  # their hosts run what they are to run
        of_hosts = [f.step.host for f in failures if f.place == f.step.host and f not in hooks]
        unfinished = list(dict.fromkeys(of_hosts + [host.host for host in left_out] + skipped))
        elsewhere = [failure for failure in failures if failure.place != failure.step.host]  # of a router or a flag
        finish = [step for step in finish if step.host not in unfinished]
        passed_over = [HostNow(host, error="skipped by an operator") for host in dict.fromkeys(skipped)]
        await self._owe([*left_out, *passed_over], armed.release.id)
        for debt in self.journal.reader.debts(self.target.name):
            if debt.host in self.crew.hosts and debt.host not in unfinished:
                await self.journal.do(journal.settle_debt, self.target.name, debt.host)
        leaving = armed.leaving if armed.leaving and self.journal.reader.release(armed.leaving) is not None else None
        partial = self.rollout.partial  # then the other hosts go on with what is left here, which is no word against it
        rollback = self.rollout.kind is RolloutKind.ROLLBACK
        left_as_bad = leaving if rollback and leaving != armed.release.id and not partial else None

        def proved(*, good: bool) -> None:
            journal.observe(observed, self.id)
            if left_as_bad is not None:
                why = self.rollout.reason or f"rolled back by rollout {self.id}"
                journal.judge(left_as_bad, "bad", why, rollout=self.id)
            if good and not partial:
                journal.judge(armed.release.id, "good", "", rollout=self.id)

        total = len(self.crew.hosts)
        standing = self._hooks_that_stand(armed, hooks) if rollback else ""
        if (unfinished or elsewhere or hooks) and rollback:
            away = [with_host(host) for host in armed.hosts if host.error and not (host.late and host.host in of_hosts)]
            why = "; ".join(dict.fromkeys([f.why for f in failures] + away))
            missing = f", not {', '.join(unfinished)}" if unfinished else ""
            missing += "".join(f", and {place} was not put back" for place in dict.fromkeys(f.place for f in elsewhere))
            missing += "".join(f", and {told}" for told in dict.fromkeys(_not_undone(f, armed) for f in hooks))
            now = f"{total - len(unfinished)} of {total} hosts run {name}{missing} ({why}){standing}. "
            changed = self._changed_something()
            way_on = "When they are back:" if unfinished and changed else "When that is mended:"
            way_on = way_on if changed else f"No host was changed. {way_on}"
            await self._end(
                epoch,
                RolloutState.FAILED,
                f"{now}{way_on} qd retry {self.id}",
                cause="partly" if changed else UNCHANGED,
                with_it=lambda: proved(good=False),
            )
            return
        owed = f"; owed: {', '.join(unfinished)} (qd retry {self.id})" if unfinished else ""
        await self._end(
            epoch,
            RolloutState.SUCCEEDED,
            f"{name} runs on {total - len(unfinished)} of {total} hosts, read back and healthy{owed}{standing}",
            with_it=lambda: proved(good=True),
        )
        if finish:
            # The rollout is over and said so: cleaning up changes nothing about that, whatever happens to it. Those who wait for
            # the end have the machine first.
            await asyncio.sleep(CLEAN_UP_AFTER)
            with contextlib.suppress(EpochLost, Fenced, StepFailed):
                await waves.carry_out(
                    finish, stop_at_failure=False, on_unreachable=OnUnreachable.CONTINUE, heed_wishes=False
                )

    def _hooks_that_stand(self, armed: Armed, failed: list[StepFailed]) -> str:
        """In words, what hooks of releases that were left have done and nobody has undone, ``failed`` left out; empty: nothing."""
        known = self.arming.known_releases(armed.release)
        told = [{"host": f.step.host, **f.step.body} for f in failed]
        found: dict[str, None] = {}
        for one in self.arming.to_undo(armed.release.id, armed.leaving, known):
            version = version_of(armed, one.release)
            for hook in one.irreversible:
                found[f"hook {hook.run!r} of {version} can't be undone"] = None
            for ran in stays(one, told):
                found[f"hook {one.hook(ran).run!r} of {version} was not undone on {ran.host}"] = None
        return "".join(f"; {words}" for words in found)

    def _changed_something(self) -> bool:
        """Whether this rollout moved a host or ran a hook, or may have."""
        return any(
            (moves(step) or step.action in BESIDE_HOSTS) and may_have_changed(step)
            for step in self.journal.reader.steps(self.id)
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


def _not_undone(failure: StepFailed, armed: Armed) -> str:
    """Names the hook by the command that was to undo it."""
    body = failure.step.body
    return f"hook {body['run']!r} of {version_of(armed, str(body['release']))} has not undone its part on {failure.step.host}"
