"""Brings a release to a Swarm: its image is there to be fetched by digest, and a service without a task holds everything else of it."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import (
    ArtifactMissing,
    ArtifactRefused,
    BackendError,
    CommandFailed,
    CommandTimedOut,
    EngineRefused,
    NotPermitted,
    Unreachable,
)
from quarterdeck.backends.hosts.docker import images
from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.backends.hosts.docker.making import spec_of
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.staging import pull_error
from quarterdeck.backends.hosts.manifest import manifest
from quarterdeck.backends.hosts.swarm import calls, making
from quarterdeck.backends.hosts.swarm.credentials import registry_header
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.config.release import Release, canonical

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

_AT_ONCE: Final = 10  # nodes that fetch an image at the same time: they share a registry
_REGISTRY: Final = 30.0  # seconds for one to tell whether it has an image
_LOCAL: Final = 5.0  # seconds for what a manager knows by itself
_FETCHING: Final = 300.0  # seconds that a node is waited for, which fetches the image itself for its task else
_LARGEST: Final = 150_000  # bytes of one release's manifest; some eight of them are remembered


async def stage(
    gate: SwarmGate, nodes: Nodes, release: Release, values: Mapping[str, str], auth: Auth, fleet: str
) -> bool:
    """Whether it was there already. Raises ``ArtifactMissing``, ``ArtifactRefused``, ``NotPermitted``, ``CommandFailed``, ``Fenced``."""
    spec_of(gate.host, gate.words, release)
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
    seen = await gate.look()
    await making.refuse_a_foreign_holder(gate, release)
    there = seen.kept(release)
    if there is None:
        _refuse_what_is_too_large(gate, release)
        await is_in_registry(gate, release, auth)
    else:
        await _is_not_gone(gate, release, auth)
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


def _refuse_what_is_too_large(gate: SwarmGate, release: Release) -> None:
    """What a swarm keeps of a release, in labels of which it takes 1.5 MB at once for all that are remembered."""
    size = len(canonical(manifest(release)))
    if size > _LARGEST:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"the description of {release.id} with its configs is {size // 1000} kB, and a swarm is given {_LARGEST // 1000} kB at most",
            exit_status=None,
            left=UNCHANGED,
            advice="put large files into the image, or a volume",
        )


async def is_in_registry(gate: SwarmGate, release: Release, auth: Auth, *, seconds: float | None = None) -> None:
    """Asks the registry by way of a manager: what it can't find no node will. Raises what a pull that fails does, and ``CommandTimedOut``.

    The manager that is asked anyway, and no other: a registry that hangs is no manager's fault."""
    location = release.artifact.location
    header = await registry_header(auth, release)
    patience = min(_REGISTRY if seconds is None else seconds, gate.left)
    for left in (1, 0):
        try:
            await gate.managers.engine.call(
                gate.words,
                lambda client: calls.get(client, f"/distribution/{location}/json", header),
                deadline=patience,
            )
            return
        except EngineRefused as error:
            raise pull_error(gate, release, error.explanation) from None
        except CommandTimedOut:
            raise CommandTimedOut(
                gate.host,
                gate.words,
                f"the registry of {location} gave no answer within {patience:g} s",
                exit_status=None,
                left=UNCHANGED,
                advice="see whether that registry is well and its managers reach it, and deploy again",
            ) from None
        except Unreachable:
            if not left:
                raise
            await gate.check()  # by another manager


async def _is_not_gone(gate: SwarmGate, release: Release, auth: Auth) -> None:
    """Of a release that waits there: raises ``ArtifactMissing`` and its kinds where its registry says that it has no such image any more,
    and the manager that is asked has it neither. A registry that does not answer says nothing: nodes may have it."""
    location = release.artifact.location

    def is_here(client: "docker.APIClient") -> None:
        calls.get(client, f"/images/{location}/json")

    try:
        await gate.managers.engine.call(gate.words, is_here, deadline=_LOCAL)
        return
    except BackendError:
        pass
    try:
        await is_in_registry(gate, release, auth, seconds=_LOCAL)
    except (ArtifactMissing, NotPermitted):
        raise
    except (CommandFailed, CommandTimedOut, Unreachable):
        return


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

    def pull(client: "docker.APIClient") -> None:
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
