"""Every way to an engine, and what is said where it leads nowhere."""

import asyncio
import contextlib
import getpass
import hashlib
import http.server
import json
import os
import shutil
import socket
import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from quarterdeck.backends.errors import (
    BackendError,
    EngineRefused,
    HostKeyRejected,
    LoginRefused,
    NotPermitted,
    Unreachable,
)
from quarterdeck.backends.hosts.contract import CommandOutcome
from quarterdeck.backends.hosts.docker.engine import NEWEST_API, Engine
from quarterdeck.config.model import Host
from tests.backends.docker.conftest import Open, open_sockets, over_ssh, threads, until
from tests.conftest import StartDockerEngine, StartFleet
from tests.engine import DockerEngine, short_directory
from tests.engine_certificates import Authority, tls_arguments
from tests.requirements_here import need
from tests.sshd import SshdFleet, free_port, make_key

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def version(engine: Engine) -> str:
    told: str = (await engine.call("ask its version", lambda client: client.version(), deadline=60))["Version"]
    return told


async def refusal(opened: Open, host: Host, fleet: SshdFleet | None = None, *, deadline: float = 20.0) -> BackendError:
    with pytest.raises(BackendError) as refused:
        await opened(host, fleet, deadline=deadline)
    return refused.value


# A socket of this machine


async def test_an_engine_is_asked_at_its_socket(docker_engine: DockerEngine, opened: Open) -> None:
    docker_engine.image("app:1")
    engine = await opened(docker_engine.as_host())
    assert engine.calls == 1
    assert engine.api_version == docker_engine.client.api_version
    assert engine.engine_version == docker_engine.client.version()["Version"]
    assert (engine.address, engine.ssh) == ("127.0.0.1", None)
    container = docker_engine.run("app:1", "one")
    seen = await engine.call("look", lambda client: client.inspect_container("one"), deadline=60)
    assert seen["Id"] == container
    assert engine.calls == 2
    with pytest.raises(EngineRefused) as refused:
        await engine.call("look at it", lambda client: client.inspect_container("two"), deadline=60)
    assert refused.value.status == 404
    assert str(refused.value) == "box-1: look at it: No such container: two"


async def test_no_socket_and_nobody_at_it_are_told_apart(tmp_path: Path, opened: Open) -> None:
    error = await refusal(opened, Host("here", docker=f"unix://{tmp_path}/none.sock"))
    assert isinstance(error, Unreachable)
    assert f"there is no socket {tmp_path}/none.sock" in str(error)
    assert "systemctl status docker" in error.advice
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as was:
        was.bind(str(left))
    error = await refusal(opened, Host("here", docker=f"unix://{left}"))
    assert isinstance(error, Unreachable)
    assert f"no engine listens at {left}" in str(error)


def test_a_user_who_may_not_is_told_of_the_group(docker_engine: DockerEngine) -> None:
    script = f"""
import asyncio, os, sys
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.config.model import Host
import quarterdeck.backends.hosts.docker.engine
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    asyncio.run(DockerBackend(lambda: None).open_engine(Host("here", docker="unix://{docker_engine.socket}")))
except Exception as error:
    print(type(error).__name__, error)
"""
    docker_engine.directory.chmod(0o755)  # the socket's own mode is what keeps others out
    try:
        told = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[3]
        )
    finally:
        docker_engine.directory.chmod(0o700)
    assert told.stdout.startswith("NotPermitted here: connect: "), told
    assert "group docker" in told.stdout


