"""A Swarm to roll out on: a fleet file, images of several versions, a journal, and the real `qd` to drive it all."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.swarm.names import REGISTER
from tests.driver import TARGET, Driver
from tests.swarm import Swarm
from tests.swarm_in_motion import tasks_of

NAME: Final = "staging-web"  # of the target's service
HEALTH: Final = {
    "command": {"run": 'grep -qx "$QD_VERSION" /www/version'},
    "interval": "200ms",
    "healthy_deadline": "30s",
}
VERSIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "1": {},
    "2": {},
    "3": {},
    "bad": {"files": {"/www/version": "unwell\n"}},  # runs, and is never healthy
    "crash": {"exits": True},
}


@dataclass
class SwarmFleet(Driver):
    """One host, ``harbour``, that is the Swarm."""

    directory: Path
    swarm: Swarm
    service: dict[str, Any] = field(default_factory=dict)  # keys of the service that a test sets otherwise
    placed: dict[str, Any] = field(default_factory=dict)  # likewise, of its container's deploy
    container: dict[str, Any] = field(default_factory=dict)  # likewise
    environment: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)  # keys of the host, such as another way to it
    top: dict[str, Any] = field(default_factory=dict)  # keys of the file
    longest = 240.0  # without an annotation: it is the class's

    def __post_init__(self) -> None:
        for version, how in VERSIONS.items():
            self.swarm.image("shop/app", version, **how)
        self.write()

    def write(self, **service: Any) -> None:
        """(Re)writes the fleet file."""
        self.service |= service
        body = {
            "fleet": "harbour",
            "state": str(self.state),
            "hosts": {"harbour": {"swarm": self.swarm.managers, "nodes": self.swarm.nodes_template, **self.host}},
            "environments": {"staging": {"hosts": ["harbour"], **self.environment}},
            "services": {
                "web": {
                    "artifact": {"image": f"{self.swarm.registry}/shop/app"},
                    "container": {
                        "stop_grace_period": "2s",
                        **self.container,
                        "deploy": {"replicas": 3, "endpoint_mode": "dnsrr", **self.placed},
                    },
                    "health": HEALTH,
                    **self.service,
                }
            },
            **self.top,
        }
        self.file.write_text(json.dumps(body, indent=1))

    def tasks(self) -> list[dict[str, Any]]:
        """Of the target: those that run and are to run, as the Swarm tells them."""
        found = tasks_of(self.swarm, TARGET, without="dev.quarterdeck.role", desired_state="running")
        return [one for one in found if one["Status"]["State"] == "running"]

    def versions(self) -> list[str]:
        """One for each of them."""
        labels = (one["Spec"]["ContainerSpec"]["Labels"]["dev.quarterdeck.release"] for one in self.tasks())
        return sorted(one.rpartition("-")[0] for one in labels)

    def every_task(self) -> dict[str, str]:
        """Of the target's releases, running or not: the version of each, by its id. Swarm remembers five that are over of each slot."""
        every = ((one["ID"], one["Spec"]["ContainerSpec"].get("Labels", {})) for one in self.swarm.any_api.tasks())
        return {
            id: labels[names.RELEASE].rpartition("-")[0]
            for id, labels in every
            if labels.get(names.TARGET) == TARGET and names.ROLE not in labels
        }

    def strays(self) -> list[str]:
        """What is in the Swarm and tells by no label whose it is, or was left in the making."""
        client = self.swarm.any_api
        services = client.services()
        used = {
            one[f"{kind}ID"]
            for service in services
            for kind in ("Config", "Secret")
            for one in service["Spec"]["TaskTemplate"]["ContainerSpec"].get(f"{kind}s") or []
        }
        odd = [
            f"service {one['Spec']['Name']}"
            for one in services
            if one["Spec"]["Labels"].get(names.TARGET) != TARGET or names.ROLE in one["Spec"]["Labels"]
        ]
        for kind, found in (("config", client.configs()), ("secret", client.secrets())):
            odd += [
                f"{kind} {one['Spec']['Name']}"
                for one in found
                if one["ID"] not in used and REGISTER not in one["Spec"]["Labels"]
            ]
        return odd

    def running(self) -> list[str | None]:
        found = set(self.versions())
        return [None if not found else found.pop() if len(found) == 1 else "mixed"]

    def spec(self) -> dict[str, Any]:
        """Of the target's own service, as the Swarm has it."""
        (one,) = [one for one in self.swarm.any_api.services() if one["Spec"]["Name"] == NAME]
        found: dict[str, Any] = one["Spec"]
        return found


@contextmanager
def swarm_fleet_in(directory: Path, swarm: Swarm, **more: Any) -> Iterator[SwarmFleet]:
    made = SwarmFleet(directory, swarm, **more)
    try:
        yield made
    finally:
        shutil.rmtree(made.state, ignore_errors=True)
