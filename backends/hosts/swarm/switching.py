"""Puts one release in the place of another, and says what is there afterwards. Every path begins with what it finds: one that was cut short
anywhere is finished, or taken back, by the next switch.

Without a choice of ports there is one service with the target's own name, which goes from release to release. Where a range of ports lets
two releases be reached side by side, each has a service of its own, which runs or has no task."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused
from quarterdeck.backends.hosts.docker import ports
from quarterdeck.backends.hosts.docker.making import spec_of
from quarterdeck.backends.hosts.docker.names import OPERATION, PORTS
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.swarm import calls, making, names, spec
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.failures import advice_where_lost, what_runs, while_lost
from quarterdeck.backends.hosts.swarm.gate import ANSWER, Spec, SwarmGate
from quarterdeck.backends.hosts.swarm.health import SwarmHealth
from quarterdeck.backends.hosts.swarm.looking import Seen, Service, is_of, list_services, list_tasks
from quarterdeck.backends.hosts.swarm.making import Kept
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.rolling import Roll, way_of
from quarterdeck.backends.hosts.swarm.templates import is_made_as, made_as, same_reach, same_template
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.release import Release

Outcome = dict[str, Any]
_TRIES: Final = 3
_PAUSE: Final = 0.1  # seconds between two looks whether something has stopped
_IN_USE: Final = ("already in use", "is already allocated")


@dataclass(frozen=True, slots=True)
class Means:
    """What an action works with. ``seconds``: for each step forward of an update."""

    gate: SwarmGate
    nodes: Nodes
    health: SwarmHealth
    fleet: str
    seconds: float

    def roll(self, release: Release, *, proved: bool) -> Roll:
        gate = self.gate
        way = way_of(spec_of(gate.host, gate.words, release), release, proved=proved)
        return Roll(gate, self.nodes, self.health, release, way, self.seconds)


async def switch(
    means: Means,
    seen: Seen,
    release: Release,
    values: Mapping[str, str],
    action: str,
    op_id: str,
    *,
    served: bool = False,
) -> Outcome:
    gate = means.gate
    given = spec_of(gate.host, gate.words, release)
    if action == "stop":
        return await _stop(means, seen)
    await making.refuse_a_foreign_holder(gate, release)
    if seen.kept(release) is None and release.id not in seen.state.releases:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"release {release.id} is not on the host: the swarm has no service of it",
            exit_status=None,
            left=UNCHANGED,
            advice="try again: what a swarm lacks is put there before it is switched",
        )
    kept = await making.keep(gate, seen, release, values, op_id, means.fleet)
    if ports.has_ranges(given):
        return await _side_by_side(means, seen, release, kept, given, action, op_id, served=served)
    return await _in_one_service(means, seen, release, kept, given, action, op_id, served=served)


async def _in_one_service(
    means: Means,
    seen: Seen,
    release: Release,
    kept: Kept,
    given: ContainerSpec,
    action: str,
    op_id: str,
    *,
    served: bool,
) -> Outcome:
    gate, previous = means.gate, seen.current
    fixed = seen.fixed
    labels = making.labels(gate, release, op_id, means.fleet)
    deploy = spec.deploy_of(given)
    body = spec.service(
        names.live_name(release),
        labels,
        dict(kept.wanted),
        spec.mode(deploy),
        spec.endpoint(given),
        spec.way_back(given),
    )
    if action == "none":
        body = _without_tasks(body)
    others = [one for one in seen.services if not one.is_fixed and not one.is_stopped]
    # What is there already is not gone back to: it is started anew part by part.
    proved = release.id in seen.state.good and (fixed is None or not is_in_place(seen, fixed, release))
    roll = means.roll(release, proved=proved)
    if fixed is not None and fixed.is_global != (deploy.mode == "global"):
        await _stopped(means, [fixed])
        await gate.remove_service(fixed)  # a service never changes from the one to the other
        fixed = None
    if fixed is None:
        await _stopped(means, others)
        service = await roll.created(seen, await _create(gate, body, release))
    elif action == "none":
        service = await gate.change_service(fixed, lambda now: _over(now, body), release)
        await _ended(means, [service])
    else:
        there = _is_there(seen, fixed, release, body)
        anew = action == "restart" and not others and not served
        if there and not anew and fixed.update not in ("updating", "paused"):
            service = await roll.created(seen, fixed)
        else:
            begun = fixed.labels.get(OPERATION) == op_id  # by this very operation, whose worker has died
            # Other ports alone make Swarm replace every task, and nothing of a task would tell that it was.
            moved = same_template(fixed.template, body["TaskTemplate"]) and not same_reach(
                fixed.spec, {**body, "Mode": fixed.spec.get("Mode")}
            )
            body = _with_force(body, fixed, int(moved or (there and anew and not begun)))
            service = await roll.update(seen, fixed, lambda now: _over(now, body))
    await _stopped(means, others)
    return await _read_back(means, release, previous, service)


def _is_there(seen: Seen, fixed: Service, release: Release, body: Spec) -> bool:
    """Every task is as the release says: nothing would come of an update to it."""
    return (
        fixed.release == release.id
        and is_made_as(fixed.spec, body)
        and all(is_of(one, fixed) for one in seen.of(fixed) if one.is_wanted)
    )


def is_in_place(seen: Seen, fixed: Service, release: Release) -> bool:
    """It runs there, and is not on its way there from another release, on which a worker may have died. Then tasks of another one are
    still to run; or Swarm is at work with none of our pauses, which no gated update is between two parts."""
    held = round(spec.HOLD * 1e9)
    goes_back = fixed.update == "updating" and (fixed.spec.get("UpdateConfig") or {}).get("Delay") != held
    if fixed.release != release.id or goes_back:
        return False
    return all(one.release == release.id for one in seen.of(fixed) if one.is_wanted)


def _over(now: Service, body: Spec) -> Spec:
    """``body`` in the place of what the service is; how it is updated is the roll's."""
    return {**body, "UpdateConfig": now.spec.get("UpdateConfig"), "RollbackConfig": body["RollbackConfig"]}


