"""Real OpenSSH servers on loopback: one process and one host key per host.

Leaves no process behind, whatever the tests started on the hosts.
"""

import contextlib
import getpass
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quarterdeck.config.model import Host

_TAG = "QD_TEST_FLEET"  # set in every session's environment: what carries it at the end is ended


def sshd_program() -> str | None:
    """The path of OpenSSH's server, None where it is not installed."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin")


def wait_for(condition: Callable[[], object], what: str, deadline: float = 60.0) -> None:
    """Polls until ``condition`` holds. Raises ``TimeoutError`` after ``deadline`` seconds."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > deadline:
            raise TimeoutError(f"after {deadline} s still not so: {what}")
        # Less often after a while: looking takes the processor from those who are waited for.
        time.sleep(min(0.03, 0.01 + waited / 100))


def processes_and_parents() -> Iterator[tuple[int, int]]:
    """(pid, parent's pid) of every process."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = Path("/proc", entry, "stat").read_text()
                yield int(entry), int(stat.rpartition(")")[2].split()[1])


@dataclass
class SshHost:
    """One sshd. ``directory`` is the host's own place on the disk; its user is the one who runs the tests."""

    name: str
    address: str
    port: int
    directory: Path
    authorized_keys: Path
    options: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def host_key(self) -> Path:
        return self.directory / "host_key"

    @property
    def log(self) -> str:
        return (self.directory / "sshd.log").read_text(errors="replace")

    @property
    def target(self) -> Path:
        """A place for a target's ``path`` on this host."""
        return self.directory / "srv"

    def public_key(self) -> str:
        """``<type> <base64>`` of the host key."""
        return " ".join((self.directory / "host_key.pub").read_text().split()[:2])

    def known_hosts_line(self) -> str:
        return f"[{self.address}]:{self.port} {self.public_key()}"

    def as_host(self, **labels: str) -> Host:
        """As the fleet file would name it, reached by its name in the fleet's ssh_config."""
        return Host(name=self.name, ssh=self.name, labels=labels)

    def start(self) -> None:
        """Starts the server (again), on the same address and port, and waits until it answers."""
        program = sshd_program()
        assert program is not None, "no sshd"
        set_env = " ".join(f'"{variable}"' for variable in self.environment)
        lines = [
            f"ListenAddress {self.address}",
            f"Port {self.port}",
            f"HostKey {self.host_key}",
            "PidFile none",
            f"AuthorizedKeysFile {self.authorized_keys}",
            *self.options,  # the first value of a keyword wins
            f"SetEnv {set_env}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "AllowStreamLocalForwarding yes",
            "AllowTcpForwarding yes",
            "PrintMotd no",
            "PrintLastLog no",
            "UseDNS no",
            "Subsystem sftp internal-sftp",
            "LogLevel VERBOSE",
        ]
        config = self.directory / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # where privileges are separated
        self.process = subprocess.Popen(
            [program, "-D", "-f", str(config), "-E", str(self.directory / "sshd.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **dict(variable.split("=", 1) for variable in self.environment[:1])},
        )
        wait_for(self._answers_or_ended, f"sshd of {self.name} answers")
        if self.process.poll() is not None:
            raise RuntimeError(f"sshd of {self.name} ended:\n{self.log[-2000:]}")

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None or self._listens()

    def _listens(self) -> bool:
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def server_processes(self, looked_at: Sequence[tuple[int, int]] | None = None) -> list[int]:
        """The server's pid and those of its sessions' sshd processes, not of the commands they run. ``looked_at``: what
        ``processes_and_parents`` gave, where many hosts are asked at once."""
        if self.process is None:
            return []
        found = [self.process.pid]
        processes = list(processes_and_parents()) if looked_at is None else looked_at
        for parent in found:
            for pid, its_parent in processes:
                if its_parent == parent:
                    with contextlib.suppress(OSError):
                        if "sshd" in Path(f"/proc/{pid}/comm").read_text():
                            found.append(pid)
        return found

    def has_sessions(self) -> bool:
        """Whether somebody is connected, or was just now; costs next to nothing, where ``server_processes`` looks at every process."""
        if self.process is None:
            return False
        try:
            return bool(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())
        except OSError:  # a kernel that does not list them
            return len(self.server_processes()) > 1

    def _signal(self, number: int) -> None:
        for pid in self.server_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def drop_connections(self) -> None:
        """Ends every session's server process; the host itself stays up."""
        for pid in self.server_processes()[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends the server and its connections: the host is down. What was started on it runs on."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait(timeout=60)
            self.process = None
            # A session that was forked just then still has the server's socket: a new server could not listen beside it,
            # and whoever asks would take its answer for the new one's.
            wait_for(lambda: not self._listens(), f"nobody listens for {self.name}")

    def restart(self, *, options: Sequence[str] | None = None) -> None:
        """Stops and starts it, with other ``options`` (lines of sshd_config) when they are given."""
        self.stop()
        if options is not None:
            self.options = tuple(options)
        self.start()


@dataclass
class SshdFleet:
    """Several hosts with a client's key, ``known_hosts`` and ``ssh_config`` that fit."""

    directory: Path
    hosts: list[SshHost]
    tag: str
    watchdog: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def key(self) -> Path:
        return self.directory / "id_ed25519"

    def __getitem__(self, index: int) -> SshHost:
        return self.hosts[index]

    def __len__(self) -> int:
        return len(self.hosts)

    def write_client_files(self) -> None:
        """``known_hosts`` and ``ssh_config`` as they should be (again)."""
        self.known_hosts.write_text("".join(f"{host.known_hosts_line()}\n" for host in self.hosts))
        blocks = [f"Host {host.name}\n  HostName {host.address}\n  Port {host.port}\n" for host in self.hosts]
        net = ".".join(self.hosts[0].address.split(".")[:2])
        names = " ".join([*(host.name for host in self.hosts), f"{net}.*"])
        blocks.append(
            f"Host {names}\n  User {getpass.getuser()}\n  Port {self.hosts[0].port}\n  IdentityFile {self.key}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.known_hosts}\n  StrictHostKeyChecking yes\n  BatchMode yes\n"
        )
        self.ssh_config.write_text("\n".join(blocks))

    def tagged_processes(self) -> list[int]:
        """The servers, and everything that was started through them and still runs."""
        wanted = f"{_TAG}={self.tag}".encode()
        found = []
        for pid, _ in processes_and_parents():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return found

    def close(self) -> None:
        """Ends the servers and everything that was started through them."""
        for host in self.hosts:
            host.stop()

        def ended() -> bool:
            left = self.tagged_processes()
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_for(ended, "everything that was started on the hosts has ended")
        if self.watchdog is not None:
            self.watchdog.kill()  # nothing is left for it to do
            self.watchdog.communicate(timeout=60)
            self.watchdog = None


def _start_watchdog(tag: str) -> subprocess.Popen[bytes]:
    """Waits for the end of the tests, however they end (a killed run closes no fixture), and ends what they left behind."""
    script = f"""cat >/dev/null
for environment in /proc/[0-9]*/environ; do
    if tr '\\0' '\\n' <"$environment" 2>/dev/null | grep -qx '{_TAG}={tag}'; then
        process=${{environment#/proc/}}
        kill -9 "${{process%/environ}}" 2>/dev/null
    fi
done"""
    return subprocess.Popen(
        ["sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def make_key(path: Path, comment: str, *kind: str) -> None:
    """A key pair without a passphrase; ``kind`` as ssh-keygen takes it, Ed25519 unless said otherwise."""
    subprocess.run(
        ["ssh-keygen", "-q", *(kind or ("-t", "ed25519")), "-N", "", "-C", comment, "-f", str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


class _Ports:
    """Ports that no other process of these tests is given, below those that the kernel gives to connections. One that was given is not
    given again soon: a test may take it, leave it and take it once more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: socket.socket | None = None  # a name that the kernel forgets with this process
        self._mine = range(0)
        self._next = 0

    def give(self, count: int, addresses: Sequence[str]) -> range:
        with self._lock:
            if not self._mine:
                self._hold()
            for _ in self._mine:
                first = self._next if self._next + count <= self._mine.stop else self._mine.start
                found = range(first, first + count)
                self._next = found.stop
                if _are_free(found, addresses):
                    return found
        raise RuntimeError(f"no {count} adjacent ports are free on {', '.join(addresses)}")

    def _hold(self) -> None:
        for first in random.SystemRandom().sample(_FIRST_PORTS, len(_FIRST_PORTS)):
            self._mine, self._next = range(first, first + _FIRST_PORTS.step), first
            held = socket.socket(socket.AF_UNIX)
            try:
                held.bind(f"\0quarterdeck-test-ports-{first}")
            except OSError:
                held.close()
            else:
                self._held = held
                return
        # More processes than there are ports for: it shares the last ones.


_FIRST_PORTS = range(16_000, 32_000, 400)
_ports = _Ports()


def _are_free(ports: range, addresses: Sequence[str]) -> bool:
    with contextlib.ExitStack() as probes:
        try:
            for address in addresses:
                for port in ports:
                    probes.enter_context(socket.socket()).bind((address, port))
        except OSError:
            return False
    return True


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that was free on ``address`` a moment ago, and that nobody else is given."""
    return free_range(1, address).start


def free_range(count: int = 2, *addresses: str) -> range:
    """So many adjacent ones, free on each of ``addresses`` (127.0.0.1)."""
    return _ports.give(count, addresses or ("127.0.0.1",))


def start_fleet(
    directory: Path,
    count: int,
    *,
    options: Sequence[str] = (),
    environment: Sequence[str] = (),
    names: Sequence[str] = (),
) -> SshdFleet:
    """``count`` servers, named host-1 …, in ``directory``. ``options``: lines of sshd_config; ``environment``: ``NAME=value`` of sessions.

    The caller ends them with ``close``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    tag = secrets.token_hex(8)
    choose = random.SystemRandom()
    net = f"127.{choose.randrange(64, 250)}.{choose.randrange(1, 250)}"
    port = free_port(f"{net}.1")
    make_key(directory / "id_ed25519", "test-client")
    authorized_keys = directory / "authorized_keys"
    shutil.copy(directory / "id_ed25519.pub", authorized_keys)
    authorized_keys.chmod(0o600)
    fleet = SshdFleet(directory, [], tag, _start_watchdog(tag))
    try:
        for index in range(count):
            name = names[index] if index < len(names) else f"host-{index + 1}"
            place = directory / name
            (place / "home").mkdir(parents=True)  # not the developer's: no .bashrc of theirs runs on the hosts
            host = SshHost(
                name=name,
                address=f"{net}.{index + 1}",
                port=port,
                directory=place,
                authorized_keys=authorized_keys,
                options=tuple(options),
                environment=(f"{_TAG}={tag}", *environment, f"HOME={place}/home"),
            )
            make_key(host.host_key, name)
            fleet.hosts.append(host)
            host.start()
        fleet.write_client_files()
    except BaseException:
        fleet.close()
        raise
    return fleet
