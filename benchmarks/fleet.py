"""The hosts of the benchmark: real sshd servers on loopback, what the tool needs to reach them, and what the hosts themselves used up.
Leaves no process behind."""

import getpass
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.service import tools
from tests.sshd import SshdFleet, SshHost, processes_and_parents, sshd_program, start_fleet

SERVICE_NAME = "service-address"  # a name that every host resolves to its own address

# All hosts share this machine's loopback, but each has an address of its own. In a private mount namespace a host also has an /etc/hosts
# of its own, so that one health check in the fleet file (`host: service-address`) means another address on each host.
_WRAPPER = """\
#!/bin/sh
for word do case $word in */sshd_config) config=$word ;; esac; done
hosts=${{config%/*}}/etc-hosts
{{ cat /etc/hosts; sed -n 's/^ListenAddress \\(.*\\)/\\1 {name}/p' "$config"; }} >"$hosts"
exec unshare --mount --propagation private sh -c 'mount --bind "$0" /etc/hosts && exec {sshd} "$@"' "$hosts" "$@"
"""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Used:
    """What hosts have used so far: seconds of processor (servers and everything they ran and waited for), executions of each host."""

    cpu: float
    executions: tuple[int, ...]


@dataclass(slots=True)
class Hosts:
    """``own_names``: whether each host resolves ``SERVICE_NAME``, so that health is asked on the host; else it is asked from here."""

    fleet: SshdFleet
    own_names: bool
    _log_offsets: dict[str, int] = field(default_factory=dict)
    _executions: dict[str, int] = field(default_factory=dict)

    def first(self, count: int) -> list[SshHost]:
        return self.fleet.hosts[:count]

    def used(self, count: int) -> Used:
        """Of the first ``count`` hosts, since they were started."""
        hosts = self.first(count)
        processes = list(processes_and_parents())
        return Used(
            sum(_processor_seconds(pid) for host in hosts for pid in host.server_processes(processes)),
            tuple(self._executed(host) for host in hosts),
        )

    def _executed(self, host: SshHost) -> int:
        with (host.directory / "sshd.log").open("rb") as log:
            log.seek(self._log_offsets.get(host.name, 0))
            new = log.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._log_offsets[host.name] = self._log_offsets.get(host.name, 0) + len(complete)
        self._executions[host.name] = self._executions.get(host.name, 0) + complete.count(b"Starting session: ")
        return self._executions[host.name]

    def close(self) -> None:
        self.fleet.close()


def _processor_seconds(pid: int) -> float:
    """Of the process and of the children that it waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICK


def can_name_hosts() -> bool:
    """Whether mounts can be made here (root)."""
    if os.geteuid() != 0:
        return False
    probe = ["unshare", "--mount", "--propagation", "private", "mount", "--bind", "/etc/hosts", "/etc/hosts"]
    try:
        return subprocess.run(probe, check=False, capture_output=True, timeout=10).returncode == 0
    except OSError:
        return False


def start_hosts(directory: Path, count: int) -> Hosts:
    """Raises ``SystemExit`` with a sentence where OpenSSH's server is missing."""
    program = sshd_program()
    if program is None:
        raise SystemExit("the benchmark needs OpenSSH's server (Debian: openssh-server)")
    own_names = can_name_hosts()
    path = os.environ.get("PATH", os.defpath)
    if own_names:
        wrapper = directory / "bin" / "sshd"
        wrapper.parent.mkdir(parents=True)
        wrapper.write_text(_WRAPPER.format(name=SERVICE_NAME, sshd=program))
        wrapper.chmod(0o755)
        os.environ["PATH"] = f"{wrapper.parent}:{path}"
    try:
        fleet = start_fleet(directory / "hosts", count)
    finally:
        os.environ["PATH"] = path
    for host in fleet.hosts:
        (host.directory / "home" / "address").write_text(f"{host.address}\n")
    fleet.ssh_config.write_text(
        f"Host {'.'.join(fleet[0].address.split('.')[:3])}.*\n  User {getpass.getuser()}\n  Port {fleet[0].port}\n"
        f"  IdentityFile {fleet.key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {fleet.known_hosts}\n"
    )
    return Hosts(fleet, own_names)


def write_fleet_file(path: Path, hosts: Hosts, count: int, artifacts: Path, *, port: int) -> None:
    """One environment with one service on the first ``count`` hosts, all of them moved at once, as the floor does it."""
    chosen = hosts.first(count)
    place = f"host: {SERVICE_NAME}, " if hosts.own_names else ""
    made_from = "host" if hosts.own_names else "bastion"
    lines = [
        "fleet: benchmark",
        f"state: {path.parent / 'state'}",
        f"ssh: {{config: [{hosts.fleet.ssh_config}], known_hosts: [{hosts.fleet.known_hosts}]}}",
        "hosts:",
        *(f"  {host.name}: {{ssh: {host.address}}}" for host in chosen),
        "environments:",
        f"  bench: {{hosts: [{', '.join(host.name for host in chosen)}]}}",
        "services:",
        "  app:",
        f'    artifact: {{tarball: "{artifacts}/app-{{version}}.tar.gz"}}',
        f"    path: ~/app-{count}",
        f'    env: {{PORT: "{port}"}}',
        "    commands:",
        *(f"      {verb}: bin/service {verb}" for verb in ("start", "stop", "restart", "status")),
        "    health:",
        f'      http: {{{place}port: {port}, path: /version, contains: "{{version}}"}}',
        f"      from: {made_from}",
        "      healthy_deadline: 30s",
        "    strategy: {rolling: {max_unavailable: 100%}}",
        "    keep: {releases: 1}",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def floor_spec(hosts: Hosts, count: int, artifacts: Path, base: str, *, port: int) -> dict[str, object]:
    """What ``benchmarks.floor`` and the rows of other tools read. ``base``: the directory in each host's home where they work."""
    chosen: Sequence[SshHost] = hosts.first(count)
    return {
        "addresses": [host.address for host in chosen],
        "homes": {host.address: str(host.directory / "home") for host in chosen},
        "ssh_port": chosen[0].port,
        "user": getpass.getuser(),
        "key": str(hosts.fleet.key),
        "known_hosts": str(hosts.fleet.known_hosts),
        "artifacts": str(artifacts),
        "base": base,
        "port": port,
        "ask": tools().ask,
    }
