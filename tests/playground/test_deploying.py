"""The fleet file of a playground loads, and the SSH backend deploys, checks and takes back on its hosts as on real ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import available, resolve
from quarterdeck.backends.hosts.contract import Connection, Fence, SecretValues
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.playground import Playground, bad_versions
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.release import Release
from tests.playground.by_hand import ServiceByHand, alive

NONE = SecretValues()


@pytest.fixture
def fleet(playground: Playground) -> Fleet:
    return load_fleet(playground.fleet_file)


@asynccontextmanager
async def connected(fleet: Fleet, host: str) -> AsyncIterator[Connection]:
    backend = SshBackend(fleet.ssh_config, fleet.known_hosts)
    connection = await backend.connect(fleet.hosts[host])
    try:
        yield connection
    finally:
        await connection.close()


async def release_of(target: Target, version: str) -> tuple[Release, Path]:
    artifact = await resolve(target.artifact, version)
    release = Release(
        target=target.name,
        version=version,
        artifact=artifact,
        path=target.path,
        runner=target.runner,
        env=target.env,
        health=target.health,
        logs=target.logs,
    )
    return release, Path(artifact.location)


def test_the_fleet_file_declares_the_playground(playground: Playground, fleet: Fleet) -> None:
    assert fleet.name == "playground"
    assert fleet.state == playground.state
    assert set(fleet.hosts) == {host.name for host in playground.hosts}
    assert {name: len(environment.hosts) for name, environment in fleet.environments.items()} == {
        "dev": 1,
        "staging": 2,
        "production": 3,
    }
    assert fleet.environments["production"].after == "staging"
    assert len(fleet.targets) == 9
    greetings = {target.env["GREETING"] for target in fleet.targets.values()}
    assert len(greetings) == 3


async def test_every_version_resolves(fleet: Fleet) -> None:
    for name in ("dev/web", "staging/api", "production/worker"):
        artifact = fleet.targets[name].artifact
        assert sorted(await available(artifact)) == ["v1", "v2", "v3", "v4"]
        for version in ("v1", "v2", "v3", "v4"):
            assert (await resolve(artifact, version)).size


async def test_deploy_and_take_back_on_two_hosts_at_once(playground: Playground, fleet: Fleet) -> None:
    """Both hosts have the same paths and the same port, and don't meet."""
    target = fleet.targets["staging/api"]
    assert target.health is not None
    old, old_archive = await release_of(target, "v1")
    new, new_archive = await release_of(target, "v2")
    async with connected(fleet, "stg-1") as first, connected(fleet, "stg-2") as second:
        for number, connection in enumerate((first, second)):
            facts = await connection.facts(target.name, target.path, old)
            assert (facts.current, facts.kept, facts.problems) == (None, (), ())
            fence = Fence(target.name, 1, "a test")
            await connection.stage(old, old_archive, NONE, fence)
            switched = await connection.switch(old, NONE, fence, f"1.1.{number}")
            assert switched.current == old.id
            health = await connection.check_health(target.health, old)
            assert health.healthy, health.detail
        fence = Fence(target.name, 2, "a test")
        await first.stage(new, new_archive, NONE, fence)
        before = first.executions
        await first.switch(new, NONE, fence, "2.1.0")
        assert (await first.check_health(target.health, new)).healthy
        assert not (await second.check_health(target.health, new)).healthy  # the old version answers there
        await first.finish(new, [old.id], fence, "2.2.0")
        facts = await first.facts(target.name, target.path, new)
        assert (facts.current, facts.running) == (new.id, True)
        assert (await first.switch(old, NONE, Fence(target.name, 3, "a test"), "3.1.0")).current == old.id
        health = await first.check_health(target.health, old)
        assert health.healthy, health.detail
        # The health checks went through the connection, not through commands on the host.
        assert first.executions - before == 4
        for host, connection in (("stg-1", first), ("stg-2", second)):
            pid_file = playground.host(host).home / "api" / "shared" / "api.pid"
            pid = int(pid_file.read_text().split()[0])
            assert alive(pid)
            assert "hello from staging" in ServiceByHand(playground, host, "api", "api").get()[1]
            assert target.logs is not None
            lines = [line.text async for line in connection.logs(target.logs, old, lines=50)]
            assert any("api v1 started" in line for line in lines), lines
            vitals = await connection.vitals(target.path)
            assert vitals.memory_total > 0
            await connection.withdraw(old, Fence(target.name, 4, "a test"), f"4.1.{host}")
            assert not alive(pid)
            assert (await connection.facts(target.name, target.path)).current is None


async def test_the_health_gate_sees_the_version_that_is_bad_at_once(fleet: Fleet) -> None:
    target = fleet.targets["dev/web"]
    assert target.health is not None
    bad, archive = await release_of(target, bad_versions().at_once)
    sly, sly_archive = await release_of(target, bad_versions().under_traffic)
    async with connected(fleet, "dev-1") as connection:
        fence = Fence(target.name, 1, "a test")
        for number, (release, file, healthy) in enumerate(((bad, archive, False), (sly, sly_archive, True))):
            await connection.stage(release, file, NONE, fence)
            await connection.switch(release, NONE, fence, f"1.{number}.0")
            outcome = await connection.check_health(target.health, release)
            assert outcome.healthy is healthy
            assert healthy or "500" in outcome.detail
        await connection.withdraw(sly, fence, "2.1.0")
