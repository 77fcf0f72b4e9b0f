"""A field to roll out on: real hosts, a fleet file, tarballs of several versions, a journal, and the real `qd` to
drive it all.

The service is two lines of shell, so that hundreds of rollouts take seconds; what it keeps in its host's home is what
the tests read:
``srv/running`` names the release that runs, ``srv/starts`` has a line for every start.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED, Rollout, RolloutState
from quarterdeck.rollouts.control import Control
from tests.sshd import SshdFleet, SshHost, wait_for

START = 'echo "$QD_RELEASE" >> ../../starts; sh ./start'
HEALTH = {
    "command": 'test "$(cat ../../running)" = "$QD_RELEASE"',
    "interval": "1s",
    "healthy_deadline": "2s",
}
TARGET = "staging/web"


def tarball(path: Path, files: Mapping[str, str]) -> str:
    """Writes a .tar.gz of text files (executable) and gives its SHA-256."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            member.mode = 0o755
            archive.addfile(member, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Field:
    directory: Path
    hosts: SshdFleet
    service: dict[str, Any] = field(default_factory=dict)  # keys of the service that a test sets otherwise
    extra: dict[str, Any] = field(default_factory=dict)  # keys of the fleet file, likewise

    def __post_init__(self) -> None:
        (self.directory / "artifacts").mkdir(parents=True, exist_ok=True)
        for version in ("v1", "v2", "v3"):
            self.make_version(version)
        self.make_version("bad", start="exit 0")  # starts, and never runs: its health check fails
        self.write()

    def make_version(self, version: str, *, start: str = 'echo "$QD_RELEASE" > ../../running') -> str:
        path = self.directory / "artifacts" / f"web-{version}.tar.gz"
        digest = tarball(path, {"start": f"{start}\n", "VERSION": version})
        Path(f"{path}.sha256").write_text(f"{digest}  {path.name}\n")
        return digest

    @property
    def file(self) -> Path:
        return self.directory / "fleet.yml"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def write(self, **service: Any) -> None:
        """(Re)writes the fleet file. JSON is YAML, so that no test has to quote."""
        self.service |= service
        body = {
            "fleet": "field",
            "state": str(self.state),
            "ssh": {"config": [str(self.hosts.ssh_config)], "known_hosts": [str(self.hosts.known_hosts)]},
            "hosts": {host.name: {"ssh": host.name} for host in self.hosts.hosts},
            "environments": {"staging": {"hosts": [host.name for host in self.hosts.hosts]}},
            "services": {
                "web": {
                    "artifact": {
                        "tarball": f"{self.directory}/artifacts/web-{{version}}.tar.gz",
                        "sha256": f"{self.directory}/artifacts/web-{{version}}.tar.gz.sha256",
                    },
                    "path": "~/srv",
                    "commands": {
                        "start": START,
                        "stop": "rm -f ../../running",
                        "status": "test -s ../../running",
                    },
                    "health": HEALTH,
                    "strategy": {"rolling": {"max_unavailable": "100%"}},
                    **self.service,
                }
            },
            **self.extra,
        }
        self.file.write_text(json.dumps(body, indent=1))

    def fleet(self) -> Fleet:
        return load_fleet(self.file)

    def journal(self, *, read_only: bool = False) -> Journal:
        return Journal.open(self.state, operator=current_operator(), read_only=read_only)

    def qd(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        status: int | None = None,
        timeout: float = 90,
        input: str | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the real command, without a terminal. ``status``: the exit status that it must end with."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            input=input,
            env={**os.environ, **(environment or {})},
        )
        if status is not None:
            assert done.returncode == status, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "quarterdeck.tui.main", "--fleet", str(self.file), *arguments]

    def deploy(self, version: str, *, status: int = 0, arguments: Sequence[str] = ()) -> dict[str, Any]:
        """``qd deploy --wait --json``; gives the last document."""
        done = self.qd("deploy", TARGET, version, "--wait", "--json", *arguments, status=status)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def rollback(self, *, status: int = 0, arguments: Sequence[str] = ()) -> dict[str, Any]:
        done = self.qd("rollback", TARGET, "--yes", "--wait", "--json", *arguments, status=status)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def begin(self, kind: str, version: str | None = None, **options: Any) -> int:
        """Arms a rollout that goes by itself, as the command does; gives its id at once."""
        with self.journal() as journal:
            control = Control(self.fleet(), journal, current_operator())
            if kind == "deploy":
                assert version is not None
                return control.arm_deploy(TARGET, version, detached_go=True, **options).id
            return control.arm_rollback(TARGET, to=version, detached_go=True, **options).id

    def ended(self, rollout: int, deadline: float = 60.0) -> Rollout:
        return self.until(rollout, lambda now: now.state in ENDED, deadline)

    def until(self, rollout: int, condition: Callable[[Rollout], bool], deadline: float = 30.0) -> Rollout:
        with self.journal(read_only=True) as journal:
            wait_for(lambda: condition(journal.rollout(rollout)), f"rollout {rollout}", deadline)
            return journal.rollout(rollout)

    def in_state(self, rollout: int, state: RolloutState, deadline: float = 30.0) -> Rollout:
        return self.until(rollout, lambda now: now.state is state, deadline)

    def worker_pid(self, rollout: int, deadline: float = 15.0) -> int:
        found = self.until(rollout, lambda now: now.pid is not None, deadline)
        assert found.pid is not None
        return found.pid

    def kill_worker(self, rollout: int) -> None:
        os.kill(self.worker_pid(rollout), signal.SIGKILL)

    def clear_hosts(self) -> None:
        """Takes everything away, as soon as nobody is connected: a worker cleans up for a while after its rollout has ended, also
        that of the test before."""
        with contextlib.suppress(TimeoutError):
            wait_for(
                lambda: all(len(host.server_processes()) <= 1 for host in self.hosts.hosts), "nobody is connected", 10
            )
        for host in self.hosts.hosts:
            shutil.rmtree(self.home(host), ignore_errors=True)

    # what the hosts say, read from their disks

    def home(self, host: SshHost) -> Path:
        return host.directory / "home" / "srv"

    def running(self) -> list[str | None]:
        """The version that runs on each host, by the service's own word and the link; «mixed» where they differ."""
        found: list[str | None] = []
        for host in self.hosts.hosts:
            # Looked at while a host is being switched: either may vanish between one call and the next.
            said = linked = None
            with contextlib.suppress(FileNotFoundError):
                said = (self.home(host) / "running").read_text().strip()
            with contextlib.suppress(FileNotFoundError):
                linked = os.readlink(self.home(host) / "current").rpartition("/")[2]
            found.append(said.rpartition("-")[0] if said and said == linked else (None if said is linked else "mixed"))
        return found

    def starts(self, host: SshHost) -> list[str]:
        path = self.home(host) / "starts"
        return path.read_text().split() if path.exists() else []
