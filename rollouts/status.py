"""What runs where: the document of ``qd status``, from the journal, and the look at the hosts that refreshes it."""

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.pacing import Pace
from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.release import Release
from quarterdeck.history.clock import now
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation, Rollout, RolloutState
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.looking import look, unseen
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.router import RouterSeen
from quarterdeck.rollouts.picture.swarm import SwarmSeen, on_nodes
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.router_looking import Told, look_at_router, router_unseen, told

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import HostBackend
    from quarterdeck.backends.hosts.opening import Hosts

LOOK = 15.0  # seconds for one host, from connecting to its answer …
ASKED_AT_ONCE = 100  # … that begin when it is its turn: of thousands that are asked together none would answer in time
SLOW = 1.0  # seconds without an answer, and a host gives its place to the next one


def status(fleet: Fleet, journal: Journal, *, only: str | None = None) -> dict[str, Any]:
    """The whole document. ``only``: a target, or an environment's name. Raises ``KeyError`` for another name."""
    names = [target.name for target in chosen(fleet, only)]
    picture = take_picture(fleet, journal, None if only is None else names)
    return {
        "fleet": fleet.name,
        "time": now(),
        "targets": [_target(picture.targets[name]) | {"preview": _preview(fleet, name)} for name in names],
    }


def _preview(fleet: Fleet, target: str) -> dict[str, Any] | None:
    """Of a target in an environment with a lifetime; None: it has none."""
    preview = fleet.environments[fleet.targets[target].environment].preview
    if preview is None:
        return None
    return {"from": preview.origin, "until": preview.until, "expired": preview.is_over(now())}


def chosen(fleet: Fleet, only: str | None) -> list[Target]:
    """The targets that ``only`` names: all, those of an environment, or one. Raises ``KeyError`` for another name."""
    if only is None:
        return list(fleet.targets.values())
    if only in fleet.environments:
        return [target for target in fleet.targets.values() if target.environment == only]
    return [fleet.targets[only]]


def _target(seen: TargetSeen) -> dict[str, Any]:
    return {
        "target": seen.target,
        "release": seen.release,
        "version": seen.version,
        "digest": seen.digest,
        "since": seen.since,
        "by": seen.by,
        "health": seen.health,
        "ready": {
            "state": seen.back.state,
            "to": seen.back.release,
            "reasons": list(seen.back.reasons),
            "seconds": seen.back.seconds,
            "asked": seen.back.asked,
        },
        "drill": msgspec.to_builtins(seen.drill) if seen.drill is not None else None,
        "hosts": [_host(host, seen) for host in seen.hosts],
        "router": _router(seen.router) if seen.router is not None else None,
        "owed": [
            {"host": debt.host, "release": debt.release, "since": debt.since, "rollout": debt.rollout}
            for debt in seen.owed
        ],
        "rollout": _rollout(seen.moving.rollout) if seen.moving is not None else None,
        "failed": _failed(seen),
    }


def _failed(seen: TargetSeen) -> dict[str, Any] | None:
    """The last rollout, where it could not be taken back wholly and nothing has put that right since: hosts that are well again do not
    tell that a flag is up."""
    if seen.moving is not None or seen.last is None or seen.last.state is not RolloutState.FAILED:
        return None
    return {"rollout": seen.last.id, "reason": seen.last.outcome}


def _host(seen: HostSeen, target: TargetSeen) -> dict[str, Any]:
    return {
        "host": seen.host,
        "release": seen.release,
        "version": seen.version,
        "health": seen.health,
        "seen": seen.seen,
        "drift": seen.drift,
        "changed": list(seen.changed),
        "error": seen.error,
        "swarm": _swarm(seen.swarm, target) if seen.swarm is not None else None,
    }


def _swarm(seen: SwarmSeen, target: TargetSeen) -> dict[str, Any]:
    """``running`` and ``wanted``: tasks of the target's release, while a rollout goes on also of that which it brings. ``well``: how many
    of those that run are well, null where their checks do not say. ``nodes`` say how many tasks of this target each has."""
    coming = target.moving.rollout.to_release if target.moving is not None else None
    tasks = on_nodes([seen])
    return {
        "running": seen.running(target.release, coming),
        "wanted": seen.wanted,
        "well": seen.well if target.moving is None else None,
        "tasks": [
            {
                "id": one.id,
                "slot": one.slot or None,
                "node": one.node or None,
                "release": one.release,
                "version": one.version,
                "state": one.state,
                "said": one.said or None,
                "wanted": one.wanted,
            }
            for one in seen.tasks
        ],
        "nodes": [
            {
                "node": one.hostname,
                "state": one.state,
                "availability": one.availability,
                "role": one.role,
                "tasks": tasks.get(one.hostname, 0),
            }
            for one in seen.nodes
        ],
    }


