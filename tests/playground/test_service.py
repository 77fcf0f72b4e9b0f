"""The playground's artifacts, started and stopped by hand over SSH: good versions, bad ones, and a pid file that lies."""

import hashlib
import http.client
import json
import os
import signal
import socket
import tarfile
from pathlib import Path

import pytest

from quarterdeck.backends.playground import Playground, bad_versions
from quarterdeck.backends.playground.artifacts import build
from tests.playground.by_hand import DEADLINE, ServiceByHand, alive, connected, wait_for

pytestmark = pytest.mark.timeout(240)


async def test_start_restart_status_stop(playground: Playground) -> None:
    service = ServiceByHand(playground, "stg-1", "web", "by-hand")
    async with connected(playground, "stg-1") as connection:
        for version in ("v1", "v2"):
            await service.unpack(connection, version)
        assert (await service.run(connection, "v1", "status")).exit_status == 3
        assert (await service.run(connection, "v1", "start", GREETING="good morning")).exit_status == 0
        try:
            # No wait: a start that has returned takes connections.
            status, body = service.get("/healthz")
            assert status == 200
            assert '"version": "v1"' in body
            assert json.loads(service.get()[1]) == {
                "service": "web",
                "version": "v1",
                "host": "stg-1",
                "greeting": "good morning",
            }
            assert service.get("/", "text/plain") == (200, "good morning, this is web v1 on stg-1\n")
            assert service.get("/healthz", "text/plain") == (200, "ok, web v1\n")
            assert service.get("/version") == (200, "v1\n")
            assert service.get("/nothing")[0] == 404
            assert (await service.run(connection, "v1", "status")).exit_status == 0
            first = service.pid
            assert (await service.run(connection, "v1", "start")).exit_status == 0  # runs already: nothing is done
            assert service.pid == first
            assert (await service.run(connection, "v2", "restart", GREETING="good evening")).exit_status == 0
            assert not alive(first)
            assert "good evening" in service.get()[1]
            assert service.get("/version") == (200, "v2\n")
            assert "'GET / HTTP/1.1' 200" in service.log
        finally:
            assert (await service.run(connection, "v2", "stop")).exit_status == 0
        assert service.get() == (0, "")
        assert (await service.run(connection, "v2", "stop")).exit_status == 0  # again: nothing to do
        assert not list(service.shared.glob("*.pid"))


async def test_a_daemon_keeps_nothing_of_its_starter(playground: Playground) -> None:
    """A lock that is held while the service starts must not be held by the service."""
    service = ServiceByHand(playground, "stg-1", "web", "daemon")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, "v1")
        release = service.home / "releases" / "v1"
        command = (
            f"cd '{release}' && exec 9>../../lock 8</etc/hostname && flock 9 && PORT={service.port} bin/service start"
        )
        ended = await connection.run(command, timeout=DEADLINE)
        assert ended.exit_status == 0, ended.stderr
        try:
            files = {os.readlink(f"/proc/{service.pid}/fd/{name}") for name in os.listdir(f"/proc/{service.pid}/fd")}
            assert not any(name.endswith("/lock") or name == "/etc/hostname" for name in files)
            assert (await connection.run(f"flock -n '{service.home}/lock' true")).exit_status == 0
            assert not os.readlink(f"/proc/{service.pid}/cwd").startswith(str(release))
            assert os.getsid(service.pid) not in (os.getsid(0), service.pid)
        finally:
            await service.run(connection, "v1", "stop")


async def test_the_version_that_is_bad_at_once_fails_its_health_check(playground: Playground) -> None:
    bad = bad_versions().at_once
    service = ServiceByHand(playground, "stg-1", "api", "at-once")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, bad)
        assert (await service.run(connection, bad, "start")).exit_status == 0
        try:
            assert service.get("/healthz")[0] == 500
            assert service.get()[0] == 500
            assert service.get("/version") == (200, f"{bad}\n")
            assert "Traceback" in service.log
        finally:
            await service.run(connection, bad, "stop")


