"""Plans, as pure functions: (what runs now, what is wanted, strategy) -> steps. Nothing here touches a host or the
journal.

A plan is a list of waves. The steps of a wave run side by side, those of one host within it one after the other, and
the next
wave starts when all of them are done.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from quarterdeck.config.model import (
    Analyse,
    Approve,
    Bake,
    Hook,
    Hooks,
    HookWhere,
    Pause,
    Run,
    SetWeight,
    Share,
    Strategy,
)
from quarterdeck.rollouts.approvals import step_body

NO_HOOKS = Hooks()
BASTION = "(here)"  # stands where a host's name does in steps that run on this machine; no host can be called so


class Action(StrEnum):
    STAGE = "stage"  # upload, unpack, verify: the running release is not touched
    STOP = "stop"
    SWITCH = "switch"  # rename the link, restart, read back, wait for health
    WITHDRAW = "withdraw"  # stop and remove the link: nothing ran here before
    HOOK = "hook"
    PAUSE = "pause"  # for a time, or until somebody promotes
    ANALYSIS = "analysis"  # the new release is measured where it runs
    APPROVAL = "approval"  # until enough people have agreed to going on
    BAKE = "bake"  # every host is watched for a time, before it counts as success
    VERIFY = "verify"  # read back and check health once more, when all hosts are done
    FINISH = "finish"  # mark the release good, remove old ones; never fails a rollout


class HostNow(msgspec.Struct, frozen=True):
    """A host as it was seen while the rollout was armed. ``error``: it could not be asked."""

    host: str
    current: str | None = None
    running: bool | None = None
    kept: frozenset[str] = frozenset()  # intact releases only
    warm: frozenset[str] = frozenset()  # of those the ones whose container is there, ready to be started again
    good: frozenset[str] = frozenset()  # what the host's own list says
    epoch: int = 0
    free_bytes: int | None = None
    problems: tuple[str, ...] = ()
    error: str | None = None
    as_started: bool = True  # False: it runs, and somebody has changed it
    late: bool = False  # has not answered yet; a rollback does not wait for it but takes it along when it does


class PlannedStep(msgspec.Struct, frozen=True):
    """``body`` is JSON: the release's id, the hook, the seconds."""

    wave: int
    host: str
    action: Action
    body: Mapping[str, Any] = msgspec.field(default_factory=dict)


class Plan(msgspec.Struct, frozen=True):
    steps: tuple[PlannedStep, ...]
    changed: tuple[str, ...]  # hosts whose running release changes
    untouched: tuple[str, ...]  # hosts that already run what is wanted
    left_out: tuple[str, ...] = ()  # hosts that can't be reached


def ordered(hosts: Sequence[str], order: str, seed: int) -> list[str]:
    """The hosts as the strategy wants them: listed, reversed, or shuffled (the same for the same ``seed``)."""
    result = list(hosts)
    if order == "reversed":
        result.reverse()
    elif order == "random":
        random.Random(seed).shuffle(result)  # noqa: S311  an order, no secret
    return result


def batches(hosts: Sequence[str], strategy: Strategy) -> list[list[list[str]]]:
    """Batches of groups of hosts: a batch is followed by the strategy's pause; a group is what changes at the same
    time.

    ``strategy.batches`` are sizes of the whole, the last one repeats (as Ansible's ``serial``); without them a batch is
    max_unavailable, or one host.
    """
    total = len(hosts)
    if strategy.kind == "recreate":
        return [[list(hosts)]] if hosts else []
    sizes = strategy.batches or ((strategy.max_unavailable or Share(count=1)),)
    result: list[list[list[str]]] = []
    position = 0
    number = 0
    while position < total:
        size = sizes[min(number, len(sizes) - 1)].of(total)
        batch = list(hosts[position : position + size])
        at_once = strategy.max_unavailable.of(total) if strategy.max_unavailable is not None else len(batch)
        result.append([batch[i : i + at_once] for i in range(0, len(batch), at_once)])
        position += size
        number += 1
    return result


class _Builder:
    def __init__(self) -> None:
        self.steps: list[PlannedStep] = []
        self.wave = 0

    def add(self, host: str, action: Action, **body: Any) -> None:
        self.steps.append(PlannedStep(self.wave, host, action, body))

    def next_wave(self) -> None:
        if self.steps and self.steps[-1].wave == self.wave:
            self.wave += 1

    def hooks(self, hooks: Iterable[Hook], phase: str, hosts: Sequence[str], release: str) -> None:
        for index, hook in enumerate(hooks):
            self.hook(hook, phase, index, hosts, release)
        self.next_wave()

    def hook(self, hook: Hook, phase: str, index: int, hosts: Sequence[str], release: str) -> None:
        """As a wave of its own; the next one is still to be begun."""
        self.next_wave()
        where = {HookWhere.ONE: hosts[:1], HookWhere.EACH: hosts, HookWhere.HERE: [BASTION]}[hook.where]
        for host in where:
            self.add(host, Action.HOOK, phase=phase, index=index, run=hook.run, release=release)