def _router(seen: RouterSeen) -> dict[str, Any]:
    return {
        "router": seen.name,
        "seen": seen.seen,
        "releases": [
            {
                "slot": side.slot,
                "release": side.release or None,
                "version": side.version or None,
                "percent": side.percent,
                "servers": side.servers,
                "live": side.live,
            }
            for side in seen.sides
        ],
        "rules": [{"on": on, "value": value, "slot": slot} for on, value, slot in seen.rules],
        "drift": bool(seen.changed),
        "changed": list(seen.changed),
        "error": seen.error,
    }


def _rollout(active: Rollout) -> dict[str, Any]:
    return {
        "rollout": active.id,
        "kind": str(active.kind),
        "from": active.from_release,
        "to": active.to_release,
        "status": str(active.state),
        "by": active.requested_by,
        "started": active.started,
        "reason": active.outcome,
    }


async def observe(fleet: Fleet, journal: Journal, targets: Collection[str]) -> None:
    """Asks every host of ``targets`` what runs there and whether it is healthy, and the routers in front of them how requests go;
    journals the answers with their time.

    One connection a host, whatever the number of its targets. A host that can't be asked keeps its last known
    release; the error
    and its time are journalled beside it. Raises nothing for a host or a router.
    """
    from quarterdeck.backends.hosts.opening import Hosts

    backend = Hosts.of(fleet)
    hosts: dict[str, list[Target]] = {}
    for name in targets:
        for host in fleet.targets[name].hosts:
            hosts.setdefault(host.name, []).append(fleet.targets[name])
    releases = {name: {row.id: row.release for row in journal.releases(name, limit=200)} for name in targets}
    before = {(o.target, o.host): o for name in targets for o in journal.observations(name)}
    head, _ = journal.head()
    routed = [target for name in targets if (target := fleet.targets[name]).routed is not None]
    pace = Pace(ASKED_AT_ONCE, SLOW)
    answers = await asyncio.gather(
        *(_ask(backend, fleet, host, asked, releases, before, head, pace) for host, asked in hosts.items()),
        *(_ask_router(backend, target, journal, journal.router_observation(target.name)) for target in routed),
    )
    journal.observe([observation for answer in answers for observation in answer])


async def _ask_router(
    backend: "Hosts", target: Target, journal: Journal, before: Observation | None
) -> list[Observation]:
    from quarterdeck.backends.routers.opening import open_router

    assert target.routed is not None
    assert target.router is not None
    hosts = {target.router_host.name: target.router_host} if target.router_host is not None else {}

    async def known() -> Told:
        return told(journal, target.name)

    try:
        async with asyncio.timeout(LOOK):
            router = open_router(target.router, target.routed, backend, hosts)
            try:
                return [await look_at_router(router, target, known)]
            finally:
                await router.close()
    except (BackendError, TimeoutError) as error:
        return [router_unseen(target, before, str(error) or f"no answer within {LOOK:g} s")]


async def _ask(
    backend: "HostBackend",
    fleet: Fleet,
    host: str,
    targets: list[Target],
    releases: dict[str, dict[str, Release]],
    before: dict[tuple[str, str], Observation],
    head: int,
    pace: Pace,
) -> list[Observation]:
    done: list[Observation] = []
    try:
        async with pace.place() as turn, asyncio.timeout(LOOK) as clock:
            connection = await backend.connect(fleet.hosts[host], deadline=LOOK)
            try:
                for target in targets:
                    done.append((await look(connection, target, releases[target.name], head)).observation)
                    # A host that answers is asked to the end, however many targets it has.
                    clock.reschedule(asyncio.get_running_loop().time() + LOOK)
                    turn.moved()
            finally:
                await leave(connection)
    except (BackendError, TimeoutError) as error:
        reason = str(error) or f"no answer within {LOOK:g} s"
        answered = {o.target for o in done}
        done += [
            unseen(target.name, host, before.get((target.name, host)), reason)
            for target in targets
            if target.name not in answered
        ]
    return done
