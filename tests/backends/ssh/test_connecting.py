"""How hosts are reached, and what is said when they are not."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.errors import HostKeyRejected, LoginRefused, Unreachable
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.way import Destination, parse_destination
from quarterdeck.config.model import Host
from tests.requirements_here import need
from tests.sshd import SshdFleet, free_port, make_key

StartFleet = Callable[..., SshdFleet]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web-1", Destination("web-1")),
        ("deploy@10.0.0.1", Destination("10.0.0.1", None, "deploy")),
        ("deploy@10.0.0.1:2222", Destination("10.0.0.1", 2222, "deploy")),
        ("a@b@host", Destination("host", None, "a@b")),
        ("::1", Destination("::1")),
        ("root@[fe80::1]:22", Destination("fe80::1", 22, "root")),
    ],
)
def test_destinations(text: str, expected: Destination) -> None:
    assert parse_destination(text) == expected


@pytest.mark.parametrize(
    "text", ["", "@host", "host:0", "host:99999", "host:ssh", "-oProxyCommand=x", "a b", "[::1", "[::1]22"]
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ValueError, match=r"names no host|no user|is not"):
        parse_destination(text)


async def test_by_name_and_by_address(sshd_fleet: SshdFleet) -> None:
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[0]
    for ssh in (host.name, host.address, f"{host.address}:{host.port}"):
        connection = await backend.connect(Host("web", ssh))
        assert (await connection.execute("echo $SSH_CONNECTION", deadline=10)).output.split()[2] == host.address
        await connection.close()


async def test_a_port_where_nothing_listens(sshd_fleet: SshdFleet) -> None:
    address = sshd_fleet[0].address
    with pytest.raises(Unreachable, match=r"web: connect: .* refused the connection"):
        await SshBackend([sshd_fleet.ssh_config]).connect(Host("web", f"{address}:{free_port(address)}"))


async def test_a_server_that_never_greets_is_given_up(sshd_fleet: SshdFleet) -> None:
    with socket.create_server((sshd_fleet[0].address, 0)) as silent:
        ssh = f"{sshd_fleet[0].address}:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"no answer within 0\.3 s"):
            await SshBackend([sshd_fleet.ssh_config]).connect(Host("web", ssh), deadline=0.3)


async def test_a_name_that_does_not_exist(sshd_fleet: SshdFleet) -> None:
    with pytest.raises(Unreachable, match=r"the name no-such-host\.invalid is unknown"):
        await SshBackend([sshd_fleet.ssh_config]).connect(Host("web", "no-such-host.invalid"))


async def test_a_broken_configuration_is_named(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  Port none-at-all\n")
    with pytest.raises(Unreachable, match="line 2"):
        await SshBackend([config]).connect(Host("web", "web"))


async def test_a_refused_login_names_the_keys_that_were_offered(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    make_key(tmp_path / "other", "other")
    config = tmp_path / "config"
    config.write_text(sshd_fleet.ssh_config.read_text().replace(str(sshd_fleet.key), str(tmp_path / "other")))
    with pytest.raises(LoginRefused) as caught:
        await SshBackend([config]).connect(sshd_fleet[0].as_host())
    assert str(tmp_path / "other") in str(caught.value)
    assert "SHA256:" in str(caught.value)


async def test_an_unknown_key_comes_with_its_fingerprint_and_the_line_to_add(
    sshd_fleet: SshdFleet, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    host = sshd_fleet[0]
    backend = SshBackend([sshd_fleet.ssh_config], [known])
    with pytest.raises(HostKeyRejected) as caught:
        await backend.connect(host.as_host())
    assert "SHA256:" in caught.value.problem
    line = caught.value.advice.partition(": ")[2]
    assert line == host.known_hosts_line()
    known.write_text(line + "\n")
    await (await backend.connect(host.as_host())).close()


async def test_more_handshakes_at_once_than_a_server_takes(start_sshd_fleet: StartFleet) -> None:
    """Without the bound and the retries about a fifth of these are dropped."""
    fleet = start_sshd_fleet(1, options=["MaxStartups 4:100:4"])
    backend = SshBackend([fleet.ssh_config])
    async with asyncio.timeout(60):
        connections = await asyncio.gather(*(backend.connect(fleet[0].as_host(), deadline=60) for _ in range(12)))
    for connection in connections:
        await connection.close()
    assert len(connections) == 12


def _jump_config(fleet: SshdFleet, path: Path, jumps: str, *, known: str = "") -> Path:
    """The first host is a jump host for the last."""
    text = f"Host {fleet[-1].name}\n  ProxyJump {jumps}\n\n" + fleet.ssh_config.read_text()
    if known:
        text = f"Host *\n  UserKnownHostsFile {known}\n\n" + text
    path.write_text(text)
    return path


async def test_through_jump_hosts(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    hosts = sshd_fleet.hosts
    config = _jump_config(sshd_fleet, tmp_path / "config", f"{hosts[0].name},{hosts[1].address}:{hosts[1].port}")
    backend = SshBackend([config])
    connections = await asyncio.gather(*(backend.connect(hosts[-1].as_host()) for _ in range(4)))
    for connection in connections:
        output = (await connection.execute("echo $SSH_CONNECTION", deadline=10)).output.split()
        assert output[2] == hosts[-1].address
        await connection.close()
    assert not backend._jumps  # given back: the jump hosts' connections are closed with the last one
    again = await backend.connect(hosts[-1].as_host())
    await again.close()


@pytest.mark.parametrize("where", ["jump host", "host behind it"])
async def test_keys_are_checked_on_each_leg(sshd_fleet: SshdFleet, tmp_path: Path, where: str) -> None:
    """asyncssh by itself would not check the jump host's key here."""
    config = _jump_config(sshd_fleet, tmp_path / "config", sshd_fleet[0].name, known="none")
    known = tmp_path / "known_hosts"
    wrong = sshd_fleet[0] if where == "jump host" else sshd_fleet[-1]
    known.write_text("".join(f"{host.known_hosts_line()}\n" for host in sshd_fleet.hosts if host is not wrong))
    with pytest.raises(HostKeyRejected, match=wrong.address.replace(".", r"\.")):
        await SshBackend([config], [known]).connect(sshd_fleet[-1].as_host())


