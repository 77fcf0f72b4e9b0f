"""Plans, as pure functions: (what runs now, what is wanted, strategy) -> steps. Nothing here touches a host or the
journal.

A plan is a list of waves. The steps of a wave run side by side, those of one host within it one after the other, and
the next
wave starts when all of them are done.
"""

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.config.model import (
    Analyse,
    Approve,
    Bake,
    Hooks,
    Notice,
    Pause,
    Run,
    SetRoute,
    SetScale,
    SetWeight,
    Share,
    Strategy,
)
from quarterdeck.rollouts.approvals import step_body
from quarterdeck.rollouts.plans.moving import Mover
from quarterdeck.rollouts.plans.steps import BASTION, Action, Builder, PlannedStep, hook_hosts
from quarterdeck.rollouts.plans.undoing import Left, Where, to_undo

if TYPE_CHECKING:
    from quarterdeck.rollouts.plans.traffic import Traffic

__all__ = ["BASTION", "Action", "PlannedStep", "hook_hosts"]

NO_HOOKS = Hooks()
STEPPED = frozenset({"canary", "ab", "blue_green"})  # strategies that go by steps


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
    address: str = ""  # by which the router reaches it, where there is one
    late: bool = False  # has not answered yet; a rollback does not wait for it but takes it along when it does
    swarm: bool = False  # its nodes have no copies of their own but fetch images: ``kept`` is what can be fetched there


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


def batches(hosts: Sequence[str], strategy: Strategy, *, beside: bool = False) -> list[list[list[str]]]:
    """Batches of groups of hosts: a batch is followed by the strategy's pause; a group is what changes at the same
    time.

    ``strategy.batches`` are sizes of the whole, the last one repeats (as Ansible's ``serial``); without them a batch is
    max_unavailable, or one host. ``beside``: both releases can run on a host, so that none is out of service.
    """
    total = len(hosts)
    if strategy.kind == "recreate":
        return [[list(hosts)]] if hosts else []
    limit = strategy.max_surge if beside and strategy.max_surge is not None else strategy.max_unavailable
    sizes = strategy.batches or ((limit or Share(count=1)),)
    result: list[list[list[str]]] = []
    position = 0
    number = 0
    while position < total:
        size = sizes[min(number, len(sizes) - 1)].of(total)
        batch = list(hosts[position : position + size])
        at_once = limit.of(total) if limit is not None else len(batch)
        result.append([batch[i : i + at_once] for i in range(0, len(batch), at_once)])
        position += size
        number += 1
    return result


def is_settled(now: HostNow, release: str, traffic: "Traffic | None" = None) -> bool:
    """Runs it as it was started, and behind a router gets requests where the release belongs."""
    inside = traffic is None or not now.address or now.address in traffic.inside
    return inside and now.current == release and now.running is True and now.as_started and release in now.kept


def plan_deploy(
    hosts: Sequence[HostNow],
    release: str,
    strategy: Strategy,
    hooks: Hooks,
    *,
    seed: int = 0,
    traffic: "Traffic | None" = None,
    beside: bool = False,
    then: Sequence[PlannedStep] = (),
    last: Sequence[PlannedStep] = (),
) -> Plan:
    """The steps that bring ``release`` to all reachable ``hosts``. A host that runs it already is staged and switched
    all the
    same when it is not known to run, or was changed by somebody: otherwise it is left alone. ``beside``: the release can run on each
    host beside the one that it replaces. ``then``: what follows once all of them have it, also where all had it before; ``last``: what is
    done when it has proved itself."""
    reachable = [h for h in hosts if h.error is None]
    settled = {h.host for h in reachable if is_settled(h, release, traffic)}
    names = ordered([h.host for h in reachable if h.host not in settled], strategy.order, seed)
    build = Builder()
    hold = strategy.kind in STEPPED and traffic is not None and beside
    mover = Mover(build, release, traffic, there=len(settled), total=len(names) + len(settled), hold=hold)
    hooks = hooks if names else NO_HOOKS
    if names or then:
        for host in names:
            build.add(host, Action.STAGE, release=release)
        build.hooks(hooks.before, "before", names, release)
        groups = batches(names, strategy, beside=beside) if strategy.kind not in STEPPED else []
        running_before: dict[str, str] = {}
        if strategy.kind == "recreate":
            running_before = {h.host: h.current for h in reachable if h.current is not None}
            for host in names:
                if host in running_before:
                    build.add(host, Action.STOP, release=running_before[host])
            build.next_wave()
        if names:
            mover.begin()
        for number, batch in enumerate(groups):
            if number and strategy.pause > 0:
                build.next_wave()
                build.add(BASTION, Action.PAUSE, seconds=strategy.pause)
            for group in batch:
                mover.group(group, stopped=running_before.keys())
        if strategy.kind in STEPPED:
            _canary(build, mover, names, sorted(settled), release, strategy)
        if names:
            mover.end()
        build.hooks(hooks.after, "after", names, release)
        build.then(then)
        bake = next((step for step in strategy.steps if isinstance(step, Bake)), strategy.bake)
        if mover.hold and strategy.scale_down_delay > (bake.seconds if bake is not None else 0.0):
            bake = Bake(strategy.scale_down_delay, bake.analyses if bake is not None else ())
        if bake is not None:
            build.next_wave()
            measured = {"analyses": list(bake.analyses)} if bake.analyses else {}
            build.add(BASTION, Action.BAKE, seconds=bake.seconds, release=release, **measured)
            build.next_wave()
        if mover.hold:
            mover.retire()
        build.then(last)
        if strategy.kind in STEPPED or sum(len(batch) for batch in groups) > 1 or hooks.after or bake or then:
            for host in names:
                build.add(host, Action.VERIFY, release=release)
            build.next_wave()
    if not names and traffic is not None and not traffic.others and (traffic.share < 100 or traffic.rules):
        mover.end()  # somebody else has changed the router
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


