"""The worker's part of feature flags: each is looked at before the first change, set step by step, and put back before any host.

What a flag is set to is read back, and journalled as `flag.set`. Where somebody else has changed it, it goes no further. Putting it back
never raises it: what a person has switched off stays off.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.config.model import Host, Strategy, Target
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Rollout, RolloutKind, Step
from quarterdeck.rollouts.plans.flags import (
    SET,
    FlagBefore,
    flags_first,
    milestones,
    read_back,
    state_value,
    to_put_back,
    up_already,
)
from quarterdeck.rollouts.plans.plan import HostNow, Plan, plan_deploy
from quarterdeck.rollouts.worker.armed import CannotBegin
from quarterdeck.rollouts.worker.failing import StepFailed
from quarterdeck.rollouts.worker.journal_thread import JournalThread

if TYPE_CHECKING:
    from quarterdeck.backends.flags.contract import FlagChanged, FlagConnection, FlagState
    from quarterdeck.rollouts.plans.traffic import Traffic

log = logging.getLogger("quarterdeck.worker")

_AGAIN: Final = 1.0  # seconds before a flag that could not be put back is tried once more


class Flags:
    """Those of one rollout, as the fleet file declared them when it was asked for."""

    def __init__(self, rollout: Rollout, journal: JournalThread, backend: Hosts, base: Path) -> None:
        self._rollout = rollout
        self._journal = journal
        self._backend = backend
        self._base = base
        self.warnings: list[str] = []  # what the last plan has to tell

    # before the first change

    async def look(self, name: str) -> FlagBefore:
        """As it is now. Raises ``CannotBegin`` where that can't be told in percent."""
        flag = self._open(name, None)
        try:
            state = await flag.read()
        except BackendError as error:
            raise CannotBegin("flags", f"{error}; nothing was changed") from error
        if state.problems:
            why = "; ".join(state.problems)
            raise CannotBegin("flags", f"{flag.name}: {why}; nothing was changed; see: qd flag {name}")
        return FlagBefore(name, state.percent, state.enabled)

    async def plan(
        self,
        target: Target,
        hosts: Sequence[HostNow],
        release: str,
        *,
        traffic: "Traffic | None" = None,
        beside: bool = False,
    ) -> Plan:
        """A deploy by the target's strategy, after what a superseded rollout has left up. Raises ``CannotBegin``."""
        strategy: Strategy = target.strategy
        left = left_up(self._journal.reader, target.name, other_than=self._rollout.id)
        then, last = [], []
        if strategy.kind == "flag" and self._rollout.partial:
            self.warnings = [f"only some hosts get it: flag {strategy.flag} stays where it is"]
        elif strategy.kind == "flag":
            before = next((one for one in left if one.flag == strategy.flag), None) or await self.look(strategy.flag)
            self.warnings = [words] if (words := up_already(strategy, before)) else []
            then = milestones(hosts, release, strategy, before, seed=self._rollout.id)
            last = read_back(then)
        plan = plan_deploy(
            hosts,
            release,
            strategy,
            target.hooks,
            seed=self._rollout.id,
            traffic=traffic,
            beside=beside,
            then=then,
            last=last,
        )
        return flags_first(plan, left)

    # steps

    async def carry_out(self, step: Step) -> dict[str, Any]:
        """Gives the step's outcome. Raises ``StepFailed``, ``BackendError``."""
        flag = self._open(str(step.body["flag"]), step)
        if step.body.get("back"):
            return await self._put_back(step, flag)
        try:
            now = await flag.read()
        except BackendError as error:
            error.untouched = True
            raise
        percent = float(step.body["percent"])
        if now.is_at(percent) and (step.body.get("verify") or self._told(step)):
            return {"percent": percent, "already": True, "detail": f"at {now.words}"}
        left_at = self._left_at(step)
        if step.body.get("verify") or not (now.is_at(percent) or now.is_at(left_at.percent, enabled=left_at.enabled)):
            raise self._by_hand(step, flag, now, FlagBefore("", percent) if step.body.get("verify") else left_at)
        changed = await flag.set(percent)
        await self._record(step, left_at, changed)
        return _outcome(changed, f"{_words(left_at)} → {changed.state.words}")

    async def _put_back(self, step: Step, flag: "FlagConnection") -> dict[str, Any]:
        """Never raises it above where it is now; nor where that can't be told: then it is owed, and `qd rollback` tries it again."""
        percent, enabled = float(step.body["percent"]), bool(step.body["enabled"])
        try:
            changed = await flag.lower(percent, enabled=enabled)
        except Unreachable as error:
            if not step.body.get("again"):
                raise  # hosts wait for it, and it is tried again at the end
            log.warning("a flag could not be put back, once more, reason=%s", error)
            await asyncio.sleep(_AGAIN)
            changed = await flag.lower(percent, enabled=enabled)
        if changed.already:
            now = changed.state
            return {"percent": now.percent, "already": True, "detail": f"at {now.words} already"}
        with contextlib.suppress(JournalError):  # the step's outcome tells it too, and finds room in the reserve
            await self._record(step, None, changed)
        return _outcome(changed, f"{changed.before.words} → {changed.state.words}")

    def _by_hand(self, step: Step, flag: "FlagConnection", now: "FlagState", left_at: FlagBefore) -> StepFailed:
        differs = "".join(f"; {one}" for one in now.problems)
        why = f"{flag.name} is at {now.words}, and this rollout had left it at {_words(left_at)}: somebody else changed it"
        return StepFailed(step, why + differs, release_at_fault=False, untouched=True)

    def _left_at(self, step: Step) -> FlagBefore:
        """Where this rollout has left it, as far as it has come."""
        for event in self._journal.reader.events(rollout=self._rollout.id, kind=SET, newest_first=True, limit=100):
            if event.body.get("flag") == step.body["flag"]:
                return msgspec.convert({"flag": "", **event.body["after"]}, FlagBefore)
        return msgspec.convert({"flag": "", **step.body["before"]}, FlagBefore)

    def _told(self, step: Step) -> bool:
        """Whether the journal tells that it was set: a worker may have died in between."""
        events = self._journal.reader.events(rollout=self._rollout.id, kind=SET, newest_first=True, limit=100)
        return any(event.body.get("step") == step.seq for event in events)

    async def _record(self, step: Step, before: FlagBefore | None, changed: "FlagChanged") -> None:
        told = before.value if before is not None else state_value(changed.before)
        body = {"flag": step.body["flag"], "before": told, "after": state_value(changed.state), "step": step.seq}
        await self._journal.do(
            self._journal.journal.record, SET, target=self._rollout.target, rollout=self._rollout.id, body=body
        )

    def _open(self, name: str, step: Step | None) -> "FlagConnection":
        """As it was declared when this rollout was asked for; else when the one was that has changed it."""
        options = [self._rollout.options]
        if step is not None and step.body.get("of") is not None:
            options.append(self._journal.reader.rollout(int(step.body["of"])).options)
        for found in options:
            if (flag := opened(found, name, self._backend, self._base)) is not None:
                return flag
        why = f"there is no flag {name} in the fleet file any more"
        if step is None:
            raise CannotBegin("flags", f"{why}; nothing was changed")
        raise StepFailed(step, why, release_at_fault=False, untouched=True)


