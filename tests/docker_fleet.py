"""Docker engines to roll out on: a fleet file, a registry with images of several versions, a journal, and the real `qd` to drive it all.

The service is one container that tells its version over HTTP. What the tests read is the engines' own word: which containers run, of
which image, under which name.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import docker.errors
import httpx

from quarterdeck.backends.hosts.docker import names
from tests.backends.registry.real_registry import RealRegistry, registry_program, start_registry
from tests.driver import TARGET, Driver
from tests.engine import DockerEngine
from tests.requirements_here import need
from tests.sshd import SshdFleet

REPOSITORY: Final = "shop/app"
HEALTH: Final = {
    "http": {"port": 8080, "path": "/version", "contains": "{version}"},
    "interval": "100ms",
    "healthy_deadline": "20s",
}
SOON: Final = {**HEALTH, "healthy_deadline": "1s"}
"""For what never becomes healthy: it is waited for so long."""
VERSIONS: Final[dict[str, dict[str, Any]]] = {
    "1": {},
    "2": {},
    "3": {},
    "bad": {"files": {"/www/version": "unwell\n"}},  # runs, and is never healthy
    "crash": {"exits": True},
    "stubborn": {"ignores_term": True},
}
_OWN_NETWORKS: Final = ("bridge", "host", "none")  # the engine's


def push(registry: RealRegistry, engine: DockerEngine, tag: str, repository: str = REPOSITORY, **image: Any) -> str:
    """Makes an image on the engine and pushes it, as a build does; the engine forgets the name. Gives its digest, with sha256:."""
    name = f"{registry.name}/{repository}:{tag}"
    engine.image(name, **image)
    said = engine.client.push(name)
    assert "errorDetail" not in said, said
    found = engine.client.inspect_image(name)["RepoDigests"]
    digest: str = next(one for one in found if one.startswith(f"{registry.name}/{repository}@")).rpartition("@")[2]
    engine.client.remove_image(name, force=True)
    return digest


def stocked_registry(directory: Path, engine: DockerEngine, versions: Sequence[str] = tuple(VERSIONS)) -> RealRegistry:
    """A real registry with ``versions`` in it."""
    need(registry_program() is not None, "docker-registry (package docker-registry)")
    registry = start_registry(directory)
    try:
        for version in versions:
            push(registry, engine, version, **VERSIONS[version])
    except BaseException:
        registry.close()
        raise
    return registry


@dataclass
class DockerField(Driver):
    """``engines`` are box-1, box-2 and so on. ``ssh``: SSH hosts, which are in the environment as well and run another service."""

    directory: Path
    engines: Sequence[DockerEngine]
    registry: RealRegistry
    ssh: SshdFleet | None = None
    service: dict[str, Any] = field(default_factory=dict)  # keys of the service that a test sets otherwise
    container: dict[str, Any] = field(default_factory=dict)  # keys of its container, likewise
    services: dict[str, Any] = field(default_factory=dict)  # further ones
    hosts: dict[str, Any] = field(default_factory=dict)  # further ones, and others in place of the engines
    environment: dict[str, Any] = field(default_factory=dict)  # keys of staging, likewise

    def __post_init__(self) -> None:
        self.write()

    def write(self, **service: Any) -> None:
        """(Re)writes the fleet file. JSON is YAML, so that no test has to quote."""
        self.service |= service
        hosts = {f"box-{n}": {"docker": f"unix://{e.socket}"} for n, e in enumerate(self.engines, 1)} | self.hosts
        body = {
            "fleet": "docks",
            "state": str(self.state),
            "hosts": hosts,
            "environments": {"staging": {"hosts": list(hosts), **self.environment}},
            "services": {
                "web": {
                    "artifact": {"image": f"{self.registry.name}/{REPOSITORY}"},
                    "container": {"stop_grace_period": "1s", **self.container},
                    "health": HEALTH,
                    "strategy": {"rolling": {"max_unavailable": "100%"}},
                    **self.service,
                },
                **self.services,
            },
        }
        if self.ssh is not None:
            body["ssh"] = {"config": [str(self.ssh.ssh_config)], "known_hosts": [str(self.ssh.known_hosts)]}
        self.file.write_text(json.dumps(body, indent=1))

    # what the engines say

    def containers(self, engine: DockerEngine, target: str = TARGET) -> list[dict[str, Any]]:
        """All of the target, as the engine lists them."""
        found: list[dict[str, Any]] = engine.client.containers(
            all=True, filters={"label": [f"{names.TARGET}={target}"]}
        )
        return found

    def live(self, engine: DockerEngine) -> dict[str, Any]:
        """The container that takes the traffic, inspected."""
        (one,) = [c for c in self.containers(engine) if _has_the_name(c)]
        found: dict[str, Any] = engine.client.inspect_container(one["Id"])
        return found

    def running(self) -> list[str | None]:
        """By each engine: the version of the one container that runs and has the live name; «mixed» where it is otherwise."""
        return [self.running_on(engine) for engine in self.engines]

    def running_on(self, engine: DockerEngine) -> str | None:
        found = [one for one in self.containers(engine) if one["State"] == "running"]
        if not found:
            return None
        return str(found[0]["Labels"]["app.version"]) if len(found) == 1 and _has_the_name(found[0]) else "mixed"

    def everywhere(self, version: str | None) -> list[str | None]:
        return [version] * len(self.engines)

    def starts(self, engine: DockerEngine, since: float) -> list[str]:
        """The release of every start of a container of the target since then (``time.time()``), by the engine's events, of which it
        remembers the last few hundred."""
        wanted = {"type": ["container"], "event": ["start"], "label": [f"{names.TARGET}={TARGET}"]}
        span = {"since": f"{since:.6f}", "until": f"{time.time():.6f}", "filters": json.dumps(wanted)}
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(engine.socket)), timeout=60) as client:
            answer = client.get("http://engine/events", params=span)
        return [json.loads(line)["Actor"]["Attributes"][names.RELEASE] for line in answer.text.splitlines()]

    def strays(self) -> list[str]:
        """What is on the engines and tells by no label whose it is, or was left in the making."""
        found: list[str] = []
        for engine in self.engines:
            for one in engine.client.containers(all=True):
                if names.TARGET not in one["Labels"] or ".making-" in one["Names"][0]:
                    found.append(f"container {one['Names'][0]}")
            for volume in engine.client.volumes()["Volumes"] or []:
                if not any(name.startswith("dev.quarterdeck.") for name in volume["Labels"] or {}):
                    found.append(f"volume {volume['Name']}")
            for network in engine.client.networks():
                if network["Name"] not in _OWN_NETWORKS and names.MADE not in (network["Labels"] or {}):
                    found.append(f"network {network['Name']}")
        return found

    def forget_image(self, engine: DockerEngine, version: str) -> None:
        """As `docker system prune` does: its stopped containers are gone, and the image."""
        for one in self.containers(engine):
            if one["Labels"]["app.version"] == version:
                engine.client.remove_container(one["Id"], force=True)
        for image in engine.client.images():
            if (image["Labels"] or {}).get("app.version") == version:
                engine.client.remove_image(image["Id"], force=True)

    # as one

    def status(self, target: str = TARGET) -> dict[str, Any]:
        """``qd status --json`` of the target: it asks the engines."""
        document: dict[str, Any] = json.loads(self.qd("status", target, "--json", status=0).stdout)["targets"][0]
        return document

    def clear(self) -> None:
        """Takes everything away but the images, as soon as no worker is at work."""
        if self.state.exists():
            with self.journal(read_only=True) as journal:
                rollouts = [one.id for one in journal.rollouts(TARGET, limit=500)]
            for rollout in rollouts:
                with contextlib.suppress(TimeoutError):
                    self.quiet(rollout)
        clear(self.engines)


def clear(engines: Sequence[DockerEngine]) -> None:
    for engine in engines:
        client = engine.client
        in_memory = [one["Labels"].get(names.SECRETS, "") for one in client.containers(all=True)]
        engine.remove_containers()
        for directory in in_memory:  # this machine's, as the engines are here: qd removes it with the container
            if directory.startswith("/dev/shm/quarterdeck-"):
                shutil.rmtree(directory, ignore_errors=True)
        for volume in client.volumes()["Volumes"] or []:
            with contextlib.suppress(docker.errors.APIError):
                client.remove_volume(volume["Name"])
        for network in client.networks():
            if network["Name"] not in _OWN_NETWORKS:
                with contextlib.suppress(docker.errors.APIError):
                    client.remove_network(network["Id"])


def _has_the_name(container: dict[str, Any]) -> bool:
    return any(name.lstrip("/") == container["Labels"].get(names.NAME) for name in container["Names"])


@contextlib.contextmanager
def docker_field_in(
    directory: Path, engines: Sequence[DockerEngine], registry: RealRegistry, **more: Any
) -> Iterator[DockerField]:
    """A field on engines on which nothing runs; they are left so."""
    clear(engines)
    made = DockerField(directory, engines, registry, **more)
    try:
        yield made
    finally:
        made.clear()
        shutil.rmtree(made.state, ignore_errors=True)
