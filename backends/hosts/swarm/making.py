"""The services of a release: one that holds it while it waits, and what the target's own service is given. Every path that starts a release
begins with the first."""

from collections.abc import Mapping
from dataclasses import dataclass

from quarterdeck.backends.errors import CommandFailed, EngineRefused
from quarterdeck.backends.hosts.docker import making as containers
from quarterdeck.backends.hosts.docker.names import DIGEST, FLEET, MANIFEST, NAME, OPERATION, RELEASE, TARGET
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.manifest import manifest
from quarterdeck.backends.hosts.swarm import names, objects, spec
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Seen, Service, list_services
from quarterdeck.backends.hosts.swarm.names import LEAVING
from quarterdeck.backends.hosts.swarm.templates import same_template
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.release import Release, canonical

_COMPOSE = "com.docker.stack.namespace"


def labels(gate: SwarmGate, release: Release, op_id: str, fleet: str) -> dict[str, str]:
    """Of a service. Its tasks don't know of them: they may change without starting anything."""
    given = containers.spec_of(gate.host, gate.words, release)
    return {
        **spec.deploy_of(given).labels,
        **({_COMPOSE: given.project} if given.project else {}),
        TARGET: release.target,
        **({FLEET: fleet} if fleet else {}),
        NAME: names.live_name(release),
        RELEASE: release.id,
        DIGEST: release.digest,
        OPERATION: op_id,
        MANIFEST: canonical(manifest(release)).decode(),
    }


def _container_labels(given: ContainerSpec, release: Release) -> dict[str, str]:
    return {**given.labels, TARGET: release.target, RELEASE: release.id, DIGEST: release.digest}


async def template(gate: SwarmGate, release: Release, values: Mapping[str, str], known: Service | None) -> Body:
    """What a task of ``release`` is made by, with everything that it needs made. ``known``: a service that has it already."""
    given = containers.spec_of(gate.host, gate.words, release)
    live = names.live_name(release)
    networks = await objects.networks(gate, given)
    container = known.container if known is not None else None
    env = containers.environment(release, values)
    if container is not None:  # what no value was given for is kept as it is there
        before = dict(one.partition("=")[::2] for one in container.get("Env") or ())
        in_files = {one.source for one in given.secrets}
        for name in release.secrets:
            if name not in values and name not in in_files and name in before:
                env[name] = before[name]
    missing = sorted(
        name for name in release.secrets if name not in env and name not in {one.source for one in given.secrets}
    )
    if missing:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"these secrets of {release.id} are not known here: {', '.join(missing)}",
            exit_status=None,
            left=UNCHANGED,
            advice="stage the release again",
        )
    gate.hide(env[name] for name in release.secrets if name in env)
    return spec.task_template(
        given,
        image=release.artifact.location,
        env=env,
        labels=_container_labels(given, release),
        networks=networks,
        api_version=gate.managers.engine.api_version,
        configs=await objects.configs(gate, live, given),
        secrets=await objects.secret_objects(gate, live, given, values, container),
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """The service that holds a release, and what its tasks are to be made by: that may be other than what those that run were."""

    service: Service
    wanted: Body


def _having(seen: Seen, release: Release) -> Service | None:
    """The target's own service, where that has the release already."""
    fixed = seen.fixed
    return fixed if fixed is not None and fixed.labels.get(DIGEST) == release.digest else None


async def keep(
    gate: SwarmGate, seen: Seen, release: Release, values: Mapping[str, str], op_id: str, fleet: str
) -> Kept:
    """The service that holds ``release``, without a task. One that is there is given what differs (rotated secrets), and left as it is
    where nothing does, or where its tasks run: they would be replaced at once."""
    given = containers.spec_of(gate.host, gate.words, release)
    there = seen.kept(release)
    wanted = await template(gate, release, values, there or _having(seen, release))
    if there is not None:
        if same_template(there.template, wanted) or not there.is_stopped:
            return Kept(there, wanted)
        force = int(there.template.get("ForceUpdate") or 0)
        changed = await gate.change_service(
            there, lambda now: {**now.spec, "TaskTemplate": {**wanted, "ForceUpdate": force}}, release
        )
        return Kept(changed, wanted)
    name = names.kept_service(names.live_name(release), release.id)
    body = spec.service(
        name,
        labels(gate, release, op_id, fleet),
        wanted,
        spec.NONE_RUNS,
        spec.endpoint(given, published=False),
        spec.way_back(given),
    )
    try:
        return Kept(await gate.create_service(body, release), wanted)
    except EngineRefused as error:
        if error.status != 409:
            raise _refused(gate, error) from None
        holder = await _holder(gate, name)
        if holder is not None and LEAVING in holder.labels and holder.labels.get(TARGET) == release.target:
            # Whoever was removing it did not come to the end.
            await gate.remove_service(holder)
            return Kept(await gate.create_service(body, release), wanted)
        if holder is not None and holder.release == release.id and holder.labels.get(DIGEST) == release.digest:
            return Kept(holder, wanted)  # somebody was quicker
        raise foreign(gate, name, holder) from None


async def _holder(gate: SwarmGate, name: str) -> Service | None:
    found = await list_services(gate.managers, gate.words, name=name, deadline=gate.left)
    return next((one for one in found if one.name == name), None)


async def refuse_a_foreign_holder(gate: SwarmGate, release: Release) -> None:
    """Raises ``CommandFailed`` where a service that is not this target's has its name. Nothing is changed by that."""
    name = names.live_name(release)
    holder = await _holder(gate, name)
    if holder is not None and holder.labels.get(TARGET) != release.target:
        raise foreign(gate, name, holder)


def foreign(gate: SwarmGate, name: str, holder: Service | None) -> CommandFailed:
    other = holder.labels.get(TARGET) if holder is not None else ""
    image = str(holder.container.get("Image", "")) if holder is not None else ""
    return CommandFailed(
        gate.host,
        gate.words,
        f"the service {name} is not ours: {image or 'it is gone by now'}" + (f", of {other}" if other else ""),
        exit_status=None,
        left="It was not touched",
        advice=f"remove it, or give the service another container_name: docker service inspect {name}",
    )


def _refused(gate: SwarmGate, error: EngineRefused) -> CommandFailed:
    return CommandFailed(
        gate.host,
        gate.words,
        f"the swarm makes no such service: {error.explanation}",
        exit_status=None,
        left="What runs there runs on",
        advice="correct the service's description",
    )
