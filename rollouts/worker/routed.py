"""A host's requests, while its release is changed behind a router: it leaves, is changed, and enters where its release belongs.

Where both releases can run side by side on the host, the new one enters before the old one leaves.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.routers.contract import Server, Slot
from quarterdeck.history.records import RolloutKind, Step
from quarterdeck.rollouts.plans.beside import why_not_beside
from quarterdeck.rollouts.worker.failing import StepFailed

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import Connection
    from quarterdeck.config.release import Release
    from quarterdeck.rollouts.worker.directing import Director
    from quarterdeck.rollouts.worker.steps import Work

QUICKLY = 3.0  # seconds that a way back waits for a router: the host goes back with it or without it


class Way(msgspec.Struct):
    """How one host is changed. ``server``: where its release's instance listens, once it is known. ``told``: for the outcome."""

    beside: bool = False
    left: bool = False  # the host gets no requests until the release does
    told: dict[str, Any] = msgspec.field(default_factory=dict)


async def direct(step: Step, work: "Work") -> dict[str, Any]:
    """A step that changes the router alone."""
    director = _director(step, work)
    slot = Slot(str(step.body["slot"]))
    try:
        if "rules" in step.body:
            return await director.route(slot, step.body["rules"])
        if_served = bool(step.body.get("if_served"))
        patience: dict[str, Any] = (
            {"patience": QUICKLY} if if_served else {}
        )  # hosts wait for it; it is tried again at the end
        percent, servers = float(step.body["percent"]), step.body.get("servers")
        return await director.share(slot, percent, if_served=if_served, servers=servers, **patience)
    except BackendError as error:
        raise _failed(step, work, error) from error


async def stand_aside(step: Step, work: "Work", connection: "Connection") -> None:
    """Before a host's service is stopped: it gets no further requests, and those that it has are waited for."""
    if work.director is None:
        return
    address = await work.director.address(step.host, connection, work.release)
    await _leave(step, work, address, even_the_last=True, wherever=True)


async def before(step: Step, work: "Work", connection: "Connection", release: "Release") -> Way:
    """Before the switch."""
    director = _director(step, work)
    slot = Slot(str(step.body["slot"]))
    way = Way(beside=_can_run_beside(release, work))
    try:
        address = await director.address(step.host, connection, release)
    except BackendError as error:
        if _goes_back(work):
            return Way(told={"not_drained": error.told(work.masker.mask)})
        raise
    stays: tuple[Slot, Server] | None = None
    if way.beside:
        try:
            server = await director.instance(step.host, connection, release)
        except CommandFailed:
            return way  # it runs nowhere there
        if not await _serves(step, work, slot, release, server) and not await _enters_again(
            step, work, connection, release, slot, server
        ):
            return way  # the old one serves until the new one does
        stays = (slot, server)
    else:
        way.left = True
    way.told = await _leave(step, work, address, stays=stays, even_the_last=bool(step.body.get("last")))
    return way


async def after(step: Step, work: "Work", connection: "Connection", release: "Release", way: Way) -> None:
    """Once the release is healthy on the host, and before what ran beside it is stopped."""
    director = _director(step, work)
    slot = Slot(str(step.body["slot"]))
    server = await director.instance(step.host, connection, release)
    try:
        await director.enter(slot, release.id, server)
    except BackendError as error:
        words = (
            "runs beside what it replaces and is healthy, but can't be led to"
            if way.beside
            else "runs and is healthy, but gets no requests"
        )
        raise _failed(step, work, error, f"{release.version} {words}: ") from error
    # Of a Swarm the task before may have been on another node.
    if not step.body.get("hold") and (way.beside or director.one_swarm):
        left = await _leave(step, work, server.address, stays=(slot, server), even_the_last=True)
        way.told = {**way.told, **left}
    way.told = {**way.told, "slot": str(slot), "server": str(server)}


async def alone(step: Step, work: "Work", connection: "Connection", release: "Release") -> dict[str, Any]:
    """Before what ran beside the release on a host is stopped: only the release gets requests there."""
    director = _director(step, work)
    server = await director.instance(step.host, connection, release)
    stays = (Slot(str(step.body["slot"])), server)
    try:
        if not _goes_back(work) and not await director.has(*stays):  # a Swarm has moved the task since
            await director.enter(stays[0], release.id, server)
    except BackendError as error:
        raise _failed(step, work, error) from error
    return await _leave(step, work, server.address, stays=stays, even_the_last=True)


async def _serves(step: Step, work: "Work", slot: Slot, release: "Release", server: Server) -> bool:
    try:
        patience = {"patience": QUICKLY} if _goes_back(work) else {}
        return await _director(step, work).serves(slot, release.id, server, **patience)
    except BackendError as error:
        if _goes_back(work):
            return False
        raise _failed(step, work, error) from error


async def _enters_again(
    step: Step, work: "Work", connection: "Connection", release: "Release", slot: Slot, server: Server
) -> bool:
    """Of a way back: what runs there still, and had left the router only, is in service again before what replaced it is stopped."""
    if not _goes_back(work):
        return False
    try:
        facts = await connection.facts(work.target.name, work.target.path, release)
        if facts.current != release.id or facts.running is False:
            return False
        await _director(step, work).enter(slot, release.id, server)
    except BackendError:
        return False
    return True


async def _leave(
    step: Step,
    work: "Work",
    address: str,
    *,
    stays: tuple[Slot, Server] | None = None,
    even_the_last: bool,
    wherever: bool = False,
) -> dict[str, Any]:
    """What a way back can't have of the router it does without: it must not need anything of what it leaves. ``wherever``: see
    ``Director.leave``; what stays is in the place of all the others anyway."""
    director = _director(step, work)
    patience = {"patience": QUICKLY} if _goes_back(work) else {}
    try:
        wherever = wherever or stays is not None
        left = await director.leave(address, stays=stays, even_the_last=even_the_last, wherever=wherever, **patience)
        return dict(left)
    except BackendError as error:
        if _goes_back(work):
            return {"not_drained": error.told(work.masker.mask)}
        raise _failed(step, work, error) from error


def _goes_back(work: "Work") -> bool:
    return work.taking_back or work.kind is RolloutKind.ROLLBACK


def _director(step: Step, work: "Work") -> "Director":
    if work.director is None:
        why = f"{step.host}: the plan has a router for {work.target.name}, and this rollout knows none"
        raise StepFailed(step, why, release_at_fault=False)
    return work.director


def _failed(step: Step, work: "Work", error: BackendError, words: str = "") -> StepFailed:
    """A router is no host: that it does not answer says nothing of the release, nor of the host whose requests it directs. The host
    may have left it, so it counts as changed."""
    host = "" if "rules" in step.body or "percent" in step.body else f"{step.host}: "
    why = f"{host}{words}{error.told(work.masker.mask)}"
    return StepFailed(step, why, release_at_fault=False)


def _can_run_beside(release: "Release", work: "Work") -> bool:
    """Whether it may run on a host while what runs there does. Whatever that is, it is one of the two that the rollout is about."""
    others = [work.release, work.releases.get(work.leaving or "")]
    others = [other for other in others if other is not None and other.id != release.id]
    return bool(others) and not any(why_not_beside(release, other) for other in others if other is not None)
