"""The networks of a service, by the names that they have on the engine."""

from collections.abc import Mapping
from typing import Any

from quarterdeck.config.compose.mounts import external_name
from quarterdeck.config.compose.project import Surroundings
from quarterdeck.config.compose.refusals import RunsOn
from quarterdeck.config.compose.shapes import Placed
from quarterdeck.config.container import Network
from quarterdeck.config.nodes import Node, said
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Fields

_PLAIN = ("driver", "driver_opts", "internal", "attachable", "enable_ipv6")
_LOCAL = ("bridge", "host", "ipvlan", "macvlan", "none")
_NOT_ON_SWARMS = {
    "ipv4_address": "a swarm gives each task an address of its own",
    "ipv6_address": "a swarm gives each task an address of its own",
    "priority": "a swarm connects all networks at once",
}


def networks_of(
    service: Fields, name: str, around: Surroundings, problems: Problems, runs_on: RunsOn | None
) -> tuple[Network, ...]:
    """The networks, those of a higher priority first. Without any, and without a network_mode: the project's default."""
    if service.values.get("network_mode"):
        return ()
    written = service.values.get("networks") or {"default": None}
    listed: list[tuple[str, Fields | None, Node]] = []
    if isinstance(written, Mapping):
        at = service.node.value("networks")
        listed = [(key, fields, fields.node if fields is not None else at) for key, fields in written.items()]
    else:
        listed = [(one.value, None, one.node) for one in written if isinstance(one, Placed)]
    found = [_network(key, fields, at, name, around, problems) for key, fields, at in listed]
    if runs_on is RunsOn.SWARMS:
        for key, fields, _ in listed:
            declared = around.declared("networks", key) if around.known("networks") is not None else fields
            _check_on_swarm(fields, declared, problems)
    networks = {network.name: network for network in found if network is not None}
    return tuple(sorted(networks.values(), key=lambda network: -network.priority))


def _network(
    key: str, attachment: Fields | None, at: Node, service: str, around: Surroundings, problems: Problems
) -> Network | None:
    known = around.known("networks")
    if known is not None and key not in known and key != "default":
        near = problems.nearest(key, known)
        problems.add(at, f"there is no network `{said(at, key)}` among the file's `networks`", nearest=near)
        return None
    described = around.declared("networks", key) if known is not None else attachment
    own: Mapping[str, Any] = attachment.values if attachment is not None else {}
    values: Mapping[str, Any] = described.values if described is not None else {}
    attached: dict[str, Any] = {
        "aliases": tuple(dict.fromkeys((service, *own.get("aliases", ())))),
        **{name: own[name] for name in ("ipv4_address", "ipv6_address", "priority") if name in own},
    }
    external = external_name(values, key)
    if external is not None:
        for other in (*_PLAIN, "ipam", "labels"):
            if described is not None and described.has(other):
                problems.add(described.node.key(other), f"`{other}` says nothing of an external network")
        return Network(external, external=True, **attached)
    ipam = values.get("ipam")
    ranges = [one.values for one in ipam.values.get("config", ())] if isinstance(ipam, Fields) else []
    return Network(
        values.get("name") or f"{around.name}_{key}",
        **{name: values[name] for name in _PLAIN if name in values},
        # Side by side, so that a gateway keeps its subnet.
        subnets=tuple(one.get("subnet", "") for one in ranges),
        gateways=tuple(one.get("gateway", "") for one in ranges),
        labels={one: text or "" for one, text in values.get("labels", {}).items()},
        **attached,
    )


def _check_on_swarm(attachment: Fields | None, declared: Fields | None, problems: Problems) -> None:
    for key, why in _NOT_ON_SWARMS.items():
        if attachment is not None and key in attachment.values:
            problems.add(attachment.node.key(key), f"`{key}` can't be had on a swarm: {why}; leave it out")
    driver = declared.values.get("driver") if declared is not None else None
    if declared is not None and driver in _LOCAL:
        words = f"a network of the driver {driver} ends at its node, and tasks run on several: write overlay, or leave `driver` out"
        problems.add(declared.node.value("driver"), words)
