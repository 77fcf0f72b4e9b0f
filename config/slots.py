"""Two instances of a service beside each other on its hosts: the key `slots`, and what the rest of a service must say then."""

from collections.abc import Iterator, Mapping
from typing import Any

from quarterdeck.config.kinds import PORT
from quarterdeck.config.model import Health, Logs, Runner, Slots
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.routers import Routed
from quarterdeck.config.shapes import Key, Keys

Fault = tuple[tuple[str, ...], str]
"""The keys that lead to where it is, and what is wrong there."""


def _two_ports(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    if "blue" not in values or values["blue"] != values.get("green"):
        return True
    problems.add(node.value("green"), "blue and green have the same port, and run at the same time")
    return False


SLOTS = Keys(
    "the slots",
    (
        Key("blue", PORT, "The port of the instance in slot blue.", required=True),
        Key("green", PORT, "The port of the instance in slot green.", required=True),
    ),
    make=Slots,
    check=_two_ports,
)


def faults(values: Mapping[str, Any], *, written: bool) -> Iterator[Fault]:
    """``values``: those of a service that is no container, merged. ``written``: there are slots, rightly or wrongly."""
    slots: Slots | None = values.get("slots")
    runner: Runner | None = values.get("unit")
    template = runner is not None and "@." in (runner.unit or "")
    logs: Logs | None = values.get("logs")
    if slots is None:
        if written:
            return
        if template:
            yield ("unit",), "a template needs `slots`, such as {blue: 8081, green: 8082}; or name one of its instances"
        if logs is not None and any("{slot}" in file for file in logs.files):
            yield ("logs", "files"), "{slot} can't be filled in: the service has no `slots`"
        return
    if runner is not None and not template:
        yield (
            ("unit",),
            f"`slots` need a template, of which each slot is an instance: {_as_template(runner.unit or '')}",
        )
    if "commands" in values and values["commands"].status is None:
        yield ("commands",), "`slots` need a `status` among the commands: it says whether the instance in $QD_SLOT runs"
    ports = " or ".join(str(port) for port in slots.ports.values())
    health: Health | None = values.get("health")
    routed: Routed | None = values.get("router")
    asked = {
        ("health", "http", "port"): health.http.port if health is not None and health.http is not None else None,
        ("health", "tcp", "port"): health.tcp.port if health is not None and health.tcp is not None else None,
        ("router", "port"): routed.port if routed is not None else None,
    }
    for where, port in asked.items():
        if port and port not in slots.ports.values():
            yield where, f"write {ports}, which stands for the port of the instance that is meant: {port} is neither's"


def _as_template(unit: str) -> str:
    name, dot, kind = unit.rpartition(".")
    return f"{name.partition('@')[0]}@{dot}{kind}"
