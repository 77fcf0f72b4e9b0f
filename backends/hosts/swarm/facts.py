"""What a Swarm says of a target: what is current, what could be gone back to, and what was changed behind our back. Changes nothing."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, EngineRefused
from quarterdeck.backends.hosts.contract import KeptRelease, SwarmNode, SwarmTask, TargetFacts
from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.backends.hosts.docker.facts import is_sound
from quarterdeck.backends.hosts.docker.finishing import remembered
from quarterdeck.backends.hosts.docker.names import FLEET, TARGET
from quarterdeck.backends.hosts.swarm import calls, names, spec
from quarterdeck.backends.hosts.swarm.credentials import registry_header
from quarterdeck.backends.hosts.swarm.looking import Node, Seen, Service, Task, is_of, list_services, look
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.templates import made_as, plain
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release, release_from_json

if TYPE_CHECKING:
    import docker

_KNOWN_FOR: Final = (
    1800.0  # seconds in which a registry is not asked again for what it had: some count each question as a pull
)
_MISSING_FOR: Final = 20.0  # and for what it had not, or where it did not answer
_ASKING: Final = 4.0
_GONE: Final = ("manifest unknown", "not found", "denied", "unauthorized")
_AT_ONCE: Final = 5


class Registries:
    """Whether images can still be fetched, by way of a manager: the answers of one connection. Where no registry has one, it is enough
    that the manager's engine has it."""

    def __init__(self, managers: Managers, auth: Auth) -> None:
        self._managers = managers
        self._auth = auth
        self._known: dict[str, tuple[float, bool | None]] = {}

    async def have(self, releases: Sequence[Release], action: str) -> dict[str, bool | None]:
        """By location. None: nobody can tell, as the registry does not answer. Raises nothing."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(release: Release) -> tuple[str, bool | None]:
            async with room:
                return release.artifact.location, await self._has(release, action)

        by_location = {release.artifact.location: release for release in releases}
        return dict(await asyncio.gather(*map(one, by_location.values())))

    async def _has(self, release: Release, action: str) -> bool | None:
        location = release.artifact.location
        at, found = self._known.get(location, (0.0, None))
        if at and time.monotonic() - at < (_KNOWN_FOR if found else _MISSING_FOR):
            return found
        header = await registry_header(self._auth, release)

        def ask(client: "docker.APIClient") -> None:
            calls.get(client, f"/distribution/{location}/json", header)

        def is_here(client: "docker.APIClient") -> None:
            calls.get(client, f"/images/{location}/json")

        found = await self._answer(action, ask)
        if not found and await self._answer(action, is_here):
            found = True
        self._known[location] = time.monotonic(), found
        return found

    async def _answer(self, action: str, question: "Callable[[docker.APIClient], None]") -> bool | None:
        """Of the manager that is asked anyway, and of no other: where a registry hangs, that is no manager's fault."""
        try:
            await self._managers.engine.call(action, question, deadline=_ASKING)
        except EngineRefused as error:
            said = error.explanation.lower()
            gone = error.status in (401, 403, 404) or any(words in said for words in _GONE)
            return False if gone else None
        except BackendError:
            return None
        return True


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
    return await facts_of(registries, target, seen, listed, foreign)


def foreign_holder(holder: Service) -> str:
    """In the words of drift."""
    return f"the name {holder.name} is held by a service that is not ours ({holder.container.get('Image')})"


async def facts_of(
    registries: Registries, target: str, seen: Seen, listed: Sequence[Node], foreign: str
) -> TargetFacts:
    """What ``seen`` means. ``foreign``: who else holds the live name, in words."""
    action = f"read what runs of {target}"
    every = remembered(seen.state, [(one.release, one.manifest) for one in seen.services])
    sound = {id: found for id, body in every.items() if (found := _release_in(id, body)) is not None}
    there = await registries.have(list(sound.values()), action)
    waiting = {one.release for one in seen.services if not one.is_fixed}

    def intact(id: str) -> bool:
        """Where nobody can tell whether its image is there, what has it all else is believed to run again: most nodes have it."""
        found = there.get(sound[id].artifact.location) if id in sound else False
        return id in waiting if found is None else found

    kept = tuple(KeptRelease(id, intact(id), body, id in waiting) for id, body in every.items())
    changed = drift_of(seen, listed)
    gone = [
        f"the image of {one.release}, which is good, can't be fetched any more"
        for one in kept
        if not one.intact and one.release in seen.state.good
    ]
    live = seen.live
    running = seen.running(seen.current) if seen.current else ()
    return TargetFacts(
        current=seen.current,
        running=bool(running),
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
            _told(one, listed) for one in sorted(seen.tasks, key=lambda one: (one.slot, one.at)) if _is_shown(one)
        ),
        nodes=tuple(SwarmNode(one.hostname, one.state, one.availability, one.manager, one.leader) for one in listed),
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


def _told(task: Task, nodes: Sequence[Node]) -> SwarmTask:
    node = next((one.hostname for one in nodes if one.id == task.node), "")
    return SwarmTask(task.id, task.slot, node, task.release, task.state, clean(task.said), wanted=task.is_wanted)


def drift_of(seen: Seen, nodes: Sequence[Node]) -> list[str]:
    """What makes it other than it was started, in words. A rollout puts it right."""
    found: list[str] = []
    live, started = seen.live, seen.state.started
    if live is None:
        return ["the service that was live is gone"] if started else []
    if live.release != seen.current:
        done = len(seen.running(live.release))
        found.append(f"an update to {live.release} was begun and is not ended: {done} of its tasks run")
    elif started and started.get("id") != live.id:
        found.append(f"the service {live.name} is not the one that was started: somebody has made it anew")
    elif started and started.get("at") != made_as(live.spec):
        found.append(f"the service {live.name} was changed, not by qd: {_difference(seen, live)}")
    found += _tasks_of(seen, live)
    for one in seen.services:
        if one.id != live.id and not one.is_stopped:
            found.append(f"{one.name} ({one.release}) runs as well")
    hosts = {one.id: one for one in nodes}
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
    if not live.is_global and live.release == seen.current and len(running) < live.replicas:
        waiting = next((one for one in wanted if not one.runs), None)
        why = f": one is {waiting.state}" + (f", {clean(waiting.said)}" if waiting.said else "") if waiting else ""
        found.append(f"{len(running)} of {live.replicas} tasks of {live.name} run{why}")
    if live.update == "paused":
        found.append(f"Swarm has paused an update of {live.name}: {clean(live.update_said)}")
    if live.update.startswith("rollback"):
        found.append(f"Swarm itself has begun to take {live.name} back ({live.update.replace('_', ' ')})")
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
    "HealthCheck": "health check",
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
