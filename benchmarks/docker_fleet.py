"""What the benches of containers run on: real engines with a registry; and what processes cost."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.boxes import Registry, start_registry
from tests.engine import DockerEngine, short_directory, start_engine
from tests.engine_field import CHECKED, push

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Engines:
    """``hosts`` by name: box-1, box-2, …"""

    directory: Path
    hosts: dict[str, DockerEngine] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.registry: Registry = start_registry(self.directory / "registry")
        self._stack.callback(self.registry.close)

    def start(self, count: int, versions: Sequence[str]) -> None:
        """So many further ones, which have pulled nothing yet. The first one of all pushes the images."""
        for _ in range(count):
            name = f"box-{len(self.hosts) + 1}"
            directory = short_directory()
            configuration = directory.with_suffix(".json")
            configuration.write_text("{}")
            self._stack.callback(configuration.unlink, missing_ok=True)
            engine = start_engine(directory, ["--config-file", str(configuration)])
            self._stack.callback(engine.close)
            self.hosts[name] = engine
        first = self.hosts["box-1"]
        for version in versions:
            for repository in ("app", CHECKED):
                push(self.registry, first, version, repository)

    def location(self, version: str) -> str:
        return push(self.registry, self.hosts["box-1"], version).location

    def close(self) -> None:
        self._stack.close()


def processor_seconds(pids: Sequence[int]) -> float:
    """What the processes have used so far, with all of their threads; those that are gone are left out."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def processes_of(engine: DockerEngine) -> list[int]:
    """dockerd and its containerd; the containers and their shims are the service's."""
    assert engine.process is not None
    found = [engine.process.pid]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"containerd") and any(str(engine.directory).encode() in word for word in words):
            found.append(int(entry.name))
    return found


def memory(pid: int) -> tuple[float, float]:
    """MB that the process has now, and at most."""
    told = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Vm")
    )
    return int(told["VmRSS"].split()[0]) / 1000, int(told["VmHWM"].split()[0]) / 1000