async def test_jump_hosts_in_a_circle(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(Unreachable, match="circle"):
        await SshBackend([config]).connect(Host("web", "a"))


async def test_a_jump_host_that_can_not_reach_the_host(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    address = sshd_fleet[1].address
    config = tmp_path / "config"
    config.write_text(
        f"Host far\n  HostName {address}\n  Port {free_port(address)}\n  ProxyJump {sshd_fleet[0].name}\n\n"
        + sshd_fleet.ssh_config.read_text()
    )
    with pytest.raises(Unreachable, match="the jump host can't reach"):
        await SshBackend([config]).connect(Host("web", "far"))


async def test_a_server_that_forwards_nothing_is_asked_by_a_tool(start_sshd_fleet: StartFleet, tmp_path: Path) -> None:
    from quarterdeck.backends.hosts.contract import Fence, SecretValues
    from quarterdeck.config.model import Health, HttpCheck, TcpCheck
    from tests.backends.ssh.releases import http_release

    fleet = start_sshd_fleet(1, options=["AllowTcpForwarding no"])
    host = fleet[0]
    port = free_port(host.address)
    release, archive = http_release(tmp_path, "v1", host.target, host.address, port)
    connection = await SshBackend([fleet.ssh_config]).connect(host.as_host())
    check = HttpCheck(port, "/", host=host.address, contains="{version} hello")
    refused = await connection.check_health(Health(http=check, timeout=3), release)
    assert (refused.healthy, refused.detail) == (False, f"no answer from {host.address}:{port}/")
    assert not connection.forwarding
    fence = Fence("test/http", 1, "me")
    await connection.stage(release, archive, SecretValues(), fence)
    await connection.switch(release, SecretValues(), fence, "1.1")
    assert release.health is not None
    outcome = await connection.check_health(release.health, release)
    async with asyncio.timeout(60):
        while not outcome.healthy:
            outcome = await connection.check_health(release.health, release)
    assert outcome.detail == f"http 200 from {host.address}:{port}/"
    before = connection.executions
    assert (await connection.check_health(Health(tcp=TcpCheck(port, host.address)), release)).healthy
    assert connection.executions == before + 1, "each check is an execution of its own, as docs/hosts.md says"
    await connection.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can pass through, with an empty configuration and no known host."""
    need(os.geteuid() == 0, "root, to become somebody else")
    path = Path(tempfile.mkdtemp(prefix="qd-unreadable-"))
    path.chmod(0o755)
    for name in ("config", "known_hosts"):
        (path / name).write_text("")
    yield path
    shutil.rmtree(path)


@pytest.mark.root
@pytest.mark.parametrize("which", ["known_hosts", "config"])
async def test_a_file_that_may_not_be_read_is_named(sshd_fleet: SshdFleet, place: Path, which: str) -> None:
    """Asked by a user who is not root, of a file that is root's alone."""
    os.chmod(place / which, 0o600)
    backend = SshBackend([place / "config"], [place / "known_hosts"])
    os.seteuid(65534)
    try:
        with pytest.raises(Unreachable) as refused:
            await backend.connect(Host("web", f"deploy@{sshd_fleet[0].address}:{sshd_fleet[0].port}"))
    finally:
        os.seteuid(0)
    assert f"{place / which}" in str(refused.value)
    assert str(refused.value).count(str(place)) == 1
    assert "ermission denied" in str(refused.value)
    assert refused.value.advice == "give the user who runs qd the right to read it"