def _canary(
    build: Builder, mover: Mover, names: list[str], settled: list[str], release: str, strategy: Strategy
) -> None:
    """The strategy's steps but for the bake, which is every strategy's. Hosts that run the release already count as moved; pauses and
    commands of a share that no host stands for are left out with it, approvals never.

    Behind a router the weight is what the release gets of the requests, and as many hosts as stand for it have it, but where
    ``set_scale`` has said how many."""
    moved = 0
    total = len(names) + len(settled)
    scaled = False
    held = {"hold": True} if mover.hold else {}

    def move(percent: float, count: int) -> None:
        nonlocal moved
        wanted = max(moved, count - len(settled))
        at_once = strategy.max_unavailable.of(total) if strategy.max_unavailable is not None else total
        for first in range(moved, wanted, at_once):
            group = names[first : min(first + at_once, wanted)]
            mover.group(group, up_to=percent, weight=percent)
        moved = wanted
        build.next_wave()

    weight = 0.0
    hooks = 0
    steps = strategy.steps
    if strategy.kind == "blue_green" and not mover.hold:  # nobody is served yet who could be kept from it
        first = next(at for at, step in enumerate(steps) if isinstance(step, SetWeight))
        steps = (*(step for step in steps[:first] if isinstance(step, Approve)), *steps[first:])
    for step in steps:
        build.next_wave()
        there = [*settled, *names[:moved]]
        here = {"weight": weight, "hosts": len(there), "of": total, "release": release}
        match step:
            case SetWeight():
                weight = step.percent
                enough = scaled and weight < 100 and (moved or settled)
                least = 1 if mover.hold else 0  # it costs no capacity there
                move(weight, 0 if enough else max(least, share_of_hosts(weight, total)))
                if moved or settled:
                    mover.give(weight)
            case SetScale(share=share):
                scaled = True
                most = total if mover.hold or total == 1 else total - 1  # else nobody has the old one any more
                move(weight, max(1, min(most, share.of(total))))
            case SetRoute(rules=rules) if there or not rules:
                mover.route(rules)
            case Pause(seconds=seconds) if there:
                lasts: dict[str, Any] = {"promote": True} if seconds is None else {"seconds": seconds}
                build.add(BASTION, Action.PAUSE, **lasts, **here)
                build.next_wave()
                for host in names[:moved]:  # they have been watched, and are read back before more follow
                    build.add(host, Action.VERIFY, release=release, **held)
            case Run(hook=hook):
                if there:
                    build.hook(hook, "steps", hooks, there, release)
                hooks += 1
            case Analyse(analyses=names_of_analyses) if there:
                build.add(BASTION, Action.ANALYSIS, analyses=list(names_of_analyses), **here)
                build.next_wave()
                for host in names[:moved]:
                    build.add(host, Action.VERIFY, release=release, **held)
            case Approve():  # also before the first host: nobody has agreed to moving it
                build.add(BASTION, Action.APPROVAL, **step_body(step), **here)
                build.next_wave()
                for host in names[:moved]:
                    build.add(host, Action.VERIFY, release=release, **held)
            case Notice() if there or not weight:
                build.add(BASTION, Action.NOTIFY, notify=notice_value(step), **here)
                build.next_wave()
    move(100.0, total)


def notice_value(step: Notice) -> dict[str, Any]:
    """As the plan holds it: what is not said is left out."""
    said = {"title": step.title, "body": step.body}
    return {
        **({"to": list(step.to)} if step.to is not None else {}),
        **{key: text for key, text in said.items() if text},
    }


