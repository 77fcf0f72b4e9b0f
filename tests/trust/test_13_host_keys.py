"""Promise 13: a wrong, revoked or unknown host key is refused, whatever ``~/.ssh/config`` says. Only the right key connects.

Seen to fail without the check of the host's key (31 of the cases connect), and without what is revoked (7).
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.backends.errors import HostKeyRejected, Unreachable
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.model import Host
from tests.sshd import SshdFleet, SshHost, make_key
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(13), pytest.mark.sshd]

Case = Callable[[SshHost, SshHost, Path], tuple[str, str]]
"""(the host, another host, a directory) -> (text of known_hosts, lines to put before everything in ssh_config)."""


def _place(host: SshHost) -> str:
    return f"[{host.address}]:{host.port}"


def _hashed(line: str, directory: Path) -> str:
    file = directory / "to_hash"
    file.write_text(line + "\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True, timeout=90)
    return file.read_text()


def _certify(authority: Path, host: SshHost, name: str) -> None:
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "x", "-h", "-n", name, f"{host.host_key}.pub"]
    subprocess.run(command, check=True, timeout=90)


def _other_kind(directory: Path) -> str:
    make_key(directory / "ecdsa", "x", "-t", "ecdsa")
    return " ".join((directory / "ecdsa.pub").read_text().split()[:2])


REFUSED: dict[str, Case] = {
    "unknown: nothing known": lambda host, other, tmp: ("", ""),
    "unknown: only other hosts": lambda host, other, tmp: (other.known_hosts_line(), ""),
    "unknown: another port": lambda host, other, tmp: (f"[{host.address}]:{host.port + 1} {host.public_key()}", ""),
    "wrong: another host's key": lambda host, other, tmp: (f"{_place(host)} {other.public_key()}", ""),
    "wrong: a key of another kind": lambda host, other, tmp: (f"{_place(host)} {_other_kind(tmp)}", ""),
    "wrong: hashed name": lambda host, other, tmp: (_hashed(f"{_place(host)} {other.public_key()}", tmp), ""),
    "revoked": lambda host, other, tmp: (f"{host.known_hosts_line()}\n@revoked {_place(host)} {host.public_key()}", ""),
    "revoked for every host": lambda host, other, tmp: (
        f"{host.known_hosts_line()}\n@revoked * {host.public_key()}",
        "",
    ),
    "revoked without a port": lambda host, other, tmp: (
        f"{host.known_hosts_line()}\n@revoked {host.address} {host.public_key()}",
        "",
    ),
    "authority: a plain key is no certificate": lambda host, other, tmp: (
        f"@cert-authority * {host.public_key()}",
        "",
    ),
    "negated name": lambda host, other, tmp: (f"*,!{_place(host)},!{host.address} {host.public_key()}", ""),
    "StrictHostKeyChecking no": lambda host, other, tmp: ("", "Host *\n  StrictHostKeyChecking no\n"),
    "UserKnownHostsFile none": lambda host, other, tmp: ("", "Host *\n  UserKnownHostsFile none\n"),
    "UserKnownHostsFile /dev/null": lambda host, other, tmp: ("", "Host *\n  UserKnownHostsFile /dev/null\n"),
    "HostKeyAlias of another host": lambda host, other, tmp: (
        f"alias {other.public_key()}\n{host.known_hosts_line()}",
        "Host *\n  HostKeyAlias alias\n",
    ),
}


@pytest.mark.parametrize("given", ["by the fleet file", "by ssh_config"])
@pytest.mark.parametrize("case", REFUSED)
async def test_refused(
    sshd_fleet: SshdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, given: str, promise: Promises
) -> None:
    host, other = sshd_fleet[0], sshd_fleet[1]
    known, settings = REFUSED[case](host, other, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    backend = _backend(sshd_fleet, tmp_path, known, settings, given)
    with pytest.raises(HostKeyRejected) as caught:
        await backend.connect(host.as_host())
    assert caught.value.host == host.name
    assert ("revoked" in str(caught.value)) == case.startswith("revoked")
    if case.startswith("wrong"):
        assert "another host key" in str(caught.value)
    promise(13).count("keys refused")


def _backend(fleet: SshdFleet, directory: Path, known: str, settings: str, given: str) -> SshBackend:
    file = directory / "known_hosts"
    file.write_text(known + "\n")
    config = directory / "ssh_config"
    text = fleet.ssh_config.read_text()
    if given == "by the fleet file":
        config.write_text(f"{settings}\n{text}")
        return SshBackend([config], [file])
    config.write_text(f"{settings}\n{text.replace(str(fleet.known_hosts), str(file))}")
    # «none» and /dev/null mean the usual files: the user's own, here an empty home's.
    home = directory / "home" / ".ssh"
    home.mkdir(parents=True)
    (home / "known_hosts").write_text(known + "\n")
    return SshBackend([config])


ACCEPTED: dict[str, Case] = {
    "right": lambda host, other, tmp: (host.known_hosts_line(), ""),
    "right among others": lambda host, other, tmp: (
        f"# note\n\n{other.known_hosts_line()}\n{_place(host)} {_other_kind(tmp)}\n{host.known_hosts_line()}",
        "",
    ),
    "hashed name": lambda host, other, tmp: (_hashed(host.known_hosts_line(), tmp), ""),
    "another key revoked": lambda host, other, tmp: (
        f"{host.known_hosts_line()}\n@revoked * {other.public_key()}",
        "",
    ),
    "UserKnownHostsFile none": lambda host, other, tmp: (
        host.known_hosts_line(),
        "Host *\n  UserKnownHostsFile none\n",
    ),
    "HostKeyAlias": lambda host, other, tmp: (
        f"[alias]:{host.port} {host.public_key()}",
        "Host *\n  HostKeyAlias alias\n",
    ),
}


@pytest.mark.parametrize("given", ["by the fleet file", "by ssh_config"])
@pytest.mark.parametrize("case", ACCEPTED)
async def test_only_the_right_key_connects(
    sshd_fleet: SshdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, given: str, promise: Promises
) -> None:
    host, other = sshd_fleet[0], sshd_fleet[1]
    known, settings = ACCEPTED[case](host, other, tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    connection = await _backend(sshd_fleet, tmp_path, known, settings, given).connect(host.as_host())
    await connection.close()
    promise(13).count("right keys accepted")


async def test_a_certificate_of_a_trusted_authority_for_this_name_only(
    start_sshd_fleet: Callable[..., SshdFleet], tmp_path: Path, promise: Promises
) -> None:
    make_key(tmp_path / "authority", "authority")
    fleet = start_sshd_fleet(2)
    for host in fleet.hosts:  # both certificates are for the first host's address
        _certify(tmp_path / "authority", host, fleet[0].address)
        host.restart(options=[f"HostCertificate {host.host_key}-cert.pub"])
    known = tmp_path / "known_hosts"
    key = " ".join((tmp_path / "authority.pub").read_text().split()[:2])
    known.write_text(f"@cert-authority * {key}\n")
    backend = SshBackend([fleet.ssh_config], [known])
    await (await backend.connect(fleet[0].as_host())).close()
    with pytest.raises(HostKeyRejected):
        await backend.connect(fleet[1].as_host())
    known.write_text(f"@cert-authority * {key}\n@revoked * {key}\n")
    with pytest.raises(HostKeyRejected, match="revoked"):
        await backend.connect(fleet[0].as_host())
    promise(13).count("right keys accepted")
    promise(13).count("keys refused", 2)


async def test_a_known_hosts_file_that_can_not_be_read_trusts_nobody(
    sshd_fleet: SshdFleet, tmp_path: Path, promise: Promises
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"{sshd_fleet[0].known_hosts_line()}\n@nonsense x y\n")
    with pytest.raises(Unreachable, match="known_hosts"):
        await SshBackend([sshd_fleet.ssh_config], [known]).connect(Host("web", sshd_fleet[0].name))
    promise(13).count("keys refused")
