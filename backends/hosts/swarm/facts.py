"""What a Swarm says of a target: what is current, what could be gone back to, and what was changed behind our back. Changes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quarterdeck.backends.hosts.contract import KeptRelease, SwarmNode, SwarmTask, TargetFacts
from quarterdeck.backends.hosts.docker.facts import is_sound
from quarterdeck.backends.hosts.docker.finishing import remembered
from quarterdeck.backends.hosts.docker.names import FLEET, TARGET
from quarterdeck.backends.hosts.swarm import names, spec
from quarterdeck.backends.hosts.swarm.looking import Node, Seen, Service, Task, is_of, list_services, look
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.placement import misfit
from quarterdeck.backends.hosts.swarm.registries import NOT_ASKED, Registries
from quarterdeck.backends.hosts.swarm.templates import made_as, plain
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release, release_from_json

_WITHIN: Final = 8.0  # seconds that a look waits for registries, where nobody else is waited for
_SOON: Final = 2.0  # and one of those that are made again and again


async def read_facts(
    managers: Managers, nodes: Nodes, registries: Registries, target: str, release: Release | None, *, deadline: float
) -> TargetFacts:
    action = f"read what runs of {target}"
    seen = await look(managers, target, action, deadline=deadline)
    listed = await nodes.all(action, deadline=deadline, fresh=True)
    foreign = ""
    if release is not None and seen.fixed is None:
        name = names.live_name(release)
        named = await list_services(managers, action, name=name, deadline=deadline)
        holder = next((one for one in named if one.name == name and one.labels.get(TARGET) != target), None)
        if holder is not None:
            foreign = foreign_holder(holder)
    return await facts_of(registries, target, seen, listed, foreign, within=min(_WITHIN, deadline / 2))


def _wants_none(live: Service | None) -> bool:
    """Whether its release says that no task is to run."""
    given = live.container_spec if live is not None else None
    return given is not None and spec.deploy_of(given).mode != "global" and not spec.deploy_of(given).replicas


def foreign_holder(holder: Service) -> str:
    """In the words of drift."""
    return f"the name {holder.name} is held by a service that is not ours ({holder.container.get('Image')})"


async def facts_of(
    registries: Registries,
    target: str,
    seen: Seen,
    listed: Sequence[Node],
    foreign: str,
    *,
    within: float = _SOON,
    patient: bool = True,
) -> TargetFacts:
    """What ``seen`` means. ``foreign``: who else holds the live name, in words. ``within``, ``patient``: see ``Registries.have``."""
    action = f"read what runs of {target}"
    every = remembered(seen.state, [(one.release, one.manifest) for one in seen.services])
    sound = {id: found for id, body in every.items() if (found := _release_in(id, body)) is not None}
    waiting = {one.release for one in seen.services if not one.is_fixed}
    first = sorted(sound, key=lambda id: id not in waiting)  # a way back leads to one of those that wait
    there = await registries.have([sound[id] for id in first], action, within=within, patient=patient)
    answers = {id: there.get(sound[id].artifact.location, NOT_ASKED) for id in sound}

    def kept_one(id: str, body: Mapping[str, Any] | None) -> KeptRelease:
        """Where nobody can tell whether its image is there, what has it all else is believed to run again: most nodes have it."""
        answer = answers.get(id)
        has = answer.has if answer is not None else False
        intact = id in waiting if has is None else has
        return KeptRelease(id, intact, body, id in waiting, answer.time if answer is not None else "")

    kept = tuple(kept_one(id, body) for id, body in every.items())
    changed = drift_of(seen, listed)
    gone = [
        f"the image of {id}, which is good, can't be fetched any more"
        for id, answer in answers.items()
        if answer.has is False and id in seen.state.good
    ]
    live = seen.live
    running = seen.running(seen.current) if seen.current else ()
    return TargetFacts(
        current=seen.current,
        running=bool(running) or (None if _wants_none(live) else False),
        kept=kept,
        epoch=seen.epoch,
        holder=seen.state.holder,
        anchor=seen.state.anchor,
        good=seen.state.good,
        bad=seen.state.bad,
        free_bytes=None,
        drift=(*changed, *gone, *([foreign] if foreign else ()), *around(listed, seen)),
        as_started=not changed,
        left=tuple(one.name for one in seen.aside),
        fleet=live.labels.get(FLEET, "") if live is not None else "",
        tasks=tuple(
            _told(one, listed, sound)
            for one in sorted(seen.tasks, key=lambda one: (one.slot, one.at))
            if _is_shown(one)
        ),
        nodes=tuple(SwarmNode(one.hostname, one.state, one.availability, one.manager, one.leader) for one in listed),
        mismatch=next((words for one in seen.tasks if one.is_wanted and (words := _mismatch(one, sound))), ""),
    )


def _release_in(id: str, manifest: Mapping[str, Any] | None) -> Release | None:
    if manifest is None or not is_sound(id, manifest):
        return None
    try:
        return release_from_json(manifest["release"])
    except (KeyError, ValueError):
        return None


def _is_shown(task: Task) -> bool:
    """What runs, is to run, or is on its way out; of history nothing."""
    return task.is_wanted or task.may_run


def _told(task: Task, nodes: Sequence[Node], releases: Mapping[str, Release]) -> SwarmTask:
    """One that runs something else in the name of a release is of none."""
    node = next((one.hostname for one in nodes if one.id == task.node), "")
    other = _mismatch(task, releases)
    release, said = ("", other) if other else (task.release, clean(task.said))
    return SwarmTask(task.id, task.slot, node, release, task.state, said, wanted=task.is_wanted)


def _mismatch(task: Task, releases: Mapping[str, Release]) -> str:
    """Why it is not of the release that its label names; empty: it is, or nothing is known of that release."""
    release = releases.get(task.release)
    if task.release and release is None:
        return ""
    if release is not None and (task.image, task.digest) == (release.artifact.location, release.digest):
        return ""
    return f"a task in the name of {task.release or 'no release'} is of {clean(task.image)}"


def drift_of(seen: Seen, nodes: Sequence[Node]) -> list[str]:
    """What makes it other than it was started, in words. A rollout puts it right."""
    found: list[str] = []
    live, started = seen.live, seen.state.started
    if live is None:
        return ["the service that was live is gone"] if started else []
    if live.release != seen.current:
        done = len(seen.running(live.release))
        found.append(f"an update to {live.release} was begun and is not ended: {done} of its tasks run")
    elif started and started.get("id") != live.id and not live.is_fixed and live.is_stopped:  # it only waits there
        found.append("the service that was live is gone")
    elif started and started.get("id") != live.id:
        found.append(f"the service {live.name} is not the one that was started: somebody has made it anew")
    elif started and started.get("at") != made_as(live.spec):
        found.append(f"the service {live.name} was changed, not by qd: {_difference(seen, live)}")
    hosts = {one.id: one for one in nodes}
    found += _tasks_of(seen, live)
    found += _misplaced(seen, live, hosts)
    for one in seen.services:
        if one.id != live.id and not one.is_stopped:
            found.append(f"{one.name} ({one.release}) runs as well")
    wanted = {live.release, *(one.release for one in seen.services if not one.is_stopped)}
    for task in seen.tasks:
        node = hosts.get(task.node)
        if (
            task.release not in wanted
            and task.may_run
            and node is not None
            and not node.is_ready
            and not task.is_wanted
        ):
            found.append(f"a task of {task.release} may still run on {node.hostname}, which is {node.state}")
    return found


def _tasks_of(seen: Seen, live: Service) -> list[str]:
    wanted = [one for one in seen.of(live) if one.is_wanted and is_of(one, live)]
    running = [one for one in wanted if one.runs]
    found: list[str] = []
    due = len(wanted) if live.is_global else live.replicas
    if live.is_global and not live.is_stopped and not wanted:
        found.append(f"{live.name} has no task: no node fits, or none takes tasks")
    elif live.release == seen.current and len(running) < due:
        waiting = next((one for one in wanted if not one.runs), None)
        why = f": one is {waiting.state}" + (f", {clean(waiting.said)}" if waiting.said else "") if waiting else ""
        found.append(f"{len(running)} of {due} tasks of {live.name} run{why}")
    if live.update == "paused":
        found.append(f"Swarm has paused an update of {live.name}: {clean(live.update_said)}")
    if live.update.startswith("rollback"):
        found.append(f"Swarm itself has begun to take {live.name} back ({live.update.replace('_', ' ')})")
    return found


def _misplaced(seen: Seen, live: Service, hosts: Mapping[str, Node]) -> list[str]:
    """Where a node's labels were changed Swarm moves its tasks, but for those of a node that is paused."""
    constraints: Sequence[str] = (live.template.get("Placement") or {}).get("Constraints") or ()
    found: list[str] = []
    for task in seen.of(live):
        node = hosts.get(task.node)
        unmet = misfit(node, constraints) if node is not None and task.runs and task.is_wanted else ""
        if node is not None and unmet:
            found.append(f"a task of {task.release} runs on {node.hostname}, which does not fulfil {unmet}")
    return found


