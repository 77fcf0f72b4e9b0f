"""Feature flags for people: how each stands now, and the kill switch, by the rights of who deploys. Every change by hand is journalled."""

import asyncio
import difflib
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.config.model import Fleet
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ACTIVE, Rollout
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.doctor.findings import Finding, Verdict
from quarterdeck.rollouts.plans.flags import NOT_SET, SET, state_value
from quarterdeck.rollouts.refusals import Refused, UnknownPart

if TYPE_CHECKING:
    from quarterdeck.backends.flags.contract import FlagChanged, FlagConnection, FlagState
    from quarterdeck.backends.hosts.opening import Hosts

T = TypeVar("T")


class FlagSeen(msgspec.Struct, frozen=True):
    """``place``: ``flag checkout on web-1``; ``target``: whose strategy sets it. ``state`` None: it can't be read, ``error`` says why."""

    name: str
    place: str
    target: str | None
    state: "FlagState | None" = None
    error: str = ""
    unreachable: bool = False
    advice: str = ""


async def read_flags(backend: "Hosts", fleet: Fleet, names: Collection[str] | None = None) -> list[FlagSeen]:
    """All of them, or those that are named, side by side, in the order of the fleet file. Raises ``UnknownPart``."""
    wanted = list(fleet.flags) if names is None else list(names)
    flags = [_open(backend, fleet, name) for name in wanted]

    async def one(name: str, flag: "FlagConnection") -> FlagSeen:
        seen = FlagSeen(name, flag.name, target_of(fleet, name))
        try:
            return msgspec.structs.replace(seen, state=await flag.read())
        except BackendError as error:
            away = isinstance(error, Unreachable)
            return msgspec.structs.replace(seen, error=str(error), unreachable=away, advice=error.advice)

    return list(await asyncio.gather(*(one(name, flag) for name, flag in zip(wanted, flags, strict=True))))


class Desk(Protocol):
    """Where what needs the journal is done: at once, or in a thread beside a screen. It is given a ``Control``."""

    async def act(self, wish: Callable[[Control], T], /) -> T: ...


class AtOnce:
    def __init__(self, control: Control) -> None:
        self._control = control

    async def act(self, wish: Callable[[Control], T], /) -> T:
        return wish(self._control)


async def turn_off(desk: Desk, backend: "Hosts", fleet: Fleet, name: str, reason: str) -> "FlagChanged":
    """The kill switch: nobody gets it any more. It is journalled what came of it, also where it could not be done.

    Raises ``Refused`` (role, no reason), ``UnknownPart``, ``BackendError``, ``JournalError``.
    """
    await desk.act(lambda control: control.allow_change())
    flag = _open(backend, fleet, name)
    if not reason.strip():
        raise Refused("a flag is switched off for a reason, which the history tells", "give it with --reason")
    target = target_of(fleet, name)
    told: dict[str, Any] = {"flag": name, "reason": reason, "by_hand": True}
    try:
        changed = await flag.off()
    except BackendError as error:
        failed = {**told, "error": str(error)}
        await desk.act(lambda control: control.journal.record(NOT_SET, target=target, body=failed))
        raise
    body = {**told, "before": state_value(changed.before), "after": state_value(changed.state)}
    try:
        await desk.act(lambda control: control.journal.record(SET, target=target, body=body))
    except JournalError as error:
        error.problem = f"{off_words(name, changed)}; but it could not be written down: {error.problem}"
        raise
    return changed


async def turn_off_in_words(desk: Desk, backend: "Hosts", fleet: Fleet, name: str, reason: str) -> str:
    """The same, and what came of it as a sentence, for a screen. Raises ``Refused``, ``UnknownPart``, ``JournalError``."""
    try:
        changed = await turn_off(desk, backend, fleet, name, reason)
    except BackendError as error:
        return str(error)
    active = await desk.act(lambda control: under_way(fleet, control.journal, name))
    return f"{off_words(name, changed)}{f'; {goes_no_further(active)}' if active is not None else ''}"


def off_words(name: str, changed: "FlagChanged") -> str:
    was = "it was off already" if changed.already else f"it was at {changed.before.words}"
    return f"switched {name} off: {was}"


def goes_no_further(active: Rollout) -> str:
    return f"rollout {active.id} of {active.target} sets it and goes no further; back now: qd abort {active.id}"


def under_way(fleet: Fleet, journal: Journal, name: str) -> Rollout | None:
    """The rollout that sets this flag now, if there is one."""
    target = target_of(fleet, name)
    active = journal.active(target) if target is not None else None
    return active if active is not None and active.state in ACTIVE else None


def target_of(fleet: Fleet, name: str) -> str | None:
    """The target whose strategy sets it; no flag has two."""
    return next((target.name for target in fleet.targets.values() if target.strategy.flag == name), None)


async def examine_flags(backend: "Hosts", fleet: Fleet, targets: Collection[str]) -> list[Finding]:
    """For the doctor: those that the strategies of these targets set, and those of nobody."""
    names = [name for name in fleet.flags if (target := target_of(fleet, name)) is None or target in targets]
    return [_finding(seen) for seen in await read_flags(backend, fleet, names)]


def _finding(seen: FlagSeen) -> Finding:
    subject = f"flag {seen.name}"
    if seen.state is None:
        fix = seen.advice or f"see: qd flag {seen.name}"
        return Finding(subject, Verdict.FAIL, seen.error, fix, unreachable=seen.unreachable)
    place = seen.place.removeprefix(f"{subject} ")
    if seen.state.problems:
        fix = "a deploy that sets it does not begin like that; see docs/flags.md"
        return Finding(subject, Verdict.FAIL, f"{place}: {'; '.join(seen.state.problems)}", fix)
    unused = "" if seen.target is not None else ", and no strategy sets it"
    return Finding(subject, Verdict.OK, f"{place}: {seen.state.words}{unused}")


def _open(backend: "Hosts", fleet: Fleet, name: str) -> "FlagConnection":
    from quarterdeck.backends.flags.opening import open_flag

    declared = fleet.flags.get(name)
    if declared is None:
        near = difflib.get_close_matches(name, fleet.flags, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(fleet.flags) or 'none'}"
        raise UnknownPart(f"the fleet file has no flag {name!r}", hint)
    return open_flag(declared, backend, fleet.hosts, fleet.file.parent)
