"""Which hooks of a release stand, so that a way back undoes them: by what the journal says ran, and was not undone since. Pure.

A hook stands from its first attempt on, whatever came of that, until its ``on_rollback`` has ended well.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.config.model import Hook, Hooks, HookWhere
from quarterdeck.history.records import Step, StepState
from quarterdeck.rollouts.plans.steps import BASTION, Action

PHASES = ("before", "steps", "after")  # in the order in which they run

Key = tuple[str, int, str]  # phase, index, host; no host where one of them runs it for all


class Ran(msgspec.Struct, frozen=True):
    """One hook that stands, and where it was run."""

    phase: str
    index: int
    host: str


class Left(msgspec.Struct, frozen=True):
    """A release that is left. ``standing``: its hooks that stand, the first that ran first; ``seen``: all that the journal knows to have
    been run or undone. ``declared``: it came to the hosts unseen, so that of all others it is taken that they ran as declared."""

    release: str
    hooks: Hooks
    standing: tuple[Ran, ...] = ()
    seen: frozenset[Key] = frozenset()
    declared: bool = False

    def hook(self, ran: Ran) -> Hook:
        return self.hooks.of(ran.phase)[ran.index]

    @property
    def irreversible(self) -> tuple[Hook, ...]:
        """Those that stand and that nobody can undo."""
        found = [self.hook(ran) for ran in self.standing]
        if self.declared:
            seen = {key[:2] for key in self.seen}
            numbered = [(phase, index, hook) for phase in PHASES for index, hook in enumerate(self.hooks.of(phase))]
            found = [hook for phase, index, hook in numbered if (phase, index) not in seen] + found
        return tuple(dict.fromkeys(hook for hook in found if not hook.reversible))


def left(release: str, hooks: Hooks, steps: Iterable[Step], *, declared: bool = False) -> Left:
    """``steps``: those of hooks on the target, in the order in which they were worked on; other releases' among them are passed over."""
    up: dict[Key, Ran] = {}
    seen: set[Key] = set()
    for step in steps:
        phase, index = str(step.body.get("phase")), int(step.body.get("index", -1))
        if step.action != Action.HOOK or step.body.get("release") != release or phase not in PHASES:
            continue
        if not 0 <= index < len(hooks.of(phase)) or step.attempt == 0:
            continue
        key = _key(hooks, phase, index, step.host)
        if not step.body.get("reverse"):
            if not step.outcome.get("untouched"):  # else its host refused it before it changed anything
                seen.add(key)
                up.pop(key, None)  # run anew: it is undone in its new place
                up[key] = Ran(phase, index, step.host)
        elif step.state is StepState.DONE:
            seen.add(key)
            up.pop(key, None)
    return Left(release, hooks, tuple(up.values()), frozenset(seen), declared)


class Where(msgspec.Struct, frozen=True):
    """The hosts as a plan sees them. ``holders``: those that can be asked and have a copy of the release, in which its hooks are undone;
    ``moving``: those of them that leave it; ``late``: may yet answer."""

    holders: Sequence[str]
    moving: Collection[str]
    late: Collection[str] = ()


def to_undo(one: Left, where: Where) -> list[dict[str, Any]]:
    """The hooks that can be undone now, each with the host that does it (``{"host", "phase", "index", "release"}``), the first that ran
    first. What one host ran for all is undone by another one where that can't be asked; what stands on a host that can't stays."""
    found: list[tuple[Ran, str]] = []
    if one.declared:
        moving = [host for host in where.holders if host in where.moving]
        for phase in PHASES:
            for index, hook in enumerate(one.hooks.of(phase)):
                for host in _declared_on(hook, moving, some=bool(where.moving)):
                    if _key(one.hooks, phase, index, host) not in one.seen:
                        found.append((Ran(phase, index, host), host))
    for ran in one.standing:
        match one.hook(ran).where:
            case HookWhere.HERE:
                found.append((ran, BASTION))
            case HookWhere.ONE if ran.host not in where.holders and where.holders:
                found.append((ran, where.holders[0]))
            case _ if ran.host in where.holders or ran.host in where.late:
                found.append((ran, ran.host))
            case _:
                pass
    return [
        {"host": host, "phase": ran.phase, "index": ran.index, "release": one.release}
        for ran, host in found
        if one.hook(ran).on_rollback is not None
    ]


def stays(one: Left, undone: Iterable[Mapping[str, Any]]) -> list[Ran]:
    """The hooks that stand, could be undone, and are not among those that are (``{"host", "phase", "index", "release"}``)."""
    mine = [item for item in undone if item["release"] == one.release]
    keys = {_key(one.hooks, str(item["phase"]), int(item["index"]), str(item["host"])) for item in mine}
    found = [ran for ran in one.standing if _key(one.hooks, ran.phase, ran.index, ran.host) not in keys]
    return [ran for ran in found if one.hook(ran).on_rollback is not None]


def _declared_on(hook: Hook, moving: Sequence[str], *, some: bool) -> Sequence[str]:
    here = [BASTION] if some else []
    return {HookWhere.ONE: moving[:1], HookWhere.EACH: moving, HookWhere.HERE: here}[hook.where]


def _key(hooks: Hooks, phase: str, index: int, host: str) -> Key:
    return phase, index, "" if hooks.of(phase)[index].where is HookWhere.ONE else host