def opened(options: Mapping[str, Any], name: str, backend: Hosts, base: Path) -> "FlagConnection | None":
    """A flag that a rollout's ``options`` declare; None: they don't."""
    declared = (options.get("flags") or {}).get("declared") or {}
    if name not in declared:
        return None
    from quarterdeck.backends.flags.opening import open_flag
    from quarterdeck.config.flags import CommandFlag, FlagdFlag, UnleashFlag

    flag = msgspec.convert(declared[name], FlagdFlag | UnleashFlag | CommandFlag)
    return open_flag(flag, backend, msgspec.convert(options["flags"]["hosts"], dict[str, Host]), base)


def left_up(reader: Journal, target: str, *, other_than: int) -> list[FlagBefore]:
    """What the rollout that was the last to begin has changed, and has not put back, where it did not succeed."""
    last = reader.last_begun(target, other_than=other_than)
    if last is not None and not reader.steps(
        last.id
    ):  # it never came to a plan: what it took the place of stands half-way
        last = next(
            (one for one in reader.rollouts(target, limit=50) if one.id < last.id and reader.steps(one.id)), None
        )
    if last is None or str(last.state) == "succeeded":
        return []
    return to_put_back(reader.steps(last.id), last.id)


def to_put_back_with(reader: Journal, rollout: Rollout, leaving: str | None) -> list[FlagBefore]:
    """The flags that a rollback puts back: of what was the last to begin and did not succeed, and of the deploy that brought the release
    which is left. None where other hosts go on with it."""
    if rollout.partial:
        return []
    found = {one.flag: one for one in left_up(reader, rollout.target, other_than=rollout.id)}
    if leaving is not None and reader.events(kind=SET, limit=1):
        for past in reader.rollouts(rollout.target, limit=50):
            if past.kind is RolloutKind.DEPLOY and past.to_release == leaving and past.epoch > 0:
                brought = to_put_back(reader.steps(past.id), past.id)
                found = {one.flag: one for one in brought} | found
                if brought:
                    break
    return list(found.values())


def _outcome(changed: "FlagChanged", words: str) -> dict[str, Any]:
    return {
        "before": state_value(changed.before),
        "after": state_value(changed.state),
        "already": changed.already,
        "detail": words,
        "seconds": round(changed.seconds, 3),
    }


def _words(at: FlagBefore) -> str:
    return f"{at.percent:g} %" + ("" if at.enabled else ", switched off")