def _with_force(body: Mapping[str, Any], now: Service, more: int) -> Spec:
    """``more``: how many restarts are asked for beside those that were."""
    force = int(now.template.get("ForceUpdate") or 0) + more
    return {**body, "TaskTemplate": {**body["TaskTemplate"], "ForceUpdate": force}}


def _without_tasks(body: Mapping[str, Any]) -> Spec:
    if "Global" in body["Mode"]:
        return {**body, "TaskTemplate": spec.stopped(dict(body["TaskTemplate"]))}
    return {**body, "Mode": spec.NONE_RUNS}


async def _create(gate: SwarmGate, body: Spec, release: Release) -> Service:
    for left in reversed(range(_TRIES)):
        try:
            return await gate.create_service(body, release)
        except EngineRefused as error:
            said = error.explanation
            if error.status == 409 and "name conflicts" in said and left:
                # One of ours that is being removed, or an older worker's last call: it is gone, or goes on as ours.
                seen = await gate.look()
                if seen.fixed is not None:
                    return await gate.change_service(seen.fixed, lambda now: _over(now, body), release)
                for one in seen.aside:
                    await gate.remove_service(one)
                continue
            raise await _refused(gate, said) from None
    raise AssertionError("the last try raises")


async def _refused(gate: SwarmGate, said: str) -> CommandFailed:
    in_use = any(words in said for words in _IN_USE)
    return CommandFailed(
        gate.host,
        gate.words,
        f"the swarm does not take it: {said}",
        exit_status=None,
        left=await what_runs(gate),
        advice="another service publishes that port: docker service ls"
        if in_use
        else "correct the service's description",
    )


# Each release in a service of its own.