async def test_the_version_that_is_bad_under_traffic_is_healthy_until_it_is_used(playground: Playground) -> None:
    bad = bad_versions().under_traffic
    service = ServiceByHand(playground, "stg-1", "worker", "under-traffic")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, bad)
        assert (await service.run(connection, bad, "start")).exit_status == 0
        try:
            assert [service.get()[0] for _ in range(40)] == [200] * 40
            answers = [service.get()[0] for _ in range(100)]
            assert answers.count(500) == 20
            assert answers.count(200) == 80
            assert service.get("/healthz")[0] == 200
            assert service.log.count("Traceback") == 20
        finally:
            await service.run(connection, bad, "stop")


async def test_a_pid_file_that_names_another_process_harms_nobody(playground: Playground) -> None:
    service = ServiceByHand(playground, "stg-1", "web", "recycled")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, "v1")
        innocent = await connection.create_process("echo $$; exec sleep 300")
        pid = int(await innocent.stdout.readline())
        service.shared.mkdir(exist_ok=True)
        (service.shared / "web.pid").write_text(f"{pid} 1 v1\n")  # the right id, another start
        assert (await service.run(connection, "v1", "status")).exit_status == 3
        assert (await service.run(connection, "v1", "stop")).exit_status == 0
        assert alive(pid)
        innocent.kill()
        await innocent.wait()


async def test_a_port_that_somebody_else_holds_is_named(playground: Playground) -> None:
    service = ServiceByHand(playground, "stg-1", "web", "held")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, "v1")
        with socket.create_server((service.host.address, service.port)):
            for action in ("start", "stop"):
                ended = await service.run(connection, "v1", action)
                assert ended.exit_status == 1
                assert f"{service.host.address}:{service.port}" in str(ended.stderr)


async def test_a_service_that_does_not_listen_to_sigterm_is_ended(playground: Playground) -> None:
    service = ServiceByHand(playground, "stg-1", "web", "stuck")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, "v1")
        await service.run(connection, "v1", "start")
        stuck = service.pid
        os.kill(stuck, signal.SIGSTOP)
        assert (await service.run(connection, "v1", "restart")).exit_status == 0
        assert not alive(stuck)
        assert service.get("/version") == (200, "v1\n")
        await service.run(connection, "v1", "stop")


async def test_a_stop_lets_clients_have_their_answers(playground: Playground) -> None:
    service = ServiceByHand(playground, "stg-1", "web", "graceful")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, "v1")
        await service.run(connection, "v1", "start")
        pid = service.pid
        kept = http.client.HTTPConnection(service.host.address, service.port, timeout=10)
        kept.request("GET", "/")
        assert kept.getresponse().read()
        # This one's connection lies in the queue, its request is under way when SIGTERM comes.
        os.kill(pid, signal.SIGSTOP)
        waiting = http.client.HTTPConnection(service.host.address, service.port, timeout=10)
        waiting.request("GET", "/version")
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        assert waiting.getresponse().read() == b"v1\n"
        wait_for(lambda: not alive(pid), "the service has ended, though a client keeps its connection open")
        kept.close()
        waiting.close()


async def test_without_a_port_it_says_so(playground: Playground) -> None:
    service = ServiceByHand(playground, "stg-1", "web", "no-port")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, "v1")
        ended = await service.run(connection, "v1", "start", PORT="")
        assert ended.exit_status == 1
        assert "PORT" in str(ended.stderr)


def test_artifacts_are_the_same_each_time_and_match_their_checksums(playground: Playground, tmp_path: Path) -> None:
    build(tmp_path)
    built = sorted(tmp_path.glob("*.tar.gz"))
    assert len(built) == 12
    for archive in built:
        assert archive.read_bytes() == (playground.artifacts / archive.name).read_bytes()
        digest, name = (playground.artifacts / f"{archive.name}.sha256").read_text().split()
        assert (digest, name) == (hashlib.sha256(archive.read_bytes()).hexdigest(), archive.name)
        with tarfile.open(archive) as opened:
            assert sorted(opened.getnames()) == ["RELEASE", "bin", "bin/service", "service.py"]


@pytest.mark.parametrize("service", ["web", "api", "worker"])
def test_every_version_is_another_artifact(playground: Playground, service: str) -> None:
    archives = [path.read_bytes() for path in playground.artifacts.glob(f"{service}-*.tar.gz")]
    assert len(set(archives)) == len(archives) == 4
