"""A room on the playground in a real terminal: the fixture, and what the journal and the hosts say meanwhile.

A module that wants it says ``from tests.room.playing import play`` and has the mark of its xdist group.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from quarterdeck.backends.playground import describe, stop
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Rollout
from tests.cli.qd_command import Qd
from tests.room.terminal import Terminal

GROUP = "room_playground"
LONG = 150.0  # seconds: the machine may be busy with other things


@dataclass(frozen=True)
class Play:
    qd: Qd

    @property
    def directory(self) -> Path:
        return self.qd.directory / "xdg" / "quarterdeck" / "playground"

    def room(
        self,
        *words: str,
        size: tuple[int, int] = (80, 24),
        environment: Mapping[str, str] | None = None,
        fleet: str = "fleet.yml",
    ) -> Terminal:
        """``qd`` in a terminal of its own."""
        command = self.qd.command("--fleet", str(self.directory / fleet), *words)
        return Terminal(command, size=size, environment=self.qd.environ(environment))

    def journal(self) -> Journal:
        return Journal.open(self.directory / "state", create=False, read_only=True)

    def rollouts(self, target: str) -> list[Rollout]:
        """The newest first."""
        with self.journal() as journal:
            return journal.rollouts(target)

    def runs(self, target: str) -> list[str]:
        """What the hosts themselves say: the versions that ``current`` leads to, read from their disks."""
        environment, _, service = target.partition("/")
        return [
            Path(os.readlink(host.home / service / "current")).name.partition("-")[0]
            for host in describe(self.directory).hosts_of(environment)
        ]

    def slow(self, pause: str) -> str:
        """A fleet file in which hosts move one after the other, with a pause between them; its name."""
        return self.by("slow.yml", f"{{rolling: {{batches: [1], pause: {pause}}}}}")

    def by(self, name: str, strategy: str) -> str:
        """A fleet file ``name`` in which every service has this strategy."""
        text = (self.directory / "fleet.yml").read_text()
        quick = "strategy: {rolling: {max_unavailable: 1}}"
        assert quick in text
        (self.directory / name).write_text(text.replace(quick, f"strategy: {strategy}"))
        return name

    def ship(self, target: str, *versions: str) -> None:
        for version in versions:
            self.qd("deploy", target, version, "--override", "after", "--force", "--reason", "test", timeout=LONG)


def eventually(holds: Callable[[], bool], what: str, deadline: float = 60.0) -> None:
    end = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < end, f"waited {deadline:g} s for {what}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """A playground after ``qd demo up``: v1 runs everywhere."""
    played = Play(Qd(tmp_path_factory.mktemp("room play")))
    try:
        played.qd("demo", "up", timeout=LONG)
        yield played
    finally:
        stop(played.directory)