async def _side_by_side(
    means: Means,
    seen: Seen,
    release: Release,
    kept: Kept,
    given: ContainerSpec,
    action: str,
    op_id: str,
    *,
    served: bool,
) -> Outcome:
    previous, live, own = seen.current, seen.live, kept.service
    others = [one for one in seen.services if one.id != own.id and not one.is_stopped]
    in_place = live is not None and live.id == own.id
    roll = means.roll(release, proved=release.id in seen.state.good and not in_place)
    if action == "none":
        await _stopped(means, [*others, *([] if own.is_stopped else [own])])
        return _outcome(release.id, previous, own)
    live_runs = live is not None and not live.is_stopped
    if in_place:
        await _stopped(means, others)
        other = not same_template(own.template, kept.wanted)  # secrets were rotated
        restart = action == "restart" and not others and not served
        if live_runs and (other or restart):
            body = _with_force({**own.spec, "TaskTemplate": kept.wanted}, own, int(not other))
            service = await roll.update(seen, own, _as_wanted(body["TaskTemplate"], given))
        else:
            service = await _started(means, seen, roll, kept, release, given, op_id)
        return await _read_back(means, release, previous, service)
    if action == "restart" and live is not None and live_runs:
        await _stopped(means, [one for one in others if one.id != live.id])
        try:
            await _started(means, seen, roll, kept, release, given, op_id)
        except CommandFailed:
            await _quietly_stopped(means, own)
            raise
        return {"current": previous, "previous": previous, "beside": True, "state": {"current": previous or ""}}
    await _stopped(means, others)
    service = await _started(means, seen, roll, kept, release, given, op_id)
    return await _read_back(means, release, previous, service)


def _as_wanted(template: Body, given: ContainerSpec) -> Callable[[Service], Spec]:
    """On the ports that it has."""
    mode = spec.mode(spec.deploy_of(given))
    return lambda now: {**now.spec, "Mode": mode, "TaskTemplate": template}


async def _started(
    means: Means, seen: Seen, roll: Roll, kept: Kept, release: Release, given: ContainerSpec, op_id: str
) -> Service:
    """It runs with all its tasks, on ports that nobody else has."""
    gate, deploy, own = means.gate, spec.deploy_of(given), kept.service
    if not own.is_stopped:  # by a worker that died, or that was overtaken
        goes_on = own.update in ("updating", "paused") and not all(
            is_of(one, own) for one in seen.of(own) if one.is_wanted
        )
        scaled = not own.is_global and own.replicas != deploy.replicas  # by hand, or by an autoscaler
        if same_template(own.template, kept.wanted) and not goes_on and not scaled:
            return await roll.created(seen, own)
        template = _with_force({"TaskTemplate": kept.wanted}, own, 0)["TaskTemplate"]  # secrets were rotated since
        return await roll.update(seen, own, _as_wanted(template, given))
    refused: set[str] = set()
    while True:
        listed: list[Body] = await gate.ask(lambda client: calls.get(client, "/services"))
        taken = {
            f"{port['PublishedPort']}/{port.get('Protocol', 'tcp')}"
            for one in listed
            if one["ID"] != own.id
            for port in ((one.get("Endpoint") or {}).get("Spec") or {}).get("Ports") or ()
            if port.get("PublishedPort")
        }
        held = {port for one in seen.services if one.id != own.id for port in one.chosen_ports}
        chosen_spec, chosen = ports.choose(given, refused, taken, held)

        def start(now: Service, chosen_spec: ContainerSpec = chosen_spec, chosen: ports.Taken = chosen) -> Spec:
            labels = {**now.labels, PORTS: " ".join(sorted(chosen)), **making.labels(gate, release, op_id, means.fleet)}
            return {**now.spec, "Labels": labels, "Mode": spec.mode(deploy), "EndpointSpec": spec.endpoint(chosen_spec)}

        try:
            service = await gate.change_service(own, start, release)
        except EngineRefused as error:
            refused |= chosen
            if any(words in error.explanation for words in _IN_USE) and ports.is_left(given, refused):
                continue
            raise await _refused(gate, error.explanation) from None
        return await roll.created(seen, service)


async def retire(means: Means, seen: Seen, release: Release) -> Outcome:
    """What ran beside ``release`` ends, and that is current."""
    gate, previous = means.gate, seen.current
    if previous == release.id:
        return {"current": previous, "previous": previous, "state": {"current": previous}}
    kept = seen.kept(release)
    if kept is None or kept.is_stopped or not seen.running(release.id):
        raise CommandFailed(
            gate.host,
            gate.words,
            f"{release.id} does not run beside {previous or 'anything'}",
            exit_status=None,
            left=UNCHANGED,
        )
    fixed = seen.fixed
    await _stopped(means, [one for one in seen.services if one.id != kept.id and not one.is_stopped])
    if fixed is not None:
        await gate.remove_service(fixed)
    return await _read_back(means, release, previous, kept)


