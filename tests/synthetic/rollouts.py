"""Rollouts on synthetic hosts: the real worker's session, in this process, with a world in the place of real hosts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Operator, Rollout
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.spawn import WaitingWorker
from quarterdeck.rollouts.worker.crew import Crew, Known
from quarterdeck.rollouts.worker.session import run
from tests.field import tarball
from tests.synthetic.world import SyntheticHosts, World

WHO = Operator("lena", 1000, None, "bastion-2")
TARGET = "production/web"


class _Remembered(WaitingWorker):
    """In the place of a process that waits for its rollout."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.hosts: list[Known] = []

    def assign(self, state: Path, rollout: int, hosts: Sequence[Sequence[object]], options: dict[str, Any]) -> None:
        del state, rollout, options
        self.hosts = msgspec.convert(list(hosts), list[Known])


@dataclass(frozen=True, slots=True)
class Rolled:
    """A rollout, and the seconds that its worker took from connecting to its last bookkeeping."""

    rollout: Rollout
    seconds: float


class SyntheticField:
    """One service on ``count`` hosts. ``service``: further keys of it, in YAML's flow style."""

    def __init__(self, directory: Path, count: int, *, service: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.names = [f"web-{number}" for number in range(1, count + 1)]
        for version in ("v1", "v2", "v3"):
            tarball(directory / f"web-{version}.tar.gz", {"VERSION": version})
        keys = {"strategy": "{rolling: {max_unavailable: 100%}}"} | dict(service or {})
        lines = ["fleet: synthetic", f"state: {directory / 'state'}", "hosts:"]
        lines += [f'  {name}: {{ssh: "{name}"}}' for name in self.names]
        lines += ["environments:", f"  production: {{hosts: [{', '.join(self.names)}]}}", "services:", "  web:"]
        lines += [f'    artifact: {{tarball: "{directory}/web-{{version}}.tar.gz"}}', "    path: /srv/web"]
        lines += ["    commands: {start: bin/start, stop: bin/stop}", "    health: {tcp: 8080, healthy_deadline: 20s}"]
        lines += [f"    {key}: {value}" for key, value in keys.items()]
        self.file = directory / "fleet.yml"
        self.file.write_text("\n".join(lines) + "\n")
        self.fleet = load_fleet(self.file)
        self.world = World()

    async def deploy(self, version: str, **options: Any) -> Rolled:
        return await self._roll("arm_deploy", TARGET, version, **options)

    async def roll_back(self, **options: Any) -> Rolled:
        return await self._roll("arm_rollback", TARGET, **options)

    async def _roll(self, how: str, *words: str, **options: Any) -> Rolled:
        worker = _Remembered()
        with Journal.open(self.fleet.state, operator=WHO) as journal:
            control = Control(self.fleet, journal, WHO, worker=worker)
            rollout: Rollout = getattr(control, how)(*words, detached_go=True, reason="a test", **options)
        begun = time.monotonic()
        hosts = SyntheticHosts(self.world, self.fleet.name)
        crew = Crew(hosts, worker.hosts)
        crew.connect_all()
        await run(self.fleet.state, rollout.id, hosts, crew)
        seconds = time.monotonic() - begun
        with Journal.open(self.fleet.state, read_only=True) as journal:
            return Rolled(journal.rollout(rollout.id), seconds)

    def runs(self, version: str) -> list[str]:
        """The hosts on which it runs."""
        found = []
        for name in self.names:
            running = self.world.host(name).of(TARGET).running or ""
            if running.startswith(f"{version}-"):
                found.append(name)
        return found
