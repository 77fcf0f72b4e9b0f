"""Reading logs of several hosts ends, however many lines there are, and a reader that breaks is not a quiet host."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from quarterdeck.backends.hosts.contract import HostBackend, LogLine
from quarterdeck.config.model import Artifact, Commands, Host, Logs, Runner, Target
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.logs.merged import WAITING_LINES, Entry, Silent, read_logs

RUNNER = Runner(commands=Commands("start", "stop"))
HOSTS = (Host("web-1", "web-1"), Host("web-2", "web-2"))
TARGET = Target("production", "web", HOSTS, "/srv/web", Artifact("/a"), RUNNER, logs=Logs(files=("/log",)))
RELEASE = Release("production/web", "v1", ResolvedArtifact("/a", "1" * 64), "/srv/web", RUNNER)


class _Connection:
    """Has all its lines at hand: it never gives the event loop a turn."""

    def __init__(self, host: str, lines: int, error: Exception | None) -> None:
        self.host, self.lines, self.error = host, lines, error

    async def logs(self, *_: object, **__: object) -> AsyncIterator[LogLine]:
        for number in range(self.lines):
            yield LogLine(self.host, f"line {number}")
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        return None


class _Hosts:
    def __init__(self, lines: int, error: Exception | None = None) -> None:
        self.lines, self.error = lines, error

    async def connect(self, host: Host, *, deadline: float = 20.0) -> _Connection:
        return _Connection(host.name, self.lines, self.error if host.name == "web-2" else None)


async def entries(tmp_path: Path, hosts: _Hosts) -> list[Entry]:
    with Journal.open(tmp_path / "state") as journal:
        journal.put_release(RELEASE)
        async with asyncio.timeout(60):
            return [entry async for entry in read_logs(cast(HostBackend, hosts), journal, TARGET)]


@pytest.mark.parametrize("lines", [0, 1, WAITING_LINES // 2, WAITING_LINES, WAITING_LINES + 1, WAITING_LINES * 2])
async def test_every_line_of_every_host_comes_and_then_the_end(tmp_path: Path, lines: int) -> None:
    assert len(await entries(tmp_path, _Hosts(lines))) == 2 * lines


async def test_a_reader_that_breaks_says_so(tmp_path: Path) -> None:
    found = await entries(tmp_path, _Hosts(1, ValueError("what is this")))
    assert [entry for entry in found if isinstance(entry, Silent)] == [
        Silent("web-2", "web-2: ValueError: what is this")
    ]
