"""Brings a release to a Swarm: its image is there to be fetched by digest, and a service without a task holds everything else of it."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import docker
import docker.errors

from quarterdeck.backends.errors import ArtifactRefused, BackendError, CommandFailed
from quarterdeck.backends.hosts.docker import images
from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.backends.hosts.docker.making import spec_of
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.manifest import manifest
from quarterdeck.backends.hosts.swarm import calls, making
from quarterdeck.backends.hosts.swarm.fetchable import refuse_gone, refuse_missing
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.placement import obstacle
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.release import Release, canonical

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_AT_ONCE: Final = 10  # nodes that fetch an image at the same time: they share a registry
_LOCAL: Final = 5.0  # seconds for what a manager knows by itself
_FETCHING: Final = 300.0  # seconds that a node is waited for, which fetches the image itself for its task else
LARGEST: Final = 150_000  # bytes of one release's manifest; some eight of them are remembered
LARGEST_SECRET: Final = 500 * 1024 - 1  # bytes that a swarm takes


async def stage(
    gate: SwarmGate, nodes: Nodes, release: Release, values: Mapping[str, str], auth: Auth, fleet: str
) -> bool:
    """Whether it was there already. Raises ``ArtifactMissing``, ``ArtifactRefused``, ``NotPermitted``, ``CommandFailed``, ``Fenced``."""
    given = spec_of(gate.host, gate.words, release)
    if images.travels(release):
        raise CommandFailed(
            gate.host,
            gate.words,
            f"no registry has the image of {release.id}, and the nodes of a swarm fetch theirs from one",
            exit_status=None,
            left=UNCHANGED,
            advice="push it to a registry, and name that in the service's image",
        )
    if not release.artifact.location.endswith(f"@sha256:{release.artifact.sha256}"):
        raise ArtifactRefused(
            gate.host, gate.words, f"{release.artifact.location} is not named by its digest", left=UNCHANGED
        )
    _refuse_what_is_too_large(gate, release, given, values)
    seen = await gate.look()
    await making.refuse_a_foreign_holder(gate, release)
    if release.id not in seen.state.good:  # what has proved itself may come back to fewer nodes than it was made for
        await _refuse_without_a_place(gate, nodes, release, given)
    there = seen.kept(release)
    if there is None:
        await refuse_missing(gate, nodes, release, auth)
    else:
        await refuse_gone(gate, nodes, release, auth)
        if not values:
            return True
    if (claim := gate.claim(seen)) is not None:
        await gate.remember(claim, seen.epoch)
    seen = await gate.claimed(seen)
    already = seen.kept(release)
    kept = await making.keep(gate, seen, release, values, "stage", fleet)
    if already is None:
        await _fetch_everywhere(gate, nodes, release, auth)
    return already is not None and kept.service.version == already.version


def _refuse_what_is_too_large(
    gate: SwarmGate, release: Release, given: ContainerSpec, values: Mapping[str, str]
) -> None:
    """What a swarm keeps of a release, in labels of which it takes 1.5 MB at once for all that are remembered; and of secrets each."""
    size = len(canonical(manifest(release)))
    if size > LARGEST:
        largest = max(given.files, key=lambda one: len(one.content.encode()), default=None)
        which = f" (most of it {largest.target})" if largest is not None else ""
        told = f"the description of {release.id} with its configs is {size // 1000} kB{which}"
        raise CommandFailed(
            gate.host,
            gate.words,
            f"{told}, and a swarm is given {LARGEST // 1000} kB at most",
            exit_status=None,
            left=UNCHANGED,
            advice="put large files into the image, or a volume",
        )
    empty = next((one.target for one in given.files if not one.content), "")
    if empty:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"the config {empty} is empty, and a swarm takes none that is",
            exit_status=None,
            left=UNCHANGED,
            advice="leave it out, or write a comment into it",
        )
    for name in sorted({one.source for one in given.secrets if one.source in values}):
        if not 0 < (length := len(values[name].encode())) <= LARGEST_SECRET:
            raise CommandFailed(
                gate.host,
                gate.words,
                f"the secret {name} has {length:,} bytes, and a swarm takes 1 to {LARGEST_SECRET:,}",
                exit_status=None,
                left=UNCHANGED,
                advice="give it a value"
                if not length
                else "encrypt a large file in the image, and let the secret be its key",
            )


async def _refuse_without_a_place(gate: SwarmGate, nodes: Nodes, release: Release, given: ContainerSpec) -> None:
    """Before anything changes, rather than after tasks were waited for that no node takes."""
    listed = await nodes.all(gate.words, deadline=gate.left, fresh=True)
    found = obstacle(given, listed)
    if found is not None:
        problem, advice = found
        raise CommandFailed(
            gate.host,
            gate.words,
            f"{release.id} has no place: {problem}",
            exit_status=None,
            left=UNCHANGED,
            advice=advice,
        )


async def _fetch_everywhere(gate: SwarmGate, nodes: Nodes, release: Release, auth: Auth) -> None:
    """Lets the nodes that can be reached fetch the image now rather than in the middle of an update. What fails, fails nothing: the node
    itself fetches it for its task."""
    try:
        listed = await nodes.all(gate.words, deadline=min(_LOCAL, gate.left))
    except BackendError:
        return
    repository, _, digest = release.artifact.location.partition("@")
    credentials = await auth(repository) or {}
    room = asyncio.Semaphore(_AT_ONCE)

    def pull(client: docker.APIClient) -> None:
        try:
            calls.get(client, f"/images/{release.artifact.location}/json")
        except docker.errors.NotFound:
            pass
        else:
            return  # the registry is not asked for what is there: it may hang
        lines: Any = client.pull(repository, tag=digest, stream=True, decode=True, auth_config=credentials)
        for _ in lines:
            pass

    async def fetch(engine: "Engine") -> None:
        async with room:
            await engine.call(gate.words, pull, deadline=min(_FETCHING, gate.left))

    async def of_node(at: int) -> None:
        try:
            await fetch(await nodes.engine_of(listed[at], gate.words))
        except BackendError:
            return

    await asyncio.gather(
        *(of_node(at) for at, one in enumerate(listed) if one.is_ready and one.availability == "active")
    )