async def withdraw(means: Means, seen: Seen, release: Release, *, every: bool) -> Outcome:
    previous = seen.current
    mine = [one for one in seen.services if every or one.release == release.id]
    await _stopped(means, [one for one in mine if not one.is_stopped])
    for one in mine:
        if one.is_fixed:
            await means.gate.remove_service(one)
    current = None if every or previous in (None, release.id) else previous
    return {"current": current, "previous": previous, "state": {"current": current or "", "started": {}}}


async def _stop(means: Means, seen: Seen) -> Outcome:
    await _stopped(means, [one for one in seen.services if not one.is_stopped])
    return {"current": seen.current, "previous": seen.current, "state": {"current": seen.current or "", "started": {}}}


async def _stopped(means: Means, services: Sequence[Service]) -> None:
    """None of them has a task any more. Returns when what ran has ended, where that can be seen."""
    gate = means.gate
    for one in services:

        def stop(now: Service) -> Spec:
            body = _without_tasks(now.spec)
            if not now.is_fixed:  # its ports are given up
                body["EndpointSpec"] = {"Mode": (now.spec.get("EndpointSpec") or {}).get("Mode") or "vip"}
            return body

        await gate.change_service(one, stop)
    await _ended(means, services)


async def _quietly_stopped(means: Means, service: Service) -> None:
    """After a failure, which is what is told."""
    try:
        await _stopped(means, [service])
    except BackendError:
        return  # the facts tell of it, and the next switch ends it


async def _ended(means: Means, services: Sequence[Service]) -> None:
    if not services:
        return
    gate = means.gate
    ids = {one.id for one in services}
    graces = [one.container_spec.stop_grace_period for one in services if one.container_spec is not None]
    gate.allow(max([10.0, *graces]) + means.seconds)
    while True:
        try:
            tasks = await list_tasks(gate.managers, gate.words, sorted(ids), deadline=max(ANSWER, gate.left))
        except EngineRefused as error:
            if error.status != 404:
                raise
            there = await list_services(gate.managers, gate.words, target=gate.fence.target, deadline=gate.left)
            ids &= {one.id for one in there}  # one was removed by somebody else
            if not ids or gate.is_over:
                return
            await asyncio.sleep(_PAUSE)
            continue
        nodes = {one.id: one for one in await means.nodes.all(gate.words, deadline=max(ANSWER, gate.left))}
        left = [one for one in tasks if one.may_run and one.node in nodes and nodes[one.node].is_ready]
        if not left:
            return
        if gate.is_over:
            lost = await means.nodes.lost_managers(gate.words, deadline=ANSWER)
            raise CommandFailed(
                gate.host,
                gate.words,
                f"{len(left)} task{'s have' if len(left) > 1 else ' has'} not ended{while_lost(lost)}",
                exit_status=None,
                advice=advice_where_lost(lost) or "see what holds them, on their nodes: docker ps",
            )
        await asyncio.sleep(_PAUSE)


# What is there afterwards.


async def _read_back(means: Means, release: Release, previous: str | None, service: Service) -> Outcome:
    """Raises ``CommandFailed`` where a task that is to run is of another release."""
    gate = means.gate
    seen = await gate.look()
    now = next((one for one in seen.services if one.id == service.id), None)
    odd = [
        one
        for one in seen.tasks
        if one.is_wanted and (one.digest != release.digest or one.image != release.artifact.location)
    ]
    if now is None or now.release != release.id or odd:
        what = f"a task of {odd[0].release or odd[0].image}" if odd else "another service"
        raise CommandFailed(
            gate.host, gate.words, f"what runs is not {release.id} alone: {what} is there", exit_status=None
        )
    return _outcome(release.id, previous, now)


def _outcome(current: str | None, previous: str | None, service: Service) -> Outcome:
    return {
        "current": current,
        "previous": previous,
        "state": {"current": current or "", "started": {"id": service.id, "at": made_as(service.spec)}},
    }
