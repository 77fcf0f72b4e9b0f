"""Targets on real engines: a fleet file that names them, and releases that are put there as a worker puts them, without a journal of it."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.history.clock import now
from quarterdeck.rollouts.declared import release_of
from tests.boxes import Registry
from tests.engine import DockerEngine

ENVIRONMENT: Final = "bench"
CHECKED: Final = "checked"  # the repository of images with a check of their own; those of ``app`` have none
CHECK: Final = 'HEALTHCHECK --interval=500ms --timeout=5s --retries=1 CMD ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/health"]'
ANSWERS: Final = {"http": {"port": 8080, "path": "/health", "contains": "ok"}, "interval": "1s"}
_AT_ONCE: Final = 6


def write_fleet(
    file: Path, registry: Registry, engines: Mapping[str, DockerEngine], services: Mapping[str, Mapping[str, Any]]
) -> Fleet:
    """Every service on every engine. ``services``: keys that differ from those of a small HTTP server."""
    body = {
        "fleet": "engines",
        "state": str(file.parent / "state"),
        "hosts": {name: {"docker": f"unix://{engine.socket}"} for name, engine in engines.items()},
        "environments": {ENVIRONMENT: {"hosts": list(engines)}},
        "services": {
            name: {
                "artifact": {"image": f"{registry.name}/app"},
                "container": {"network_mode": "bridge", "stop_grace_period": "3s"},
                "strategy": {"rolling": {"max_unavailable": "100%"}},
                **keys,
            }
            for name, keys in services.items()
        },
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(body, indent=1))
    return load_fleet(file)


def push(registry: Registry, engine: DockerEngine, version: str, repository: str = "app") -> ResolvedArtifact:
    image: dict[str, Any] = {"changes": [CHECK]} if repository == CHECKED else {}
    location, digest = registry.push(engine, f"{repository}:{version}", **image)
    return ResolvedArtifact(location, digest)


def release_for(target: Target, version: str, artifact: ResolvedArtifact) -> Release:
    return release_of(target, version, artifact, {}, created=now(), created_by="alice@bastion-2")


async def connect(engine: DockerEngine, name: str = "box-1") -> DockerConnection:
    return await DockerBackend(SshBackend).connect(engine.as_host(name))


async def put_everything(fleet: Fleet, registry: Registry, engine: DockerEngine, version: str) -> None:
    """Every target of ``fleet``: staged and switched to."""
    connection = await connect(engine)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def put(target: Target) -> None:
        artifact = push(registry, engine, version, target.artifact.image.rpartition("/")[2])
        release = release_for(target, version, artifact)
        fence = Fence(target.name, 1, "rollout 1, alice@bastion-2", "1:abcdef")
        async with limit:
            await connection.stage(release, None, SecretValues(), fence)
            await connection.switch(release, SecretValues(), fence, "put")

    try:
        await asyncio.gather(*(put(one) for one in fleet.targets.values()))
    finally:
        await connection.close()
