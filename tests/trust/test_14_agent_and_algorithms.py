"""Promise 14: the agent is never forwarded, weak algorithms are never offered, a server without strict key exchange is refused.

Seen to fail with the agent forwarded (the remote ``SSH_AUTH_SOCK`` is set), and without the look for strict key exchange (two servers
are taken).
"""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from quarterdeck.backends.errors import BackendError, LoginRefused, Unreachable
from quarterdeck.backends.hosts.ssh.algorithms import CIPHERS, KEY_EXCHANGES, MACS, SIGNATURES
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.model import Host
from tests.sshd import SshdFleet, SshHost, make_key, wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(14), pytest.mark.sshd]

StartFleet = Callable[..., SshdFleet]


@pytest.fixture
def agent(sshd_fleet: SshdFleet, tmp_path: Path) -> Iterator[Path]:
    """The socket of an agent that holds the fleet's key."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: socket.exists() or process.poll() is not None, "the agent listens", 60)
    assert process.poll() is None, f"ssh-agent ended with {process.returncode}"
    environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
    add = ["ssh-add", "-q", str(sshd_fleet.key)]
    subprocess.run(add, env=environment, check=True, timeout=60, stderr=subprocess.DEVNULL)
    yield socket
    process.terminate()
    process.wait(timeout=60)


async def test_the_agent_logs_in_and_stays_here(
    sshd_fleet: SshdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: Path, promise: Promises
) -> None:
    """The key is in the agent only, and the configuration asks for the agent to be forwarded."""
    text = sshd_fleet.ssh_config.read_text().replace(f"  IdentityFile {sshd_fleet.key}\n", "")
    config = tmp_path / "config"
    config.write_text("Host *\n  ForwardAgent yes\n\n" + text.replace("  IdentitiesOnly yes\n", ""))
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(LoginRefused):
        await SshBackend([config]).connect(sshd_fleet[0].as_host())
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    connection = await SshBackend([config]).connect(sshd_fleet[0].as_host())
    assert (await connection.execute('echo "[$SSH_AUTH_SOCK]"', deadline=10)).output == "[]\n"
    await connection.close()
    promise(14).count("agents kept")


def _make_rsa_key(fleet: SshdFleet, host: SshHost) -> None:
    """Instead of the one it has."""
    host.host_key.unlink()
    Path(f"{host.host_key}.pub").unlink()
    make_key(host.host_key, "host", "-t", "rsa", "-b", "2048")
    fleet.write_client_files()


WEAK = ("sha1", "cbc", "md5", "arcfour", "3des", "dss", "group1-", "group14-sha1", "umac-64", "hmac-sha1", "-96")


def test_nothing_weak_is_on_the_lists(promise: Promises) -> None:
    offered = [*KEY_EXCHANGES, *CIPHERS, *MACS, *SIGNATURES]
    assert [name for name in offered if any(weak in name for weak in WEAK) or name == "ssh-rsa"] == []
    assert KEY_EXCHANGES[0].startswith("curve25519")
    assert "gcm" in CIPHERS[0]
    promise(14).count("algorithms on the lists", len(offered))


@pytest.mark.parametrize(
    "option",
    [
        "KexAlgorithms diffie-hellman-group14-sha1",
        "KexAlgorithms diffie-hellman-group1-sha1",
        "Ciphers aes128-cbc,3des-cbc",
        "HostKeyAlgorithms ssh-rsa",
    ],
)
async def test_a_server_with_weak_algorithms_only_is_refused(
    start_sshd_fleet: StartFleet, tmp_path: Path, option: str, promise: Promises
) -> None:
    """Even where the user's configuration allows them."""
    fleet = start_sshd_fleet(1)
    host = fleet[0]
    if "ssh-rsa" in option:
        _make_rsa_key(fleet, host)
    host.restart(options=[option])
    config = tmp_path / "config"
    config.write_text(f"Host *\n  {option}\n\n" + fleet.ssh_config.read_text())
    with pytest.raises(Unreachable, match="too weak"):
        await SshBackend([config]).connect(host.as_host())
    promise(14).count("weak servers refused")


async def test_a_server_with_two_weak_macs_is_refused(start_sshd_fleet: StartFleet, promise: Promises) -> None:
    fleet = start_sshd_fleet(1, options=["Ciphers aes256-ctr", "MACs hmac-sha1,umac-64@openssh.com"])
    with pytest.raises(Unreachable, match="too weak"):
        await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    promise(14).count("weak servers refused")


async def test_quick_and_strong_ones_are_chosen(sshd_fleet: SshdFleet, promise: Promises) -> None:
    connection = await SshBackend([sshd_fleet.ssh_config]).connect(sshd_fleet[0].as_host())
    assert connection.ssh.get_extra_info("send_cipher").startswith("aes")
    assert "gcm" in connection.ssh.get_extra_info("send_cipher")
    await connection.close()
    promise(14).count("strong servers accepted")


@asynccontextmanager
async def _old_server(fleet: SshdFleet, cipher: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    """No OpenSSH of that age is at hand: asyncssh's own server, made to leave the word out."""
    host = fleet[0]
    original: Any = asyncssh.SSHServerConnection._get_extra_kex_algs
    monkeypatch.setattr(
        asyncssh.SSHServerConnection,
        "_get_extra_kex_algs",
        lambda self: [name for name in original(self) if not name.startswith(b"kex-strict")],
    )
    never = property(lambda _self: False, lambda _self, _value: None)
    monkeypatch.setattr(asyncssh.SSHServerConnection, "_strict_kex", never, raising=False)
    server = await asyncssh.listen(
        host.address,
        0,
        server_host_keys=[str(host.host_key)],
        authorized_client_keys=str(host.authorized_keys),
        encryption_algs=[cipher],
        mac_algs=["hmac-sha2-256-etm@openssh.com"],
    )
    async with server:
        yield Host("old", f"{host.address}:{server.get_port()}")


@pytest.mark.parametrize(
    ("cipher", "refused"),
    [("chacha20-poly1305@openssh.com", True), ("aes256-ctr", True), ("aes256-gcm@openssh.com", False)],
)
async def test_a_server_without_strict_key_exchange(
    sshd_fleet: SshdFleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cipher: str,
    refused: bool,
    promise: Promises,
) -> None:
    """Refused where the start of the session could be cut (CVE-2023-48795); AES-GCM is not affected."""
    async with _old_server(sshd_fleet, cipher, monkeypatch) as host:
        known = tmp_path / "known_hosts"
        known.write_text(f"[{sshd_fleet[0].address}]:{host.ssh.rpartition(':')[2]} {sshd_fleet[0].public_key()}\n")
        backend = SshBackend([sshd_fleet.ssh_config], [known])
        if refused:
            with pytest.raises(BackendError, match="strict key exchange"):
                await backend.connect(host)
        else:
            await (await backend.connect(host)).close()
    promise(14).count("weak servers refused" if refused else "strong servers accepted")