def plan_rollback(
    hosts: Sequence[HostNow],
    release: str,
    at_once: Share,
    *,
    undo: Sequence[Left] = (),
    traffic: "Traffic | None" = None,
) -> Plan:
    """The steps that put ``release`` back. Hosts without a copy are staged first, in the same wave, so that nobody
    waits for them.

    A host that already runs it is left alone. ``undo``: the releases that are left, the last to come first: their hooks that stand are
    reversed at the end, in that release's directory, last one first; also where no host moves. Behind a router (``traffic``) the
    requests come first: all to those who have the release, as soon as somebody has.
    """
    reachable = [h for h in hosts if h.error is None or h.late]
    settled = [h.host for h in reachable if is_settled(h, release, traffic)]
    moving = [h for h in reachable if h.host not in settled]
    build = Builder()
    size = at_once.of(len(moving))
    mover = Mover(build, release, traffic, there=0, total=len(reachable))
    if moving:
        mover.take_over(if_served=True)
        if traffic is not None:
            build.next_wave()
    for host in settled:
        build.add(host, Action.VERIFY, release=release, untouched=True)
    for index, host_now in enumerate(moving):
        if index and index % size == 0:
            _after_a_wave_back(build, mover, index == size)
        if host_now.late:
            mover.switch(host_now.host, look_first=True, last=True)
            continue
        if release not in host_now.kept:
            build.add(host_now.host, Action.STAGE, release=release)
        mover.switch(host_now.host, last=True)
    if moving:
        mover.end(there=len(settled) + len(moving))
    elif traffic is not None and not traffic.others and (traffic.share < 100 or traffic.rules or not traffic.certain):
        mover.end(there=len(settled))  # hosts are back, and the router never heard of it
    for one in undo:
        holders = [h.host for h in reachable if h.error is None and one.release in h.kept]
        late = [h.host for h in reachable if h.late]
        _reverse(build, to_undo(one, Where(holders, [h.host for h in moving], late)), one.hooks)
    build.next_wave()
    for host_now in moving:
        build.add(host_now.host, Action.FINISH, release=release)
    return Plan(
        tuple(build.steps),
        tuple(h.host for h in moving),
        tuple(settled),
        tuple(h.host for h in hosts if h.error is not None and not h.late),
    )


def _after_a_wave_back(build: Builder, mover: Mover, first: bool) -> None:
    """Those who are back have all requests, before the next ones leave."""
    build.next_wave()
    if first:
        mover.take_over()
        build.next_wave()


class Touched(msgspec.Struct, frozen=True):
    """A host that a rollout may have changed, and the release it goes back to (None: nothing ran there before)."""

    host: str
    back_to: str | None
    has_copy: bool = True


def plan_take_back(
    touched: Sequence[Touched],
    hooks_done: Sequence[Mapping[str, Any]],
    hooks: Hooks,
    at_once: Share,
    *,
    leaving: str,
    traffic: "Traffic | None" = None,
) -> Plan:
    """The steps that undo a rollout of ``leaving``: every touched host goes back, then reversible hooks are reversed,
    last one first. Behind a router (``traffic``: where what was stable serves) the requests go back before any host does.

    ``hooks_done``: the bodies and hosts of the hook steps that ran (``{"host", "phase", "index", "release"}``).
    """
    build = Builder()
    stable = next((item.back_to for item in touched if item.back_to is not None), None)
    size = at_once.of(len(touched))
    mover = Mover(build, stable or leaving, traffic, there=0, total=len(touched))
    if traffic is not None:
        mover.take_over(if_served=True)
        build.next_wave()
    for index, item in enumerate(touched):
        if index and index % size == 0:
            _after_a_wave_back(build, mover, index == size and stable is not None)
        if item.back_to is None:
            build.add(item.host, Action.WITHDRAW, release=leaving)
        else:
            look_first = {} if item.has_copy else {"look_first": True}
            mover.switch(item.host, item.back_to, last=True, **look_first)
    if touched and stable is not None:
        mover.end()
    _reverse(build, hooks_done, hooks)
    return Plan(tuple(build.steps), tuple(t.host for t in touched), ())


def _reverse(build: Builder, hooks_done: Sequence[Mapping[str, Any]], hooks: Hooks) -> None:
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
        without = [h for h in hosts if h.error is None and h.host in plan.changed and previous not in h.kept]
        swarms = [h.host for h in without if h.swarm]
        if copies := len(without) - len(swarms):
            parts.append(f"{copies} {'has' if copies == 1 else 'have'} no copy of the old release")
        if swarms:
            parts.append(f"the image of the old release can't be fetched by {', '.join(swarms)}")
    if plan.left_out:
        parts.append(f"not reachable: {', '.join(plan.left_out)}")
    return ", ".join(parts)
