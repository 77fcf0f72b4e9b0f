"""What makes a release: one without a container is what it always was, one with a container is changed by all of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from quarterdeck.config.container import (
    ContainerFile,
    ContainerSpec,
    Deploy,
    Device,
    Healthcheck,
    Limits,
    Logging,
    Mount,
    Network,
    Pace,
    PublishedPort,
    Restart,
    SecretFile,
    Ulimit,
    Volume,
)
from quarterdeck.config.model import ConfigFile, Health, Hook, Hooks, HttpCheck, Logs, Runner, SecretReference
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord, release_from_json, to_json

BEFORE = Release(
    target="production/api",
    version="v142",
    artifact=ResolvedArtifact("https://b.example.com/api-v142.tar.gz", "ab" * 32, 5_000_000),
    path="/srv/api",
    runner=Runner(unit="api.service"),
    env={"PORT": "8080", "LEVEL": "info"},
    files=(ConfigFile("config/api.ini", "[server]\n", 0o640),),
    secrets={"KEY": SecretRecord(SecretReference("env", "KEY"), "salt:00")},
    health=Health(http=HttpCheck(8080, "/healthz"), min_healthy_time=10.0),
    hooks=Hooks(before=(Hook("bin/migrate up", on_rollback="bin/migrate down"),)),
    logs=Logs(journal="api.service"),
    commit="c0ffee",  # no part of its identity
)
FULL = ContainerSpec(
    project="shop",
    service="api",
    healthcheck=Healthcheck(("CMD", "true")),
    ports=(PublishedPort(80),),
    mounts=(Mount("bind", "/a", "/b"),),
    volumes=(Volume("v"),),
    networks=(Network("n"),),
    logging=Logging("syslog"),
    files=(ContainerFile("/f", "text"),),
    secrets=(SecretFile("KEY", "/run/secrets/KEY"),),
    limits=Limits(ulimits={"nofile": Ulimit(1, 2)}),
    devices=(Device("/dev/a", "/dev/a"),),
)

ON_A_SWARM = Deploy(
    labels={"team": "shop"},
    constraints=("node.role == worker",),
    preferences=("node.labels.zone",),
    restart=Restart("on-failure", 5.0, 3, 60.0),
    update=Pace(2, order="start-first"),
    rollback=Pace(0),
)
SWARMED = msgspec.structs.replace(FULL, ports=(PublishedPort(80, mode="host"),), deploy=ON_A_SWARM)


def test_a_release_from_before_there_were_containers_keeps_its_identity() -> None:
    """This digest was computed by the version before, of the same release without its commit: no release had one then. If it changes,
    every host forgets which release it runs."""
    assert BEFORE.digest == "09ab07a231d97dbcbb4bd3f51e28a9b9bce5849a2cbc7ec73baeed14770b0ceb"
    assert BEFORE.id == "v142-09ab07a231"
    assert msgspec.structs.replace(BEFORE, commit=None).id == BEFORE.id, "git may be away when one is made"


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case None:
            return 1
        case tuple():
            return (*value, "x")
        case Mapping():
            return {**value, "x": "y"}
        case _:
            raise TypeError(value)


def variants(value: Any) -> Iterator[tuple[str, Any]]:
    """``value`` with each single thing in it changed, and where that is."""
    for field in msgspec.structs.fields(value):
        inner = getattr(value, field.name)
        if isinstance(inner, msgspec.Struct):
            below = [(f".{at}", one) for at, one in variants(inner)]
        elif isinstance(inner, tuple) and inner and isinstance(inner[0], msgspec.Struct):
            below = [(f"[0].{at}", (one,)) for at, one in variants(inner[0])] + [("[]", ())]
        elif isinstance(inner, Mapping) and any(isinstance(one, msgspec.Struct) for one in inner.values()):
            below = [
                (f"[{name}].{at}", {**inner, name: one}) for name, key in inner.items() for at, one in variants(key)
            ]
        else:
            below = [("", changed(inner))]
        for at, one in below:
            yield field.name + at, msgspec.structs.replace(value, **{field.name: one})


def test_a_container_from_before_there_were_swarms_keeps_its_identity() -> None:
    """This digest was computed by the version before, of the same release: no container had a `deploy` then, no port a `mode`."""
    release = msgspec.structs.replace(BEFORE, container=FULL)
    assert release.digest == "d3aa6d9f38460e6c8d0cc1e47b846e104e96c52026dce8e7718220db3e0ac5ad"
    body = to_json(release)
    del body["container"]["deploy"], body["container"]["ports"][0]["mode"]
    assert release_from_json(body).digest == release.digest, "as a journal of that version has it"


VARIANTS = dict(variants(FULL)) | {f"swarm: {where}": value for where, value in variants(SWARMED)}


def test_every_kind_of_value_is_varied() -> None:
    kinds = (
        Healthcheck,
        PublishedPort,
        Mount,
        Volume,
        Network,
        Logging,
        ContainerFile,
        SecretFile,
        Limits,
        Ulimit,
        Device,
    )
    swarms = (Deploy, Restart, Pace, Pace)
    for prefix, inner in (("swarm: ", (*kinds, *swarms)), ("", kinds)):
        varied = [where for where in VARIANTS if where.startswith("swarm: ") == bool(prefix)]
        assert len(varied) > sum(len(msgspec.structs.fields(kind)) for kind in (ContainerSpec, *inner)) - len(inner)


@pytest.mark.parametrize("where", VARIANTS)
def test_each_part_of_a_container_makes_another_release(where: str) -> None:
    plain = SWARMED if where.startswith("swarm: ") else FULL
    assert (
        msgspec.structs.replace(BEFORE, container=VARIANTS[where]).digest
        != msgspec.structs.replace(BEFORE, container=plain).digest
    )


def test_a_container_is_read_back_from_its_release_as_it_was() -> None:
    for spec in (FULL, SWARMED):
        release = msgspec.structs.replace(BEFORE, container=spec)
        again = release_from_json(to_json(release))
        assert (again.container, again.digest) == (spec, release.digest)
        assert release.digest != BEFORE.digest
