"""Engines that are opened for a test, and closed after it."""

import asyncio
import contextlib
import getpass
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.docker.engine import Engine
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.model import Host
from tests.engine import DockerEngine
from tests.sshd import SshdFleet, wait_for

Open = Callable[..., Awaitable[Engine]]


def over_ssh(fleet: SshdFleet, engine: DockerEngine, *, socket: Path | None = None) -> Host:
    """The engine as a host that is reached through the fleet's first sshd."""
    host = fleet[0]
    return Host("box-1", docker=f"ssh://{getpass.getuser()}@{host.address}:{host.port}{socket or engine.socket}")


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """``await opened(host, fleet)``: an open engine; ``fleet`` whose ssh_config is used."""
    engines: list[Engine] = []

    async def open_one(host: Host, fleet: SshdFleet | None = None, *, deadline: float = 20.0) -> Engine:
        def ssh() -> SshBackend:
            assert fleet is not None, "asked for SSH on a way that needs none"
            return SshBackend([fleet.ssh_config], [fleet.known_hosts])

        engine = await DockerBackend(ssh).open_engine(host, deadline=deadline)
        engines.append(engine)
        return engine

    yield open_one
    for engine in engines:
        await engine.close()


def threads() -> set[str]:
    """The names of this process's threads that belong to engines."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("engine ")}


def open_sockets() -> int:
    """How many sockets this process has."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
    return count


async def until(condition: Callable[[], object], what: str, deadline: float = 60.0) -> None:
    """Waits without blocking the loop until ``condition`` holds."""
    await asyncio.to_thread(wait_for, condition, what, deadline)