def _difference(seen: Seen, live: Service) -> str:
    """In which parts the service is other than its release says."""
    release = _release_in(live.release, live.manifest)
    kept = next((one for one in seen.services if not one.is_fixed and one.release == live.release), None)
    parts: list[str] = []
    if release is not None and live.container.get("Image") != release.artifact.location:
        parts.append(f"its image is {live.container.get('Image')}, and {live.release} says {release.artifact.location}")
    if release is not None and release.container is not None:
        deploy = spec.deploy_of(release.container)
        if not live.is_global and live.replicas != deploy.replicas:
            parts.append(f"it has {live.replicas} replicas, and {live.release} says {deploy.replicas}")
    if kept is not None:
        parts += _other_parts(live.template, kept.template)
    if not parts:
        parts.append("its tasks, ports or mode are others")
    return "; ".join(parts)


_NAMED: Final = {
    "Env": "environment",
    "Args": "command",
    "Command": "entrypoint",
    "Mounts": "mounts",
    "Configs": "configs",
    "Secrets": "secrets",
    "Placement": "placement",
    "Resources": "resources",
    "RestartPolicy": "restart policy",
    "Networks": "networks",
    "LogDriver": "logging",
    "Healthcheck": "health check",
}


def _other_parts(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """By name alone: a value may be a secret."""
    mine: Mapping[str, Any] = plain({**one, **(one.get("ContainerSpec") or {})})
    theirs: Mapping[str, Any] = plain({**other, **(other.get("ContainerSpec") or {})})
    found = [words for key, words in _NAMED.items() if mine.get(key) != theirs.get(key)]
    force = int(one.get("ForceUpdate") or 0) != int(other.get("ForceUpdate") or 0)
    return [f"changed: {', '.join(found)}"] if found else (["a restart was forced"] if force else [])


def around(nodes: Sequence[Node], seen: Seen) -> list[str]:
    """What is wrong with the swarm itself: no reason to refuse a rollout, and nothing that one puts right."""
    found = [f"the node {one.hostname} is {one.state}" for one in nodes if not one.is_ready]
    drained = {one.id: one for one in nodes if one.availability == "drain"}
    for task in seen.tasks:
        node = drained.get(task.node)
        if node is not None and task.runs and task.is_wanted:
            found.append(f"a task of {task.release} runs on {node.hostname}, which is drained")
    managers = [one for one in nodes if one.manager]
    reachable = [one for one in managers if one.is_ready]
    if managers and len(reachable) * 2 <= len(managers) + 1 and len(reachable) < len(managers):
        found.append(
            f"{len(reachable)} of {len(managers)} managers are there: with one less the swarm decides nothing any more"
        )
    return found
