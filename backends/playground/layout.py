"""What a playground consists of and where its files lie. Reads and writes its one description file, starts nothing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.backends.errors import THIS_MACHINE, BackendError
from quarterdeck.backends.playground.processes import read_pid_file

MARKER = ".quarterdeck-playground"  # without this file a directory is never touched
MARK_VARIABLE = (
    "QD_PLAYGROUND"  # every process of a playground has it in its environment, with the marker's secret word
)

ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    "dev": ("dev-1",),
    "staging": ("stg-1", "stg-2"),
    "production": ("prod-1", "prod-2", "prod-3"),
}
SERVICES = ("web", "api", "worker")
ENGINE_HOST, ENGINE_ENVIRONMENT = "dev-box", "dev"


class PlaygroundError(BackendError):
    """The playground could not be started, found or removed. ``host`` is always ``THIS_MACHINE``."""

    def __init__(self, action: str, problem: str, *, left: str = "", advice: str = "") -> None:
        super().__init__(THIS_MACHINE, action, problem, left=left, advice=advice)


class PlaygroundHost(msgspec.Struct, frozen=True):
    """One embedded SSH host. ``address`` is its own in 127.0.0.0/8; ``home`` is its directory on this machine."""

    name: str
    environment: str
    address: str
    port: int  # of SSH
    home: Path


class EngineHost(msgspec.Struct, frozen=True):
    """The Docker engine of this machine as one more host, and what the playground has there.

    ``word`` tells this playground from every other one on the same engine: it is part of each name, and the value of each label.
    ``port`` is that of the one service's live container, on ``address`` of this machine.
    """

    socket: str  # path
    word: str
    port: int
    address: str = "127.0.0.1"

    @property
    def name(self) -> str:
        """Of the host in the fleet file."""
        return ENGINE_HOST

    @property
    def service(self) -> str:
        # Containers and what an engine remembers are told apart by the target alone: it must be nobody else's there.
        return f"shop-{self.word}"

    @property
    def target(self) -> str:
        return f"{ENGINE_ENVIRONMENT}/{self.service}"

    @property
    def container(self) -> str:
        """The name of the live one."""
        return f"playground-{self.word}-shop"

    @property
    def repository(self) -> str:
        """Of its images, which no registry has."""
        return f"playground-{self.word}/shop"


class Playground(msgspec.Struct, frozen=True):
    """A playground as its description says. ``services`` gives each service's HTTP port, the same on every host.

    ``hosts`` and ``services`` are those of SSH. ``without_engine``: why ``engine`` is None, in words.
    """

    directory: Path
    user: str  # the only login name
    hosts: tuple[PlaygroundHost, ...]
    services: Mapping[str, int]
    engine: EngineHost | None = None
    without_engine: str = ""

    @property
    def fleet_file(self) -> Path:
        return self.directory / "fleet.yml"

    @property
    def state(self) -> Path:
        """The directory of the journal."""
        return self.directory / "state"

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh" / "config"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "ssh" / "known_hosts"

    @property
    def identity(self) -> Path:
        """The only private key that may log in."""
        return self.directory / "ssh" / "id_ed25519"

    @property
    def artifacts(self) -> Path:
        return self.directory / "artifacts"

    def host(self, name: str) -> PlaygroundHost:
        """Raises ``KeyError`` for an unknown name."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def hosts_of(self, environment: str) -> tuple[PlaygroundHost, ...]:
        return tuple(host for host in self.hosts if host.environment == environment)

    def host_pid(self, name: str) -> int | None:
        """The process of the embedded SSH host, None when it is dead: may be stopped, continued or killed by a test."""
        return next(iter(read_pid_file(host_pid_file(self.directory, name))), None)


def supervisor_pid_file(directory: Path) -> Path:
    return directory / "run" / "supervisor.pid"


def host_pid_file(directory: Path, name: str) -> Path:
    return directory / "run" / f"{name}.pid"


def log_file(directory: Path) -> Path:
    return directory / "run" / "playground.log"


def host_key_file(directory: Path, name: str) -> Path:
    return directory / "hosts" / name / "host_key"


def home_of(directory: Path, name: str) -> Path:
    return directory / "hosts" / name / "home"


def read_mark(directory: Path) -> str | None:
    """The secret word of the marker file, None when the directory is no playground."""
    try:
        text = (directory / MARKER).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) == 32 and all(c in "0123456789abcdef" for c in text) else None


def write_atomically(path: Path, content: str, mode: int = 0o600) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(content)
    temporary.rename(path)


def write_description(playground: Playground) -> None:
    """The last file of a start: a playground without it is only half there."""
    body: dict[str, Any] = {"user": playground.user, "services": playground.services}
    body["hosts"] = hosts = [msgspec.structs.asdict(host) for host in playground.hosts]
    for host in hosts:
        host.pop("home")
    if playground.engine is not None:
        body["engine"] = msgspec.structs.asdict(playground.engine)
    body["without_engine"] = playground.without_engine
    write_atomically(playground.directory / "playground.json", json.dumps(body, indent=2) + "\n")


def read_description(directory: Path) -> Playground | None:
    """None when there is none (not started, or only half)."""
    try:
        body: dict[str, Any] = json.loads((directory / "playground.json").read_text(encoding="utf-8"))
        hosts = tuple(PlaygroundHost(**host, home=home_of(directory, host["name"])) for host in body["hosts"])
        engine = EngineHost(**body["engine"]) if body.get("engine") else None
        return Playground(directory, body["user"], hosts, body["services"], engine, body.get("without_engine", ""))
    except (OSError, ValueError, KeyError, TypeError):
        return None