@contextlib.contextmanager
def answering(path: Path, told: dict[str, str]) -> Iterator[Host]:
    """What tells these versions at any question."""

    class Old(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "client"

        def log_message(self, *_: object) -> None: ...

    with socketserver.ThreadingUnixStreamServer(str(path), Old) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield Host("box-1", docker=f"unix://{path}")
        finally:
            server.shutdown()
            serving.join()


async def test_an_engine_that_is_too_old_or_too_new_is_refused_in_words(tmp_path: Path, opened: Open) -> None:
    with answering(
        tmp_path / "old.sock", {"Version": "19.03.15", "ApiVersion": "1.40", "MinAPIVersion": "1.12"}
    ) as old:
        error = await refusal(opened, old)
    assert "19.03.15 is too old: it speaks version 1.40 of the API, 1.41 is needed" in str(error)
    assert "Docker 20.10" in error.advice
    with answering(tmp_path / "new.sock", {"Version": "40.0.1", "ApiVersion": "1.90", "MinAPIVersion": "1.60"}) as new:
        error = await refusal(opened, new)
    assert f"40.0.1 is too new: it speaks version 1.60 of the API and newer, {NEWEST_API} is the newest" in str(error)
    assert error.advice == "update qd"


@pytest.mark.parametrize(
    ("theirs", "least", "spoken"),
    [
        ("1.41", "1.12", "1.41"),
        ("1.43", "1.12", "1.43"),
        (NEWEST_API, "1.24", NEWEST_API),
        ("1.52", "1.44", NEWEST_API),
    ],
)
async def test_the_newest_version_that_both_know_is_spoken(
    tmp_path: Path, opened: Open, theirs: str, least: str, spoken: str
) -> None:
    told = {"Version": "28.0.0", "ApiVersion": theirs, "MinAPIVersion": least}
    with answering(tmp_path / "it.sock", told) as host:
        engine = await opened(host)
        assert engine.api_version == spoken
        assert await engine.call("look", version_of, deadline=60) == spoken


def version_of(client: docker.APIClient) -> str:
    """That is asked for in every question."""
    return str(client.api_version)


async def test_what_is_no_engine_is_told_so(tmp_path: Path, opened: Open) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "other.sock"))
        other.listen()

        def answer() -> None:
            taken, _ = other.accept()
            with taken:
                taken.recv(4096)
                taken.sendall(b"SSH-2.0-nonsense\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        error = await refusal(opened, Host("odd-1", docker=f"unix://{tmp_path}/other.sock"))
        answering.join()
    assert error.host == "odd-1"
    assert isinstance(error, Unreachable)


# SSH


@pytest.fixture
def runtime_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's own, with a short name, and nothing in it."""
    directory = short_directory()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    yield directory
    shutil.rmtree(directory)


def inside(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def test_an_engine_is_asked_over_ssh_and_nothing_of_that_stays(
    docker_engine: DockerEngine, sshd_fleet: SshdFleet, opened: Open, runtime_directory: Path
) -> None:
    before = open_sockets()
    host = over_ssh(sshd_fleet, docker_engine)
    engine = await opened(host, sshd_fleet)
    assert await version(engine) == engine.engine_version
    assert engine.address == sshd_fleet[0].address
    assert engine.ssh is not None
    [directory] = inside(runtime_directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    [forwarded] = inside(directory)
    assert stat.S_IMODE(forwarded.stat().st_mode) == 0o600
    second = await opened(host, sshd_fleet)
    assert len(inside(runtime_directory)) == 2
    await second.close()
    assert await version(engine)
    await engine.close()
    assert not inside(runtime_directory)
    assert not threads()
    await until(lambda: open_sockets() <= before, "all sockets are closed")
    with pytest.raises(Unreachable):
        await version(engine)


async def test_what_a_killed_process_left_is_cleared_away_and_what_is_used_stays(
    docker_engine: DockerEngine, sshd_fleet: SshdFleet, opened: Open, runtime_directory: Path
) -> None:
    left = runtime_directory / "qd-engine-left"
    left.mkdir()
    with socket.socket(socket.AF_UNIX) as was:
        was.bind(str(left / "engine.sock"))
    (runtime_directory / "qd-engine-begun").mkdir()
    engines = [await opened(over_ssh(sshd_fleet, docker_engine), sshd_fleet) for _ in range(2)]
    for engine in engines:
        assert await version(engine)
    names = {path.name for path in inside(runtime_directory)}
    assert "qd-engine-left" not in names
    assert "qd-engine-begun" in names
    assert len(names) == 3


async def test_ssh_hosts_and_engines_are_reached_by_the_same_rules(
    docker_engine: DockerEngine, start_sshd_fleet: StartFleet, opened: Open
) -> None:
    fleet = start_sshd_fleet(2)
    name = Host("box-1", docker=f"ssh://{fleet[0].name}{docker_engine.socket}")  # a name of the configuration
    assert await version(await opened(name, fleet))
    with fleet.ssh_config.open("a") as config:
        config.write(
            f"\nHost behind\n  HostName {fleet[1].address}\n  ProxyJump {fleet[0].name}\n  User {getpass.getuser()}\n"
        )
        config.write(f"  Port {fleet[1].port}\n  IdentityFile {fleet.key}\n  UserKnownHostsFile {fleet.known_hosts}\n")
    assert await version(await opened(Host("box-1", docker=f"ssh://behind{docker_engine.socket}"), fleet))
    assert "direct-tcpip" in fleet[0].log or "forwarding" in fleet[0].log or "Accepted" in fleet[0].log
    known = fleet.known_hosts.read_text()
    fleet.known_hosts.write_text("")
    assert isinstance(await refusal(opened, name, fleet), HostKeyRejected)
    fleet.known_hosts.write_text(known)
    make_key(fleet.directory / "stranger", "stranger")
    fleet.ssh_config.write_text(fleet.ssh_config.read_text().replace(str(fleet.key), str(fleet.directory / "stranger")))
    assert isinstance(await refusal(opened, name, fleet), LoginRefused)


async def test_a_server_that_forbids_the_forwarding_is_told_from_a_socket_that_is_not_there(
    docker_engine: DockerEngine, start_sshd_fleet: StartFleet, opened: Open
) -> None:
    fleet = start_sshd_fleet(1, options=["AllowStreamLocalForwarding no"])
    error = await refusal(opened, over_ssh(fleet, docker_engine), fleet)
    assert isinstance(error, NotPermitted)
    assert "AllowStreamLocalForwarding yes" in error.advice
    fleet[0].restart(options=["AllowTcpForwarding no"])
    error = await refusal(opened, over_ssh(fleet, docker_engine), fleet)
    assert isinstance(error, NotPermitted)
    assert "AllowTcpForwarding yes" in error.advice
    fleet[0].restart(options=[])
    missing = fleet.directory / "none.sock"
    error = await refusal(opened, over_ssh(fleet, docker_engine, socket=missing), fleet)
    assert isinstance(error, Unreachable)
    assert f"there is no socket {missing} there" in str(error)
    left = fleet.directory / "left.sock"
    with socket.socket(socket.AF_UNIX) as was:
        was.bind(str(left))
    error = await refusal(opened, over_ssh(fleet, docker_engine, socket=left), fleet)
    assert f"no engine listens at {left}" in str(error)
    plain = fleet.directory / "plain"
    plain.write_text("")
    error = await refusal(opened, over_ssh(fleet, docker_engine, socket=plain), fleet)
    assert f"{plain} there is no socket" in str(error)


async def test_an_engine_that_comes_back_while_it_is_looked_for_is_no_server_that_forbids_the_forwarding(
    start_docker_engine: StartDockerEngine, start_sshd_fleet: StartFleet, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was restarted: whoever is told that is not sent to sshd_config, and a rollout tries once more."""
    there, fleet = start_docker_engine(), start_sshd_fleet(1)
    engine = await opened(over_ssh(fleet, there), fleet)
    there.stop()
    ssh = engine.ssh
    assert ssh is not None
    look = ssh.execute

    async def execute(script: str, *, deadline: float) -> CommandOutcome:
        await asyncio.to_thread(there.start)
        return await look(script, deadline=deadline)

    monkeypatch.setattr(ssh, "execute", execute)
    lost = Unreachable("box-1", "connect", "the connection to the engine was lost")
    assert await engine._way.explain(lost, 30) is lost


async def test_a_cut_connection_is_an_error_and_the_next_call_connects_anew(
    docker_engine: DockerEngine, start_sshd_fleet: StartFleet, opened: Open
) -> None:
    fleet = start_sshd_fleet(1)
    docker_engine.image("app:1")
    docker_engine.run("app:1", "one")
    engine = await opened(over_ssh(fleet, docker_engine), fleet)
    first = engine.ssh

    async def cut() -> None:
        await until(lambda: engine.calls == 2, "the engine was asked")
        fleet[0].drop_connections()

    async with asyncio.TaskGroup() as group:
        group.create_task(cut())
        with pytest.raises(Unreachable) as lost:
            await engine.call("wait for it", lambda client: client.wait("one"), deadline=30)
    assert "box-1: wait for it: the SSH connection was lost" in str(lost.value)
    assert await version(engine)
    assert engine.ssh is not first


async def test_connections_are_made_by_the_machine_of_the_engine(
    docker_engine: DockerEngine, start_sshd_fleet: StartFleet, opened: Open
) -> None:
    docker_engine.image("app:7")
    container = docker_engine.run("app:7", "one")
    address = docker_engine.client.inspect_container(container)["NetworkSettings"]["IPAddress"]
    fleet = start_sshd_fleet(1)
    for engine in (await opened(docker_engine.as_host()), await opened(over_ssh(fleet, docker_engine), fleet)):
        await until(lambda: _accepts(address), "the container listens")
        reader, writer = await engine.open_tcp(address, 8080, deadline=60)
        writer.write(b"GET /version HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n7\n")
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await engine.open_tcp(address, 8081, deadline=60)
    fleet[0].restart(options=["PermitOpen none"])
    with pytest.raises(NotPermitted) as refused:
        await (await opened(over_ssh(fleet, docker_engine), fleet)).open_tcp(address, 8080, deadline=60)
    assert "AllowTcpForwarding yes" in refused.value.advice


def _accepts(address: str) -> bool:
    try:
        socket.create_connection((address, 8080), timeout=1).close()
    except OSError:
        return False
    return True


# TCP


async def test_an_engine_is_asked_over_tcp_with_both_certificates_verified(
    start_docker_engine: StartDockerEngine, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    client, port = authority.directory("client"), free_port()
    there = start_docker_engine(tls_arguments(authority.directory("server", "127.0.0.1"), "127.0.0.1", port))
    # Neither is for engines: a proxy that is not there, and a bundle that does not know the authority.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.directory("bundle") / "ca.pem"))
    host = Host("box-2", docker=f"tcp://127.0.0.1:{port}", tls=str(client))
    engine = await opened(host)
    assert await version(engine) == there.client.version()["Version"]
    assert engine.address == "127.0.0.1"
    vitals = await engine.vitals()
    assert vitals.cores == os.cpu_count()
    assert vitals.memory_total > 0
    assert (vitals.load_1m, vitals.memory_available, vitals.disk_total) == (-1, -1, 0)
    error = await refusal(opened, Host("box-2", docker=host.docker, tls=str(other.directory("stranger"))))
    assert isinstance(error, Unreachable)
    assert "can't be trusted" in str(error)
    # One that the authority has not signed, shown to an engine that is trusted.
    (client / "cert.pem").write_bytes((tmp_path / "others/stranger/cert.pem").read_bytes())
    (client / "key.pem").write_bytes((tmp_path / "others/stranger/key.pem").read_bytes())
    error = await refusal(opened, host)
    assert isinstance(error, Unreachable)
    assert "did not agree on TLS" in str(error)
    (client / "key.pem").unlink()
    error = await refusal(opened, host)
    assert f"{client}/key.pem" in str(error)
    error = await refusal(opened, Host("box-2", docker=host.docker))
    assert str(error).startswith(f"box-2: connect: tcp://127.0.0.1:{port} wants TLS, and the host's entry has none. ")
    assert "give the host's tls" in error.advice


async def test_a_certificate_of_another_name_is_refused(
    start_docker_engine: StartDockerEngine, tmp_path: Path, opened: Open
) -> None:
    authority, port = Authority(tmp_path), free_port()
    start_docker_engine(tls_arguments(authority.directory("server", "127.0.0.9"), "127.0.0.1", port))
    host = Host("box-2", docker=f"tcp://127.0.0.1:{port}", tls=str(authority.directory("client")))
    assert "can't be trusted (IP address mismatch" in str(await refusal(opened, host))


async def test_tcp_without_tls_is_for_this_machine_only(start_docker_engine: StartDockerEngine, opened: Open) -> None:
    port = free_port()
    start_docker_engine(["-H", f"tcp://127.0.0.1:{port}", "--tls=false"])
    assert await version(await opened(Host("box-2", docker=f"tcp://127.0.0.1:{port}")))
    error = await refusal(opened, Host("box-2", docker=f"tcp://192.0.2.1:{port}"))
    assert "without TLS" in str(error)
    assert "ca.pem, cert.pem and key.pem" in error.advice
    error = await refusal(opened, Host("box-2", docker=f"tcp://127.0.0.1:{free_port()}"))
    assert "no engine listens at 127.0.0.1" in str(error)


# Contexts


def write_context(config: Path, name: str, host: str, *, skip: bool = False, tls: Path | None = None) -> None:
    """As ``docker context create`` writes it."""
    directory = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts/meta" / directory
    meta.mkdir(parents=True)
    body = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": skip}}}
    (meta / "meta.json").write_text(json.dumps(body))
    if tls is not None:
        (config / "contexts/tls" / directory).mkdir(parents=True)
        (config / "contexts/tls" / directory / "docker").symlink_to(tls)


async def test_a_context_of_docker_stands_for_one_of_the_ways(
    docker_engine: DockerEngine,
    start_docker_engine: StartDockerEngine,
    sshd_fleet: SshdFleet,
    tmp_path: Path,
    opened: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    authority, port = Authority(tmp_path / "authority"), free_port()
    start_docker_engine(tls_arguments(authority.directory("server", "127.0.0.1"), "127.0.0.1", port))
    write_context(tmp_path, "here", f"unix://{docker_engine.socket}")
    write_context(tmp_path, "there", over_ssh(sshd_fleet, docker_engine).docker)
    write_context(tmp_path, "far", f"tcp://127.0.0.1:{port}", tls=authority.directory("client"))
    write_context(tmp_path, "open", f"tcp://127.0.0.1:{port}", skip=True)
    for name in ("here", "there", "far"):
        assert await version(await opened(Host(name, docker=f"context://{name}"), sshd_fleet))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{docker_engine.socket}")
    assert await version(await opened(Host("usual", docker="context://default")))
    assert "does not verify" in str(await refusal(opened, Host("open", docker="context://open")))
    error = await refusal(opened, Host("none", docker="context://none"))
    assert f"Docker has no context 'none' in {tmp_path}/contexts" in str(error)


@pytest.fixture
def context_by_docker(docker_engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One named ``prod``, made by Docker's own command."""
    need(shutil.which("docker") is not None, "Docker's command line (package docker.io)")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    words = ["docker", "context", "create", "prod", "--docker", f"host=unix://{docker_engine.socket}"]
    subprocess.run(words, check=True, timeout=30, capture_output=True)


@pytest.mark.usefixtures("context_by_docker")
async def test_a_context_that_docker_itself_made_is_read(opened: Open) -> None:
    assert await version(await opened(Host("prod", docker="context://prod")))


# Vitals


async def test_vitals_are_those_of_the_engines_machine(
    docker_engine: DockerEngine, sshd_fleet: SshdFleet, opened: Open
) -> None:
    here = await (await opened(docker_engine.as_host())).vitals()
    there = await (await opened(over_ssh(sshd_fleet, docker_engine), sshd_fleet)).vitals()
    assert here.memory_total == there.memory_total
    assert here.cores == there.cores
    assert here.disk_total == pytest.approx(there.disk_total, rel=0.01)
    assert here.cpu_total > 0
    assert here.uptime > 0
    assert there.uptime == pytest.approx(here.uptime, abs=60)
    assert here.memory_available > 0
    assert here.load_1m >= 0
