"""Which nodes take a service's tasks, by what it says of them. Judged as Swarm's own scheduler judges it, so that what no node fulfils is
said before anything changes. What is not known of nodes here (resources, plugins, their machines) counts as fulfilled. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from quarterdeck.backends.hosts.swarm.looking import Node
from quarterdeck.backends.hosts.swarm.spec import deploy_of
from quarterdeck.config.container import ContainerSpec

_CONSTRAINT: Final = re.compile(r"\s*(\S+?)\s*(==|!=)\s*(.+?)\s*")
_LABEL: Final = "node.labels."
_AWAY: Final = ("down", "disconnected")  # «unknown» are all of them for a moment, after a leader was chosen
_WHERE: Final = "deploy.placement.constraints"


def fits(node: Node, constraint: str) -> bool:
    """Whether the node fulfils it: ``node.id``, ``node.hostname``, ``node.role`` and ``node.labels.…``, in capitals or not."""
    found = _CONSTRAINT.fullmatch(constraint)
    if found is None:
        return True
    key, sign, wanted = found.groups()
    if key.lower().startswith(_LABEL):
        value = (node.labels or {}).get(key[len(_LABEL) :], "")
    elif key.lower() in ("node.id", "node.hostname", "node.role"):
        role = "manager" if node.manager else "worker"
        value = {"node.id": node.id, "node.hostname": node.hostname, "node.role": role}[key.lower()]
    else:
        return True
    return (value.lower() == wanted.lower()) is (sign == "==")


def misfit(node: Node, constraints: Sequence[str]) -> str:
    """The first constraint that the node does not fulfil; empty: none."""
    return next((one for one in constraints if not fits(node, one)), "")


def obstacle(spec: ContainerSpec, nodes: Sequence[Node]) -> tuple[str, str] | None:
    """Why not all tasks find a node, and what to do; None where nothing is known to be in the way."""
    deploy = deploy_of(spec)
    if deploy.mode != "global" and not deploy.replicas:
        return None
    fitting = _fitting(spec, nodes)
    if not fitting:
        alone = [one for one in deploy.constraints if not any(fits(node, one) for node in nodes)]
        unmet = " and ".join(alone or deploy.constraints)
        return f"none of its {len(nodes)} nodes fulfils {unmet}", _advice(alone or deploy.constraints)
    away = {one.hostname: _why_away(one) for one in fitting}
    taking = [one for one in fitting if not away[one.hostname]]
    told = ", ".join(f"{name} is {why}" for name, why in away.items() if why)
    if not taking:
        which = "no node that it may run on" if deploy.constraints else "none of its nodes"
        return f"{which} takes tasks: {told}", "docker node update --availability active NODE, or bring one back"
    if deploy.mode == "global":
        return None
    published = any(port.mode == "host" and port.published for port in spec.ports)
    most = 1 if published else deploy.max_replicas_per_node
    if not most or deploy.replicas <= most * len(taking):
        return None
    why = "as they publish a port in host mode" if published else "by max_replicas_per_node"
    there = f"{len(taking)} node{' takes' if len(taking) == 1 else 's take'} them"
    return (
        f"{deploy.replicas} tasks are wanted, {most} a node at most, {why}, and {there}{f' ({told})' if told else ''}",
        "lower deploy.replicas, or let more nodes take them",
    )


def is_full(spec: ContainerSpec, nodes: Sequence[Node]) -> bool:
    """Whether no node takes one task more than are wanted, by ``max_replicas_per_node``: the old ones count until they have ended."""
    deploy = deploy_of(spec)
    taking = [one for one in _fitting(spec, nodes) if not _why_away(one)]
    most = deploy.max_replicas_per_node
    return deploy.mode != "global" and bool(most) and deploy.replicas >= (most or 0) * len(taking)


def _fitting(spec: ContainerSpec, nodes: Sequence[Node]) -> list[Node]:
    return [one for one in nodes if not misfit(one, deploy_of(spec).constraints)]


def _why_away(node: Node) -> str:
    if node.state in _AWAY:
        return node.state
    return {"drain": "drained", "pause": "paused"}.get(node.availability, "")


def _advice(unmet: Sequence[str]) -> str:
    for one in unmet:
        found = _CONSTRAINT.fullmatch(one)
        if found is not None and found[2] == "==" and found[1].lower().startswith(_LABEL):
            return f"docker node update --label-add {found[1][len(_LABEL) :]}={found[3]} NODE, or correct {_WHERE}"
    return f"correct {_WHERE}; which nodes there are: docker node ls"