def _is_settled(now: HostNow, release: str) -> bool:
    return now.current == release and now.running is True and now.as_started and release in now.kept


def plan_deploy(hosts: Sequence[HostNow], release: str, strategy: Strategy, hooks: Hooks, *, seed: int = 0) -> Plan:
    """The steps that bring ``release`` to all reachable ``hosts``. A host that runs it already is staged and switched
    all the
    same when it is not known to run, or was changed by somebody: otherwise it is left alone."""
    reachable = [h for h in hosts if h.error is None]
    settled = {h.host for h in reachable if _is_settled(h, release)}
    names = ordered([h.host for h in reachable if h.host not in settled], strategy.order, seed)
    build = _Builder()
    if names:
        for host in names:
            build.add(host, Action.STAGE, release=release)
        build.hooks(hooks.before, "before", names, release)
        groups = batches(names, strategy) if strategy.kind != "canary" else []
        running_before: dict[str, str] = {}
        if strategy.kind == "recreate":
            running_before = {h.host: h.current for h in reachable if h.current is not None}
            for host in names:
                if host in running_before:
                    build.add(host, Action.STOP, release=running_before[host])
            build.next_wave()
        for number, batch in enumerate(groups):
            if number and strategy.pause > 0:
                build.next_wave()
                build.add(BASTION, Action.PAUSE, seconds=strategy.pause)
            for group in batch:
                build.next_wave()
                for host in group:
                    stopped = strategy.kind == "recreate" and host in running_before
                    build.add(host, Action.SWITCH, release=release, **({"how": "start"} if stopped else {}))
        if strategy.kind == "canary":
            _canary(build, names, sorted(settled), release, strategy)
        build.hooks(hooks.after, "after", names, release)
        bake = next((step for step in strategy.steps if isinstance(step, Bake)), strategy.bake)
        if bake is not None:
            build.next_wave()
            measured = {"analyses": list(bake.analyses)} if bake.analyses else {}
            build.add(BASTION, Action.BAKE, seconds=bake.seconds, release=release, **measured)
            build.next_wave()
        if strategy.kind == "canary" or sum(len(batch) for batch in groups) > 1 or hooks.after or bake:
            for host in names:
                build.add(host, Action.VERIFY, release=release)
            build.next_wave()
    for host in sorted(settled):
        build.add(host, Action.VERIFY, release=release, untouched=True)
    build.next_wave()
    for host_now in reachable:
        build.add(host_now.host, Action.FINISH, release=release)
    return Plan(
        tuple(build.steps), tuple(names), tuple(sorted(settled)), tuple(h.host for h in hosts if h.error is not None)
    )


def share_of_hosts(percent: float, total: int) -> int:
    """How many of ``total`` hosts stand for ``percent`` of the target: as near as hosts can come, halves up; where there are at
    least two, less than all of it is never all hosts and more than nothing never none."""
    if percent >= 100 or total <= 0:
        return max(total, 0)
    nearest = int(percent * total / 100 + 0.5)
    return max(1, min(total - 1, nearest)) if total > 1 and percent > 0 else nearest


def _canary(build: _Builder, names: list[str], settled: list[str], release: str, strategy: Strategy) -> None:
    """The strategy's steps but for the bake, which is every strategy's. Hosts that run the release already count as moved; pauses and
    commands of a share that no host stands for are left out with it, approvals never."""
    moved = 0
    total = len(names) + len(settled)

    def move(percent: float) -> None:
        nonlocal moved
        wanted = max(moved, share_of_hosts(percent, total) - len(settled))
        at_once = strategy.max_unavailable.of(total) if strategy.max_unavailable is not None else total
        for index in range(moved, wanted):
            if (index - moved) % at_once == 0:
                build.next_wave()
            build.add(names[index], Action.SWITCH, release=release, weight=percent)
        moved = wanted
        build.next_wave()

    weight = 0.0
    hooks = 0
    for step in strategy.steps:
        build.next_wave()
        there = [*settled, *names[:moved]]
        here = {"weight": weight, "hosts": len(there), "of": total, "release": release}
        match step:
            case SetWeight():
                weight = step.percent
                move(weight)
            case Pause(seconds=seconds) if there:
                lasts: dict[str, Any] = {"promote": True} if seconds is None else {"seconds": seconds}
                build.add(BASTION, Action.PAUSE, **lasts, **here)
                build.next_wave()
                for host in names[:moved]:  # they have been watched, and are read back before more follow
                    build.add(host, Action.VERIFY, release=release)
            case Run(hook=hook):
                if there:
                    build.hook(hook, "steps", hooks, there, release)
                hooks += 1
            case Analyse(analyses=names_of_analyses) if there:
                build.add(BASTION, Action.ANALYSIS, analyses=list(names_of_analyses), **here)
                build.next_wave()
                for host in names[:moved]:
                    build.add(host, Action.VERIFY, release=release)
            case Approve():  # also before the first host: nobody has agreed to moving it
                build.add(BASTION, Action.APPROVAL, **step_body(step), **here)
                build.next_wave()
                for host in names[:moved]:
                    build.add(host, Action.VERIFY, release=release)
    move(100.0)


