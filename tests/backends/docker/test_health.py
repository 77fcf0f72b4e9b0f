"""What counts as well: the engine's own check, what the service answers, a command; and without any, that it runs on."""

import asyncio
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.container import Healthcheck, PublishedPort
from quarterdeck.config.model import CommandCheck, Health, Host, HttpCheck, TcpCheck
from tests.backends.docker.conftest import until
from tests.boxes import Box, Registry, connect
from tests.conftest import StartDockerEngine
from tests.contract.place import become_healthy
from tests.engine_certificates import Authority, tls_arguments
from tests.sshd import free_port

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_the_service_is_asked_at_the_containers_own_address(box: Box) -> None:
    release = await box.staged("1")
    await box.live(release, "1.1")
    await become_healthy(box.connection, release)
    good = Health(http=HttpCheck(8080, "/version", contains="{version}"), tcp=TcpCheck(8080), timeout=2.0)
    outcome = await box.connection.check_health(good, release)
    assert (outcome.healthy, outcome.checks) == (True, 2)
    assert outcome.detail == "http 200 from :8080/version, :8080 accepts connections"
    for check, words in (
        (Health(http=HttpCheck(8080, "/nothing")), "http 404 from :8080/nothing"),
        (Health(http=HttpCheck(8080, "/health", contains="no such")), "does not say 'no such'"),
        (Health(tcp=TcpCheck(9)), "refused by :9"),
    ):
        outcome = await box.connection.check_health(check, release)
        assert (outcome.healthy, words in outcome.detail) == (False, True), outcome.detail


async def test_without_an_address_the_published_port_is_asked_and_from_here_as_well(box: Box) -> None:
    port = free_port("127.0.0.1")
    release = await box.staged("1", spec=box.spec(ports=(PublishedPort(8080, str(port), "127.0.0.1"),)))
    await box.live(release, "1.1")
    outcome = await box.connection.check_health(Health(http=HttpCheck(8080, "/health"), made_from="bastion"), release)
    async with asyncio.timeout(60):
        while not outcome.healthy:
            outcome = await box.connection.check_health(
                Health(http=HttpCheck(8080, "/health"), made_from="bastion"), release
            )
    assert f":{port}/health" in outcome.detail


async def test_a_container_without_a_network_says_so(box: Box) -> None:
    release = await box.staged("1", spec=box.spec(networks=(), network_mode="none"))
    await box.live(release, "1.1")
    outcome = await box.connection.check_health(Health(tcp=TcpCheck(8080)), release)
    assert (outcome.healthy, "has no address" in outcome.detail) == (False, True)


async def test_the_hosts_network_is_asked_on_the_host(box: Box) -> None:
    port = free_port("127.0.0.1")
    spec = box.spec(networks=(), network_mode="host", command=("httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/www"))
    release = await box.staged("1", spec=spec, health=Health(http=HttpCheck(port, "/health")))
    await box.live(release, "1.1")
    await become_healthy(box.connection, release)


async def test_the_engines_own_check_comes_first(box: Box) -> None:
    check = Healthcheck(("CMD-SHELL", "echo looking; test -f /tmp/well"), 0.2, 2.0, retries=1)
    release = await box.staged("1", spec=box.spec(healthcheck=check))
    await box.live(release, "1.1")

    async def until_it_says(words: str) -> None:
        async with asyncio.timeout(60):
            outcome = await box.connection.check_health(Health(), release)
            while words not in outcome.detail:
                outcome = await box.connection.check_health(Health(), release)

    await until_it_says("the engine's own check fails")
    assert "looking" in (await box.connection.check_health(Health(), release)).detail
    box.engine.client.exec_start(box.engine.client.exec_create(box.name, ["touch", "/tmp/well"])["Id"])
    await until_it_says("the engine's own check passes")


async def test_a_check_that_has_not_been_made_yet_is_not_passed(box: Box) -> None:
    check = Healthcheck(("CMD-SHELL", "true"), 600.0)
    release = await box.staged("1", spec=box.spec(healthcheck=check))
    await box.live(release, "1.1")
    outcome = await box.connection.check_health(Health(tcp=TcpCheck(8080)), release)
    assert (outcome.healthy, outcome.detail) == (False, "the engine's own check has not passed yet")


async def test_a_command_is_run_in_the_container(box: Box) -> None:
    release = await box.staged("1")
    await box.live(release, "1.1")
    for run, healthy, words in (
        ('test "$QD_VERSION" = 1', True, "ended with 0"),
        ("echo sick >&2; exit 3", False, "ended with 3: sick"),
    ):
        outcome = await box.connection.check_health(Health(command=CommandCheck(run), timeout=30.0), release)
        assert (outcome.healthy, words in outcome.detail) == (healthy, True), outcome.detail


