"""Hosts that are reached over IPv6, or through a ProxyCommand of the user's own configuration."""

import os
import socket
from collections.abc import Callable
from getpass import getuser
from pathlib import Path

import pytest

from quarterdeck.backends.errors import HostKeyRejected, Unreachable
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.model import Host
from tests.requirements_here import need
from tests.sshd import SshdFleet, make_key, wait_for

pytestmark = pytest.mark.sshd

StartFleet = Callable[..., SshdFleet]


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def configuration(path: Path, fleet: SshdFleet, block: str) -> Path:
    """The fleet's own configuration behind ``block``: the first value of a keyword wins."""
    path.write_text(f"{block}\n{fleet.ssh_config.read_text()}")
    return path


@pytest.fixture
def six(start_sshd_fleet: StartFleet) -> SshdFleet:
    need(has_ipv6_loopback(), "::1, the loopback address of IPv6")
    fleet = start_sshd_fleet(1, options=["ListenAddress ::1"])
    with fleet.known_hosts.open("a") as file:
        file.write(f"[::1]:{fleet[0].port} {fleet[0].public_key()}\n")
    return fleet


def over_ipv6(tmp_path: Path, fleet: SshdFleet) -> Path:
    login = (
        f"  User {os.environ.get('USER') or getuser()}\n  IdentityFile {fleet.key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {fleet.known_hosts}\n"
    )
    block = f"Host six\n  HostName ::1\n  Port {fleet[0].port}\nHost six ::1\n{login}"
    return configuration(tmp_path / "config", fleet, block)


async def test_a_host_with_an_ipv6_address(six: SshdFleet, tmp_path: Path) -> None:
    backend = SshBackend([over_ipv6(tmp_path, six)])
    for ssh in ("six", f"[::1]:{six[0].port}", f"{getuser()}@[::1]:{six[0].port}"):
        connection = await backend.connect(Host("web", ssh))
        assert (await connection.execute("echo $SSH_CONNECTION", deadline=10)).output.split()[2] == "::1"
        await connection.close()


async def test_the_key_of_an_ipv6_host_is_checked(six: SshdFleet, tmp_path: Path) -> None:
    make_key(tmp_path / "other", "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    config = over_ipv6(tmp_path, six)
    for line in (f"[::1]:{six[0].port} {other}\n", ""):
        six.known_hosts.write_text(line)
        with pytest.raises(HostKeyRejected):
            await SshBackend([config]).connect(Host("web", "six"))


async def test_a_host_behind_a_proxy_command(sshd_fleet: SshdFleet, tmp_path: Path) -> None:
    first, second = sshd_fleet[0], sshd_fleet[1]
    proxy = f"ssh -F {sshd_fleet.ssh_config} -W %h:%p {first.name}"
    block = f"Host behind\n  HostName {second.address}\n  HostKeyAlias [{second.address}]:{second.port}\n  ProxyCommand {proxy}\n"
    names = sshd_fleet.ssh_config.read_text().replace("Host host-1 host-2", "Host behind host-1 host-2")
    config = tmp_path / "config"
    config.write_text(f"{block}\n{names}")
    before = first.log.count("Accepted publickey")
    connection = await SshBackend([config]).connect(Host("web", "behind"))
    assert (await connection.execute("echo $SSH_CONNECTION", deadline=10)).output.split()[2] == second.address
    assert first.log.count("Accepted publickey") == before + 1  # it really went that way
    await connection.close()


@pytest.mark.parametrize(("command", "deadline"), [("false", 10.0), ("/no/such/program", 10.0), ("sleep OURS", 1.0)])
async def test_a_proxy_command_that_does_not_connect(
    sshd_fleet: SshdFleet, tmp_path: Path, command: str, deadline: float
) -> None:
    ours = str(61_000_000 + os.getpid())  # seconds that nobody else here sleeps for
    command = command.replace("OURS", ours)
    config = configuration(tmp_path / "config", sshd_fleet, f"Host behind\n  HostName x\n  ProxyCommand {command}\n")
    with pytest.raises(Unreachable, match="web: connect"):
        await SshBackend([config]).connect(Host("web", "behind"), deadline=deadline)
    wait_for(lambda: not _running("sleep", ours), "the command has ended with the attempt")


def _running(*words: str) -> bool:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if Path("/proc", entry, "cmdline").read_bytes().split(b"\0")[:2] == [word.encode() for word in words]:
                    return True
            except OSError:
                continue
    return False
