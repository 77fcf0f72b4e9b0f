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
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.driver import TARGET as TARGET
from tests.driver import Driver
from tests.sshd import SshdFleet, SshHost, wait_for

START = 'echo "$QD_RELEASE" >> ../../starts; sh ./start'
HEALTH = {
    "command": 'test "$(cat ../../running)" = "$QD_RELEASE"',
    "interval": "1s",
    "healthy_deadline": "2s",
}


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
class Field(Driver):
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

    def clear_hosts(self) -> None:
        """Takes everything away, as soon as nobody is connected: a worker cleans up for a while after its rollout has ended, also
        that of the test before."""

        def nobody_is_connected() -> bool:
            return not any(host.has_sessions() for host in self.hosts.hosts)

        with contextlib.suppress(TimeoutError):
            wait_for(nobody_is_connected, "nobody is connected", 10)
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