async def test_a_command_that_does_not_end_in_time_is_a_service_that_is_not_well(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it does not heed SIGTERM, or where what it has begun outlives it: the engine waits for that then."""
    monkeypatch.setattr("quarterdeck.backends.hosts.docker.executing.GRACE", 1)
    release = await box.staged("1")
    await box.live(release, "1.1")

    async def check(run: str) -> None:
        outcome = await box.connection.check_health(Health(command=CommandCheck(run), timeout=1.0), release)
        assert (outcome.healthy, outcome.detail) == (False, f"the command {run!r} did not end within 1 s")

    async with asyncio.TaskGroup() as group:
        for run in ("sleep 60", "trap '' TERM; sleep 60; sleep 60"):
            group.create_task(check(run))


async def test_an_engine_that_stands_still_while_a_command_runs_is_no_service_that_is_not_well(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck.backends.hosts.docker.health.ENDING", -27.0)  # nobody waits for its end
    release = await box.staged("1")
    await box.live(release, "1.1")
    health = Health(command=CommandCheck("touch /tmp/begun; sleep 60"), timeout=30.0)
    checking = asyncio.create_task(box.connection.check_health(health, release))
    await until(lambda: checking.done() or "begun" in str(box.engine.client.top(box.name)), "the command runs", 60.0)
    box.engine.freeze()
    try:
        with pytest.raises(Unreachable, match="no answer within 3 s"):
            await checking
    finally:
        box.engine.thaw()


async def test_without_a_check_it_must_run_for_a_while(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    must_run = "quarterdeck.backends.hosts.docker.health.RUNS_FOR"
    release = await box.staged("1")
    await box.live(release, "1.1")
    monkeypatch.setattr(must_run, 600.0)
    outcome = await box.connection.check_health(Health(), release)
    assert (outcome.healthy, "has run for" in outcome.detail) == (False, True)
    monkeypatch.setattr(must_run, 2.0)
    async with asyncio.timeout(60):
        while not outcome.healthy:
            await asyncio.sleep(0.1)
            outcome = await box.connection.check_health(Health(), release)
    later = await connect(box.engine)  # who comes later does not wait once more: the engine knows how long it has run
    assert (await later.check_health(Health(), release)).healthy
    await later.close()
    monkeypatch.setattr(must_run, 600.0)
    began = time.monotonic()
    box.engine.client.restart(box.name, timeout=1)
    outcome = await box.connection.check_health(Health(), release)
    ran = re.search(r"has run for ([0-9.]+) s", outcome.detail)
    assert ran is not None
    assert float(ran[1]) < time.monotonic() - began + 0.5, "from the beginning"


async def test_one_that_ended_or_is_paused_is_not_well(box: Box) -> None:
    release = await box.staged("1")
    await box.live(release, "1.1")
    await become_healthy(box.connection, release)
    assert (await box.connection.check_health(Health(tcp=TcpCheck(8080)), release)).healthy
    box.engine.client.pause(box.name)
    assert "paused" in (await box.connection.check_health(Health(tcp=TcpCheck(8080)), release)).detail
    box.engine.client.unpause(box.name)
    box.engine.client.kill(box.name)
    assert "ended with status 137" in (await box.connection.check_health(Health(tcp=TcpCheck(8080)), release)).detail
    box.engine.client.remove_container(box.name)
    assert "no container" in (await box.connection.check_health(Health(tcp=TcpCheck(8080)), release)).detail


@pytest.fixture
def address() -> Iterator[str]:
    """Of this machine, and not of the kind that is known to be its own."""
    one = f"198.18.{os.getpid() % 250}.{random.randrange(1, 250)}"
    subprocess.run(["ip", "address", "replace", f"{one}/32", "dev", "lo"], check=True)
    yield one
    subprocess.run(["ip", "address", "delete", f"{one}/32", "dev", "lo"], check=True)


async def test_over_tcp_nobody_is_asked_at_an_address_that_only_its_machine_knows(
    address: str, start_docker_engine: StartDockerEngine, docker_images: Registry, tmp_path: Path
) -> None:
    """Here it may be the address of another machine's container, which answers well."""
    authority, port = Authority(tmp_path), free_port()
    engine = start_docker_engine(tls_arguments(authority.directory("server", address), address, port))
    host = Host("box-2", docker=f"tcp://{address}:{port}", tls=str(authority.directory("client")))
    connection = await DockerBackend(SshBackend).connect(host)
    box = Box(engine, docker_images, connection)
    try:
        hidden = await box.staged("1")
        await box.live(hidden, "1.1")
        for check in (Health(http=HttpCheck(8080, "/health")), Health(tcp=TcpCheck(8080))):
            outcome = await connection.check_health(check, hidden)
            assert not outcome.healthy
            assert "over tcp:// a container is reached by its published ports alone" in outcome.detail
        assert (await connection.check_health(Health(command=CommandCheck("true")), hidden)).healthy
        health = Health(http=HttpCheck(8080, "/health"), interval=0.1)
        seen = await box.staged("2", health=health, spec=box.spec(ports=(PublishedPort(8080, str(free_port())),)))
        await box.live(seen, "1.2")
        await become_healthy(connection, seen)
    finally:
        await connection.close()
        box.clear()
