"""Taking a rollout back: an abort, or a failure that policy answers by itself. No wish of an operator stops it."""

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.backends.errors import Fenced
from quarterdeck.backends.secrets import Masker
from quarterdeck.config.model import OnUnreachable
from quarterdeck.history.errors import EpochLost, JournalBusy, JournalFull
from quarterdeck.history.records import RolloutKind, RolloutState, Step
from quarterdeck.rollouts.plans.flags import flag_words, flags_first, to_put_back
from quarterdeck.rollouts.plans.plan import Action, HostNow, Plan, PlannedStep, Touched, back_to, plan_take_back
from quarterdeck.rollouts.worker.armed import Armed
from quarterdeck.rollouts.worker.failing import lasting
from quarterdeck.rollouts.worker.journal_thread import WAY_BACK
from quarterdeck.rollouts.worker.standing import Standing, masked_values, may_have_changed, version_of
from quarterdeck.rollouts.worker.steps import StepFailed, Work
from quarterdeck.rollouts.worker.waves import Waves

if TYPE_CHECKING:
    from quarterdeck.rollouts.plans.traffic import Traffic


class TakingBack(Standing):
    async def _aborted(self, armed: Armed, work: Work, epoch: int, why: str = "") -> None:
        """``why``: in place of who asked for it."""
        request = self.wishes.abort_request
        by = request.by if request else "an operator"
        if self.rollout.kind is RolloutKind.ROLLBACK:
            await self._observe_steps(armed)
            await self._end(epoch, RolloutState.FAILED, f"rollback aborted by {by}: {self._mixed()}", cause="aborted")
        else:
            await self._take_back(armed, work, epoch, why or f"aborted by {by}", at_fault=False)

    async def _take_back(self, armed: Armed, work: Work, epoch: int, why: str, *, at_fault: bool) -> None:
        journal = self.journal.journal
        self.journal.patience = WAY_BACK

        def turn_back() -> int:
            raised = journal.turn_back(self.id, epoch, why, self._turned_back())
            if at_fault:
                journal.judge(armed.release.id, "bad", why, rollout=self.id)
            return raised

        # What it has begun and does not wait for any more (a start, a hook) may still run on the hosts: under a new epoch it is ended
        # there instead of waited for, and nothing of it comes afterwards.
        # Who goes on with it is not told whose fault it was: that is written with it, or not at all.
        epoch = await self.journal.do(journal.together, turn_back, rollout=self.id, urgent=True)
        work.fence = msgspec.structs.replace(work.fence, epoch=epoch)
        self._epoch = epoch
        steps = self.journal.reader.steps(self.id)
        seen = {host.host: host for host in armed.hosts}
        stable = armed.leaving if armed.leaving != armed.release.id else None
        moved = [step.host for step in steps if step.action in (Action.STOP, Action.SWITCH) and may_have_changed(step)]
        # What a rollout that this one superseded had begun goes back with it: nobody else comes and does it.
        others = [name for name in sorted(self._left_half_way() & seen.keys()) if seen[name].error is None]
        touched = [_touched(seen[name], stable) for name in dict.fromkeys(moved + others)]
        hooks_done = [{"host": s.host, **s.body} for s in steps if s.action == Action.HOOK and may_have_changed(s)]
        plan = plan_take_back(
            touched,
            hooks_done,
            armed.release.hooks,
            self.target.rollback.max_unavailable,
            leaving=armed.release.id,
            traffic=_back(steps, armed),
        )
        plan = flags_first(plan, to_put_back(steps), and_last=True)
        last_wave = max((step.batch for step in steps), default=0)
        last_seq = max((step.seq for step in steps), default=0)
        new = await self._add_steps(epoch, plan, after=last_seq, wave=last_wave + 1)
        await self._go_back(new, armed, work, epoch, why)

    async def _go_back(self, steps: list[Step], armed: Armed, work: Work, epoch: int, why: str) -> None:
        """Carries the steps of taking back out; no wish of an operator stops it and no host waits for another."""
        self.journal.patience = WAY_BACK
        now = self.journal.reader.rollout(self.id)
        if (now.state, now.outcome) != (RolloutState.ROLLING_BACK, why):
            set_state = self.journal.journal.set_state
            await self.journal.do(set_state, self.id, epoch, RolloutState.ROLLING_BACK, outcome=why)
        work.taking_back = True
        self.crew.renew()
        for name in {str(step.body["release"]) for step in steps if step.body.get("release")}:
            if name not in work.secrets and name in work.releases:
                old = await self._secrets_of(work.releases[name])
                work.secrets = {**work.secrets, name: old.to_write}
                armed.masked.append(old.readable)
        values = masked_values(*work.secrets.values(), *armed.masked)
        work.masker = Masker(values)
        self.telling.hide(values)
        waves = Waves(self.id, epoch, work, self.journal, self.wishes)
        try:
            await waves.carry_out(
                steps, stop_at_failure=False, on_unreachable=OnUnreachable.CONTINUE, heed_wishes=False
            )
        except Fenced as error:
            await self._end(epoch, RolloutState.FAILED, f"{why}; taking it back was refused: {error}", cause="fenced")
            return
        await self._observe_steps(armed)
        failures = self._that_count(waves.failures)
        if failures:
            names = ", ".join(dict.fromkeys(f.place for f in failures))
            reasons = "; ".join(dict.fromkeys(f.why for f in failures))
            again = ", as before" if reasons == why else f": {reasons}"
            # Of a target's first release there is nothing that a rollback could go to: whatever comes next finishes it.
            finish = f"qd rollback {self.target.name}" if armed.leaving else f"qd deploy {self.target.name} VERSION"
            await self._end(
                epoch,
                RolloutState.FAILED,
                f"{why}; not taken back on {names}{again}. {self._mixed()}. To finish: {finish}",
                cause="partly",
            )
            return
        back = Counter(
            str(step.body["release"]) if step.action == Action.SWITCH else None
            for step in steps
            if step.action in (Action.SWITCH, Action.WITHDRAW)
        )
        where = ", ".join(
            f"{version_of(armed, name)} on {count} host{'s' if count != 1 else ''}" for name, count in back.items()
        )
        flags = "".join(
            f", flag {flag_words(s.body)}" for s in steps if s.action == Action.FLAG and "again" not in s.body
        )
        where = f"{where or 'no host had been changed'}{flags}"
        await self._end_back(armed, epoch, why, where)
        if self.rollout.kind is not RolloutKind.DRILL:  # that judges nothing
            await self._tell_hosts(steps, armed, waves, epoch)

    def _turned_back(self) -> RolloutState:
        """What it is in from the moment that it goes back."""
        return RolloutState.ABORTING

    async def _end_back(self, _armed: Armed, epoch: int, why: str, where: str) -> None:
        """All that was changed is as it was. ``where``: which release runs on how many hosts, in words."""
        await self._end(epoch, RolloutState.ROLLED_BACK, f"{why}; taken back: {where}")

    def _that_count(self, failures: list[StepFailed]) -> list[StepFailed]:
        """Without those of flags and routers that were put back at a later try."""
        steps = self.journal.reader.steps(self.id)
        up = {one.flag for one in to_put_back(steps)}
        return [f for f in lasting(failures, steps) if f.step.action != Action.FLAG or f.step.body["flag"] in up]

    async def _tell_hosts(self, steps: list[Step], armed: Armed, waves: Waves, epoch: int) -> None:
        """A release that was good before and is bad now stands in the hosts' list of good ones, from which a lost journal would
        be rebuilt: the hosts are told. One that never was good stands in none, and costs nothing. What an earlier worker died
        before it could tell is told here as well: the hosts' lists, read while arming, show it."""
        rows = self.journal.reader.releases(self.target.name, limit=50)
        good = {row.id for row in rows if row.verdict == "good"}
        refuted = {row.id for row in rows if row.verdict == "bad" and row.last_good is not None}
        back = {step.host: str(step.body["release"]) for step in steps if step.action == Action.SWITCH}
        runs = {host.host: host.current for host in armed.hosts if host.error is None} | back
        behind = {host.host for host in armed.hosts if refuted & host.good}
        if armed.release.id in refuted:
            behind |= back.keys()
        told = [
            PlannedStep(0, host, Action.FINISH, {"release": release})
            for host, release in runs.items()
            if host in behind and release in good and host not in waves.lost
        ]
        if not told:
            return
        waves.work.bad |= refuted
        every = self.journal.reader.steps(self.id)
        with contextlib.suppress(EpochLost, Fenced, StepFailed, JournalBusy, JournalFull):
            new = await self._add_steps(
                epoch,
                Plan(tuple(told), (), ()),
                after=max(step.seq for step in every),
                wave=max(step.batch for step in every) + 1,
            )
            await waves.carry_out(new, stop_at_failure=False, on_unreachable=OnUnreachable.CONTINUE, heed_wishes=False)


def _back(steps: list[Step], armed: Armed) -> "Traffic | None":
    """Where the requests go back to: the slot of what was there before. None: the plan had no router in it."""
    into = next((step for step in steps if "slot" in step.body), None)
    if into is None:
        return None
    from quarterdeck.backends.routers.contract import Slot
    from quarterdeck.rollouts.plans.traffic import Traffic

    router = next((str(step.body["router"]) for step in steps if "router" in step.body), "")
    rules = any(step.action == Action.ROUTE and may_have_changed(step) for step in steps)
    slot = Slot(str(into.body["slot"]))
    was = into.body.get("was")  # its slot had servers before
    if armed.leaving == armed.release.id:  # the same release anew: its slot is the one that serves
        return Traffic(router, str(slot), stable=True, rules=rules, back_to=float(was) if was else None)
    return Traffic(router, str(slot.other), stable=True, rules=rules, back_to=100.0 - float(was) if was else None)


def _touched(host: HostNow, stable: str | None) -> Touched:
    back = back_to(host, stable)
    return Touched(host.host, back, has_copy=back is None or back in host.kept)
