"""Whether a Swarm's nodes will get the image of a release, asked before anything changes. A registry that hangs or is down takes
nobody's time but its own, and is no manager's fault. Changes nothing."""

import asyncio
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused, NotPermitted, Unreachable
from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.staging import pull_error, registry_of
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.credentials import registry_header
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Node
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.registries import is_gone
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
    header = await registry_header(auth, release)
    why = ""
    for left in reversed(range(_TRIES)):
        try:
            await gate.managers.engine.call(
                gate.words,
                lambda client: calls.get(client, f"/distribution/{location}/json", header),
                deadline=min(_STAGING, gate.left),
            )
        except EngineRefused as error:
            if is_gone(error):
                raise pull_error(gate, release, error.explanation) from None
            why = f"does not answer ({clean(error.explanation)})"
        except NotPermitted as error:
            raise pull_error(gate, release, f"denied: {error.problem}") from None
        except Unreachable:
            if not left:
                raise
            await gate.ask(lambda client: client.ping())  # another manager is found by it
            continue
        except CommandFailed:
            why = f"does not answer within {_STAGING:g} s"
        else:
            return
        break
    lacking = await _lacking(gate, nodes, location)
    if lacking:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"its registry {registry_of(location)} {why}, and the image {location} is not on {', '.join(lacking)}",
            exit_status=None,
            left=UNCHANGED,
            advice="see whether the registry runs, and whether the swarm's nodes reach it; then try again",
        )


async def refuse_gone(gate: SwarmGate, nodes: Nodes, release: Release, auth: Auth) -> None:
    """Of a release that waits there: raises ``ArtifactMissing`` and its kinds where its registry says that it has no such image any more,
    and the manager that is asked has it neither. A registry that does not answer says nothing: nodes may have it."""
    if await _is_on(gate, gate.managers.engine, release.artifact.location):
        return
    try:
        await refuse_missing(gate, nodes, release, auth)
    except (CommandFailed, Unreachable):
        return


async def _is_on(gate: SwarmGate, engine: "Engine", location: str) -> bool:
    def is_here(client: "docker.APIClient") -> None:
        calls.get(client, f"/images/{location}/json")

    try:
        await engine.call(gate.words, is_here, deadline=_ASKING)
    except BackendError:
        return False
    return True


async def _lacking(gate: SwarmGate, nodes: Nodes, location: str) -> list[str]:
    """Hostnames of the nodes that take tasks and have no such image, or whose engine is not reached."""
    listed = [one for one in await nodes.all(gate.words, deadline=gate.left) if one.availability == "active"]

    async def lacks(node: Node) -> str:
        try:
            engine = await nodes.engine_of(node, gate.words)
        except BackendError:
            return node.hostname
        return "" if await _is_on(gate, engine, location) else node.hostname

    return [name for name in await asyncio.gather(*map(lacks, listed)) if name]
