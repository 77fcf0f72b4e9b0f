"""Networks and volumes that containers name as external: which of them an engine lacks, and making one when an operator says so. No
rollout makes them: they belong to somebody else."""

from collections.abc import Sequence
from typing import Any, Final

from quarterdeck.backends.hosts.docker.engine import Engine
from quarterdeck.config.container import ContainerSpec

_ASK: Final = 15.0  # seconds


async def lacking(engine: Engine, specs: Sequence[ContainerSpec]) -> list[tuple[str, str]]:
    """``network`` or ``volume`` and the name of each that ``specs`` want and that is not there. Raises BackendError."""
    networks = {one.name for spec in specs if not spec.network_mode for one in spec.networks if one.external}
    volumes = {one.name for spec in specs for one in spec.volumes if one.external}
    found: list[tuple[str, str]] = []
    if networks:
        there: list[Any] = await engine.call("list its networks", lambda client: client.networks(), deadline=_ASK)
        found += [("network", name) for name in sorted(networks - {one["Name"] for one in there})]
    if volumes:
        kept: Any = await engine.call("list its volumes", lambda client: client.volumes(), deadline=_ASK)
        names = {one["Name"] for one in kept.get("Volumes") or ()}
        found += [("volume", name) for name in sorted(volumes - names)]
    return found


async def make(engine: Engine, kind: str, name: str) -> None:
    """With the engine's own defaults, without a label of ours: it is not ours to remove. Raises BackendError."""
    if kind == "network":
        await engine.call(
            f"make the network {name}", lambda client: client.create_network(name, check_duplicate=True), deadline=_ASK
        )
    else:
        await engine.call(f"make the volume {name}", lambda client: client.create_volume(name), deadline=_ASK)
