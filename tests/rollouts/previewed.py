"""Previews on real SSH hosts: what their tests share."""

import json
from pathlib import Path
from typing import Any

from quarterdeck.history.records import Event
from tests.field import Field
from tests.sshd import SshHost

START = 'echo "$QD_RELEASE $GREETING" >> ../../starts; sh ./start'


def street_of(field: Field) -> Field:
    """staging on host-1 and host-2, its path carrying its name; host-3 is free. v2 runs there."""
    names = [host.name for host in field.hosts.hosts]
    field.extra = {
        "environments": {
            "staging": {"hosts": names[:2], "env": {"GREETING": "hello", "PORT": "80"}},
            "production": {"hosts": names[3:4], "after": "staging", "soak": "1h", "approvals": {"count": 1}},
        }
    }
    field.write(
        path="~/srv/{environment}",
        commands={"start": START, "stop": "rm -f ../../running", "status": "test -s ../../running"},
    )
    field.deploy("v2")
    return field


def home(host: SshHost, environment: str) -> Path:
    return host.directory / "home" / "srv" / environment


def runs(host: SshHost, environment: str) -> str | None:
    file = home(host, environment) / "running"
    return file.read_text().strip().rpartition("-")[0] if file.exists() else None


def clone(field: Field, *arguments: str, status: int = 0) -> dict[str, Any]:
    hosts = ",".join(host.name for host in field.hosts.hosts[1:3])
    done = field.qd("env", "clone", "staging", "pr-7", "--hosts", hosts, "--json", *arguments, status=status)
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def listed(field: Field) -> dict[str, Any]:
    found = json.loads(field.qd("env", "list", "--json", status=0).stdout)["environments"]
    return {one["environment"]: one for one in found}


def put_back(field: Field, name: str = "pr-7") -> None:
    """Its lifetime is over, as if the time had passed."""
    file = field.state / "previews" / f"{name}.yml"
    lines = [
        line if not line.startswith("until:") else 'until: "2020-01-01T00:00:00Z"'
        for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")


def events(field: Field, kind: str) -> list[Event]:
    with field.journal(read_only=True) as journal:
        return list(journal.events(kind=kind))
