"""Whether a Swarm's nodes will get the image of a release, asked before anything changes. A registry that hangs or is down takes
nobody's time but its own, and is no manager's fault. Changes nothing."""

import asyncio
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused, NotPermitted, Unreachable
from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.backends.hosts.docker.making import spec_of
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.staging import pull_error, registry_of
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.credentials import registry_header
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Node
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.placement import misfit
from quarterdeck.backends.hosts.swarm.registries import is_gone
from quarterdeck.backends.hosts.swarm.spec import deploy_of
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

_STAGING: Final = 15.0  # seconds for a registry to answer where a release waits for it
_ASKING: Final = 4.0  # seconds for what an engine knows by itself
_TRIES: Final = 3  # managers that are lost while they are asked


async def refuse_missing(gate: SwarmGate, nodes: Nodes, release: Release, auth: Auth) -> None:
    """What the registry can't find no node will: raises what a pull that fails does. Where it does not answer, it is enough that every node
    that takes tasks has the image already."""
    location = release.artifact.location
    found = await _asked(gate, release, auth, _STAGING)
    if found is None:
        return
    if isinstance(found, BackendError):
        raise found
    lacking, silent = await _lacking(gate, nodes, release)
    if lacking or silent:
        told = [f"is not on {', '.join(lacking)}"] if lacking else []
        told += [f"may not be on {', '.join(silent)}, whose engines are not reached"] if silent else []
        raise CommandFailed(
            gate.host,
            gate.words,
            f"its registry {registry_of(location)} {found}, and the image {location} {' and '.join(told)}",
            exit_status=None,
            left=UNCHANGED,
            advice="see whether the registry runs, and whether the swarm's nodes reach it; then try again",
        )


async def refuse_gone(gate: SwarmGate, nodes: Nodes, release: Release, auth: Auth) -> None:
    """Of a release that waits there: raises ``ArtifactMissing`` and its kinds where its registry says that it has no such image any more,
    and a node that takes tasks has it neither. A registry that does not answer says nothing, and nor does a node."""
    if await _is_on(gate, gate.managers.engine, release.artifact.location):
        return
    found = await _asked(gate, release, auth, _ASKING)
    if isinstance(found, BackendError) and (await _lacking(gate, nodes, release))[0]:
        raise found


async def _asked(gate: SwarmGate, release: Release, auth: Auth, seconds: float) -> BackendError | str | None:
    """None: its registry has it. An error: it has it not, or not for us. Words: why nobody can tell. Raises ``Unreachable``: no manager."""
    location = release.artifact.location
    header = await registry_header(auth, release)
    for left in reversed(range(_TRIES)):
        try:
            await gate.managers.engine.call(
                gate.words,
                lambda client: calls.get(client, f"/distribution/{location}/json", header),
                deadline=min(seconds, gate.left),
            )
        except EngineRefused as error:
            gone = is_gone(error)
            return (
                pull_error(gate, release, error.explanation)
                if gone
                else f"does not answer ({clean(error.explanation)})"
            )
        except NotPermitted as error:
            return pull_error(gate, release, f"denied: {error.problem}")
        except Unreachable:
            if not left:
                raise
            await gate.ask(lambda client: client.ping())  # another manager is found by it
        except CommandFailed:
            return f"does not answer within {seconds:g} s"
        else:
            return None
    raise AssertionError("the last try raises")


async def _is_on(gate: SwarmGate, engine: "Engine", location: str) -> bool | None:
    """None: it can't be asked."""

    def is_here(client: "docker.APIClient") -> None:
        calls.get(client, f"/images/{location}/json")

    try:
        await engine.call(gate.words, is_here, deadline=_ASKING)
    except EngineRefused as error:
        return False if error.status == 404 else None
    except BackendError:
        return None
    return True


async def _lacking(gate: SwarmGate, nodes: Nodes, release: Release) -> tuple[list[str], list[str]]:
    """Hostnames of the nodes that take its tasks and have no such image, and of those that can't be asked."""
    constraints = deploy_of(spec_of(gate.host, gate.words, release)).constraints
    taking = [
        one
        for one in await nodes.all(gate.words, deadline=min(_STAGING, gate.left))
        if one.is_ready and one.availability == "active" and not misfit(one, constraints)
    ]

    async def has(node: Node) -> bool | None:
        try:
            engine = await nodes.engine_of(node, gate.words)
        except BackendError:
            return None
        return await _is_on(gate, engine, release.artifact.location)

    found = dict(zip((one.hostname for one in taking), await asyncio.gather(*map(has, taking)), strict=True))
    return [name for name, there in found.items() if there is False], [
        name for name, there in found.items() if there is None
    ]