def plan_rollback(
    hosts: Sequence[HostNow], release: str, at_once: Share, *, leaving: str | None = None, hooks: Hooks = NO_HOOKS
) -> Plan:
    """The steps that put ``release`` back. Hosts without a copy are staged first, in the same wave, so that nobody
    waits for them.

    A host that already runs it is left alone. ``hooks`` are those of the release that is left (``leaving``): the
    reversible ones
    among them are reversed at the end, in that release's directory, last one first.
    """
    reachable = [h for h in hosts if h.error is None or h.late]
    settled = [h.host for h in reachable if _is_settled(h, release)]
    moving = [h for h in reachable if h.host not in settled]
    build = _Builder()
    size = at_once.of(len(moving))
    for host in settled:
        build.add(host, Action.VERIFY, release=release, untouched=True)
    for index, host_now in enumerate(moving):
        if index and index % size == 0:
            build.next_wave()
        if host_now.late:
            build.add(host_now.host, Action.SWITCH, release=release, look_first=True)
            continue
        if release not in host_now.kept:
            build.add(host_now.host, Action.STAGE, release=release)
        build.add(host_now.host, Action.SWITCH, release=release)
    if leaving is not None and moving:
        ran = [(phase, i, hook) for phase in ("before", "steps", "after") for i, hook in enumerate(hooks.of(phase))]
        holders = [h.host for h in moving if leaving in h.kept]
        done = [
            {"host": host, "phase": phase, "index": index, "release": leaving}
            for phase, index, hook in ran
            for host in {HookWhere.ONE: holders[:1], HookWhere.EACH: holders, HookWhere.HERE: [BASTION]}[hook.where]
        ]
        _reverse(build, done, hooks)
    build.next_wave()
    for host_now in moving:
        build.add(host_now.host, Action.FINISH, release=release)
    return Plan(
        tuple(build.steps),
        tuple(h.host for h in moving),
        tuple(settled),
        tuple(h.host for h in hosts if h.error is not None and not h.late),
    )


class Touched(msgspec.Struct, frozen=True):
    """A host that a rollout may have changed, and the release it goes back to (None: nothing ran there before)."""

    host: str
    back_to: str | None
    has_copy: bool = True


def plan_take_back(
    touched: Sequence[Touched], hooks_done: Sequence[Mapping[str, Any]], hooks: Hooks, at_once: Share, *, leaving: str
) -> Plan:
    """The steps that undo a rollout of ``leaving``: every touched host goes back, then reversible hooks are reversed,
    last one first.

    ``hooks_done``: the bodies and hosts of the hook steps that ran (``{"host", "phase", "index", "release"}``).
    """
    build = _Builder()
    size = at_once.of(len(touched))
    for index, item in enumerate(touched):
        if index and index % size == 0:
            build.next_wave()
        if item.back_to is None:
            build.add(item.host, Action.WITHDRAW, release=leaving)
        else:
            look_first = {} if item.has_copy else {"look_first": True}
            build.add(item.host, Action.SWITCH, release=item.back_to, **look_first)
    _reverse(build, hooks_done, hooks)
    return Plan(tuple(build.steps), tuple(t.host for t in touched), ())


def _reverse(build: _Builder, hooks_done: Sequence[Mapping[str, Any]], hooks: Hooks) -> None:
    for done in reversed(hooks_done):
        hook = hooks.of(str(done["phase"]))[int(done["index"])]
        if hook.on_rollback is None:
            continue
        build.next_wave()
        build.add(
            str(done["host"]),
            Action.HOOK,
            phase=done["phase"],
            index=done["index"],
            run=hook.on_rollback,
            release=done["release"],
            reverse=True,
        )


def back_to(now: HostNow, stable: str | None) -> str | None:
    """What a host that was touched goes back to: the stable release, or what it ran where it has no copy of that;
    None: nothing."""
    if now.current is None:
        return None
    if stable is not None and stable in now.kept:
        return stable
    return now.current if now.current in now.kept else stable


def summary(plan: Plan, hosts: Sequence[HostNow], previous: str | None) -> str:
    """The blast radius in one sentence: «3 of 12 hosts change, 2 have no copy of the old release»."""
    parts = [
        f"{len(plan.changed)} of {len(hosts)} host{'s' if len(hosts) != 1 else ''}"
        f" change{'s' if len(plan.changed) == 1 else ''}"
    ]
    if previous is not None:
        without = [h.host for h in hosts if h.error is None and h.host in plan.changed and previous not in h.kept]
        if without:
            parts.append(f"{len(without)} {'has' if len(without) == 1 else 'have'} no copy of the old release")
    if plan.left_out:
        parts.append(f"not reachable: {', '.join(plan.left_out)}")
    return ", ".join(parts)
