"""What services need and nobody but the operator makes: networks, and nodes that fit them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.looking import list_nodes
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.placement import obstacle
from quarterdeck.config.container import ContainerSpec

if TYPE_CHECKING:
    import docker

_ACTION: Final = "look for networks"
_ASKING: Final = 20.0  # seconds


async def lacking(managers: Managers, specs: Sequence[ContainerSpec]) -> list[tuple[str, str]]:
    """What is external and not there: ``network``, and its name. Volumes are each node's own, and made there by their driver."""
    listed: list[Body] = await managers.ask(_ACTION, lambda client: calls.get(client, "/networks"), deadline=_ASKING)
    there = {str(one["Name"]) for one in listed if one.get("Scope") == "swarm"}
    wanted = {network.name for spec in specs if not spec.network_mode for network in spec.networks if network.external}
    return [("network", name) for name in sorted(wanted - there)]


async def without_a_place(managers: Managers, specs: Sequence[ContainerSpec]) -> list[tuple[str, str] | None]:
    """Of each why no node takes all of its tasks, and what to do; None: nothing is known to be in the way."""
    nodes = await list_nodes(managers, "look at its nodes", deadline=_ASKING)
    return [obstacle(spec, nodes) for spec in specs]


async def make(managers: Managers, name: str) -> None:
    """A network as ``docker network create -d overlay --attachable NAME`` makes it."""
    body = {"Name": name, "CheckDuplicate": True, "Driver": "overlay", "Attachable": True}

    def create(client: "docker.APIClient") -> bool:
        calls.post(client, "/networks/create", body)
        return True

    def is_made(client: "docker.APIClient") -> bool | None:
        return any(one["Name"] == name for one in calls.get(client, "/networks", name=[name])) or None

    await managers.change(f"make the network {name}", create, is_made, deadline=_ASKING)
