"""Makes hosts and environments of what was declared; finds unknown names, and environments that wait for each other."""

from collections.abc import Mapping

from quarterdeck.config.drills import Drills
from quarterdeck.config.include import Declared
from quarterdeck.config.model import Environment, Host, Requirements
from quarterdeck.config.nodes import Node, SequenceNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Fields


def hosts_of(declared: Declared) -> dict[str, Host]:
    """The hosts that were declared rightly, in the order of the file."""
    return {
        name: Host(
            name,
            ssh=fields.values.get("ssh", ""),
            labels=fields.values.get("labels", {}),
            docker=fields.values.get("docker", ""),
            tls=str(fields.values.get("tls", "")),
            address=fields.values.get("address", ""),
            swarm=fields.values.get("swarm", ()),
            nodes=fields.values.get("nodes", ""),
        )
        for name, fields in declared.values["hosts"].items()
        if {"ssh", "docker", "swarm"} & fields.values.keys()
    }


def environments_of(declared: Declared, problems: Problems) -> dict[str, Environment]:
    """The environments in the order of the file; names they mention that don't exist are added to ``problems``."""
    environments = {}
    for name, fields in declared.values["environments"].items():
        _check_names(fields, declared, problems)
        environments[name] = Environment(
            name=name,
            hosts=fields.values.get("hosts", ()),
            after=fields.values.get("after"),
            soak=fields.values.get("soak", 0.0),
            freezes=fields.values.get("freezes", ()),
            approvals=fields.values.get("approvals"),
            require=fields.values.get("require", Requirements()),
            max_parallel=fields.values.get("max_parallel"),
            drills=fields.values.get("drills", Drills()),
        )
    _check_order(environments, declared, problems)
    return environments


def _check_names(fields: Fields, declared: Declared, problems: Problems) -> None:
    known_hosts = declared.places["hosts"]
    for index, host in enumerate(fields.values.get("hosts", ())):
        if host not in known_hosts:
            at = _item(fields.node.value("hosts"), index)
            problems.add(at, f"there is no host `{host}`", nearest=problems.nearest(host, known_hosts))
    after = fields.values.get("after")
    known = declared.places["environments"]
    if after is not None and after not in known:
        at = fields.node.value("after")
        problems.add(at, f"there is no environment `{after}`", nearest=problems.nearest(after, known))
    if fields.has("soak") and not fields.has("after"):
        problems.add(fields.node.key("soak"), "`soak` needs `after`: the environment in which a release must have run")


def _item(node: Node, index: int) -> Node:
    return node.items[index] if isinstance(node, SequenceNode) else node


def _check_order(environments: Mapping[str, Environment], declared: Declared, problems: Problems) -> None:
    """Adds each cycle of ``after`` once, at the environment of it that comes first in the file."""
    settled: set[str] = set()
    for start in environments:
        walked: list[str] = []
        name: str | None = start
        while name is not None and name in environments and name not in settled and name not in walked:
            walked.append(name)
            name = environments[name].after
        if name is not None and name in walked:
            circle = walked[walked.index(name) :]
            at = declared.values["environments"][circle[0]].node.value("after")
            problems.add(at, f"these environments wait for each other: {' → '.join([*circle, circle[0]])}")
        settled.update(walked)
