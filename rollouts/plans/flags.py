"""Plans of feature flags, as pure functions: what is done with a flag once every host has the release, and what puts it back first of all.

A flag only goes up: what it was before is where its steps begin, and where it goes back to.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from quarterdeck.config.model import Analyse, Approve, Fleet, Pause, Run, SetFlag, Strategy
from quarterdeck.config.release import to_json
from quarterdeck.history.records import ENDED, Rollout, Step, StepState
from quarterdeck.rollouts.approvals import step_body
from quarterdeck.rollouts.plans.plan import BASTION, Action, HostNow, Plan, PlannedStep, hook_hosts, is_settled, ordered

if TYPE_CHECKING:
    from quarterdeck.backends.flags.contract import FlagState
    from quarterdeck.history.journal import Journal
    from quarterdeck.history.records import Event

SET: Final = "flag.set"  # the event: a flag was set, by a rollout or by hand
NOT_SET: Final = "flag.failed"  # by hand, and it could not be done


class FlagBefore(msgspec.Struct, frozen=True):
    """A flag as it was, and as it is to be again. ``of``: the rollout that may have changed it, where that was another one."""

    flag: str
    percent: float
    enabled: bool = True
    of: int | None = None

    @property
    def reaches(self) -> float:
        """How many percent got it."""
        return self.percent if self.enabled else 0.0

    @property
    def value(self) -> dict[str, Any]:
        return {"percent": self.percent, "enabled": self.enabled}


def milestones(
    hosts: Sequence[HostNow], release: str, strategy: Strategy, before: FlagBefore, *, seed: int = 0
) -> list[PlannedStep]:
    """The strategy's steps but for its bake, which is every strategy's; waves from 0. Where more get it already, `set_flag` is left out
    and all that comes between stays; none where there is nothing to do at all."""
    reachable = [host for host in hosts if host.error is None]
    settled = sorted(host.host for host in reachable if is_settled(host, release))
    names = ordered([host.host for host in reachable if host.host not in settled], strategy.order, seed)
    there = [*settled, *names]
    steps: list[PlannedStep] = []
    at = before.reaches
    hooks = 0

    def add(action: Action, *on: str, **body: Any) -> None:
        """As a wave of its own."""
        wave = steps[-1].wave + 1 if steps else 0
        steps.extend(PlannedStep(wave, host, action, body) for host in on)

    def about() -> dict[str, Any]:
        return {"flag": strategy.flag, "weight": at, "hosts": len(there), "of": len(there), "release": release}

    def flag(percent: float, **more: Any) -> None:
        """The first such step is where the safeguards begin."""
        first = not any(step.action is Action.FLAG for step in steps)
        guards = {"analyses": list(strategy.safeguards)} if first and strategy.safeguards else {}
        body = {"flag": strategy.flag, "percent": percent, "before": before.value, "release": release}
        add(Action.FLAG, BASTION, **body, **guards, **more)

    if at > 0 and strategy.safeguards:
        flag(at, verify=True)
    for step in strategy.steps:
        match step:
            case SetFlag(percent=percent):
                if percent > at:
                    flag(percent)
                    at = float(percent)
            case Pause(seconds=seconds):
                lasts: dict[str, Any] = {"promote": True} if seconds is None else {"seconds": seconds}
                add(Action.PAUSE, BASTION, **lasts, **about())
                add(
                    Action.VERIFY, *names, release=release
                )  # they have been watched, and are read back before more get it
            case Analyse(analyses=analyses):
                add(Action.ANALYSIS, BASTION, analyses=list(analyses), **about())
                add(Action.VERIFY, *names, release=release)
            case Approve():
                add(Action.APPROVAL, BASTION, **step_body(step), **about())
                add(Action.VERIFY, *names, release=release)
            case Run(hook=hook):
                body = {"phase": "steps", "index": hooks, "run": hook.run, "release": release}
                add(Action.HOOK, *hook_hosts(hook, there), **body)
                hooks += 1
    raised = any(step.action is Action.FLAG and not step.body.get("verify") for step in steps)
    return steps if names or raised else []


def read_back(then: Sequence[PlannedStep]) -> list[PlannedStep]:
    """The last step of all: the flag is where it was put. None where it was not touched."""
    last = next((step for step in reversed(then) if step.action is Action.FLAG), None)
    if last is None:
        return []
    return [PlannedStep(0, BASTION, Action.FLAG, {**_only(last.body), "verify": True})]


def flags_option(fleet: Fleet) -> dict[str, Any]:
    """Of every rollout: all flags as they are declared when it is asked for. A rollback may put one back that no strategy sets any more."""
    if not fleet.flags:
        return {}
    names = sorted({name for flag in fleet.flags.values() for name in getattr(flag, "hosts", ())})
    hosts = {name: to_json(fleet.hosts[name]) for name in names}
    return {"flags": {"declared": {name: to_json(flag) for name, flag in fleet.flags.items()}, "hosts": hosts}}


def up_already(strategy: Strategy, before: FlagBefore) -> str:
    """A warning where somebody gets it before the first step; empty: nobody does."""
    if not before.reaches:
        return ""
    left_out = [f"set_flag: {step.percent}" for step in strategy.steps if isinstance(step, SetFlag)]
    left_out = [word for word in left_out if float(word.partition(" ")[2]) <= before.reaches]
    without = f", and {', '.join(left_out)} changes nothing" if left_out else ""
    return f"flag {before.flag} is at {before.reaches:g} % already: whoever gets it has the new release as soon as a host does{without}"


def state_value(state: "FlagState") -> dict[str, Any]:
    """As the journal tells it."""
    return {"percent": state.percent, "enabled": state.enabled}


def _only(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("flag", "percent", "before", "release")}


def flags_first(plan: Plan, back: Sequence[FlagBefore], *, and_last: bool = False) -> Plan:
    """``plan`` with a wave before all others, which puts these flags back. ``and_last``: and one after them, before cleaning up, which
    looks whether they are: what another worker had begun may have come late, and what failed may be mended by now."""
    if not back:
        return plan
    first = [PlannedStep(0, BASTION, Action.FLAG, _back_body(one)) for one in back]
    moved = [msgspec.structs.replace(step, wave=step.wave + 1) for step in plan.steps]
    if not and_last:
        return msgspec.structs.replace(plan, steps=(*first, *moved))
    main = [step for step in moved if step.action is not Action.FINISH]
    after = max((step.wave for step in main), default=0) + 1
    last = [msgspec.structs.replace(step, wave=after, body={**step.body, "again": True}) for step in first]
    finish = [msgspec.structs.replace(step, wave=after + 1) for step in moved if step.action is Action.FINISH]
    return msgspec.structs.replace(plan, steps=(*first, *main, *last, *finish))


def _back_body(one: FlagBefore) -> dict[str, Any]:
    return {"flag": one.flag, **one.value, "back": True, **({"of": one.of} if one.of is not None else {})}


def to_put_back(steps: Iterable[Step], of: int | None = None) -> list[FlagBefore]:
    """The flags that a rollout may have changed, or was to put back, and has not; each as it was before."""
    found: dict[str, FlagBefore] = {}
    for step in steps:
        if step.action != Action.FLAG or step.body.get("verify"):
            continue
        name = str(step.body["flag"])
        if step.body.get("back"):
            if step.state is StepState.DONE:
                found.pop(name, None)
            else:
                was = FlagBefore(name, float(step.body["percent"]), bool(step.body["enabled"]), step.body.get("of", of))
                found.setdefault(name, was)
        elif step.attempt > 0 and not step.outcome.get("untouched"):
            before = step.body["before"]
            found.setdefault(name, FlagBefore(name, float(before["percent"]), bool(before["enabled"]), of))
    return list(found.values())


def switched_off(journal: "Journal", rollout: Rollout, steps: Sequence[Step]) -> "Event | None":
    """The event with which somebody has switched off, by hand, the flag that this rollout sets, where that is the last that was done to it:
    the rollout's own sentence still tells where it had left the flag. None of a rollout that has ended. Raises JournalError."""
    mine = {step.body.get("flag") for step in steps if step.action == Action.FLAG}
    if not mine or rollout.state in ENDED:
        return None
    events = journal.events(target=rollout.target, kind=SET, newest_first=True, limit=20)
    last = next((event for event in events if event.body.get("flag") in mine), None)
    return last if last is not None and last.body.get("by_hand") and last.time >= rollout.created else None


def flag_words(body: Mapping[str, Any]) -> str:
    """What a step does with a flag: ``checkout to 5 %``."""
    name, percent = body.get("flag"), float(body.get("percent") or 0)
    if body.get("back"):
        off = "" if body.get("enabled", True) else ", switched off"
        return f"{name} back to {percent:g} %{off}"
    return f"{name} is at {percent:g} %" if body.get("verify") else f"{name} to {percent:g} %"


def flags_summary(plan: Plan) -> str:
    """For the plan's one sentence; empty where it touches no flag."""
    unsaid = ("verify", "again")
    steps = [step.body for step in plan.steps if step.action is Action.FLAG and not any(map(step.body.get, unsaid))]
    back = [f"flag {flag_words(body)} first" for body in steps if body.get("back")]
    up = [body for body in steps if not body.get("back")]
    if up:
        before = FlagBefore("", **up[0]["before"]).reaches
        times = f" in {len(up)} steps" if len(up) > 1 else ""
        back.append(f"then flag {up[-1]['flag']} from {before:g} % to {up[-1]['percent']} %{times}")
    return ", ".join(back)
