"""A service handled over SSH by hand, without the program that is built on it; and waiting for a condition."""

import asyncio
import contextlib
import os
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncssh

from quarterdeck.backends.playground import Playground

DEADLINE = (
    60.0  # seconds, for anything that is waited for: more than a playground gives itself for its start, or its removal
)


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Polls until ``condition`` holds. Raises ``AssertionError`` at the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"still not so: {what}"
        time.sleep(0.01)


@contextlib.asynccontextmanager
async def connected(playground: Playground, host: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
    async with (
        asyncio.timeout(2 * DEADLINE),
        asyncssh.connect(
            host, config=[str(playground.ssh_config)], known_hosts=str(playground.known_hosts)
        ) as connection,
    ):
        yield connection


class ServiceByHand:
    """A service on a host, in a directory of the test's own so that nothing else uses it."""

    def __init__(self, playground: Playground, host: str, service: str, directory: str) -> None:
        self.playground = playground
        self.host = playground.host(host)
        self.service = service
        self.home = self.host.home / directory
        self.shared = self.home / "shared"
        self.port = playground.services[service]

    @property
    def log(self) -> str:
        return (self.shared / "log" / f"{self.service}.log").read_text()

    @property
    def pid(self) -> int:
        return int((self.shared / f"{self.service}.pid").read_text().split()[0])

    async def unpack(self, connection: asyncssh.SSHClientConnection, version: str) -> None:
        archive = (self.playground.artifacts / f"{self.service}-{version}.tar.gz").read_bytes()
        place = shlex.quote(str(self.home / "releases" / version))
        command = f"mkdir -p {place} {shlex.quote(str(self.shared))} && tar xz -C {place}"
        await connection.run(command, input=archive, encoding=None, check=True)

    async def run(
        self, connection: asyncssh.SSHClientConnection, version: str, action: str, **env: str
    ) -> asyncssh.SSHCompletedProcess:
        words = {"PORT": str(self.port), "QD_SHARED": str(self.shared), **env}
        assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in words.items())
        place = shlex.quote(str(self.home / "releases" / version))
        return await connection.run(f"cd {place} && {assignments} bin/service {action}", timeout=DEADLINE)

    def get(self, path: str = "/", accept: str = "application/json") -> tuple[int, str]:
        """Status and body; (0, "") when nobody listens."""
        url = f"http://{self.host.address}:{self.port}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except urllib.error.URLError:
            return 0, ""


def alive(pid: int) -> bool:
    """Whether the process runs; one of which only the exit status is left does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def marked(playground: Playground) -> set[int]:
    """All live processes that carry the playground's mark, found without the program's own search."""
    mark = (playground.directory / ".quarterdeck-playground").read_text().strip()
    return processes_with(f"QD_PLAYGROUND={mark}")


def processes_with(entry: str) -> set[int]:
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            with contextlib.suppress(OSError):
                if entry.encode() in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.add(int(name))
    return found
