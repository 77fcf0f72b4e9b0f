"""Many engines at once: connecting has so many places, one that hangs holds up nobody, and the time in line is no host's. Engines here are
sockets that answer no more than connecting asks."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.docker import backend as docker_backend
from quarterdeck.backends.hosts.docker import engine as docker_engine
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.docker.engine import Engine
from quarterdeck.backends.hosts.ssh import backend as ssh_backend
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.swarm.backend import SwarmBackend
from quarterdeck.config.model import Host
from tests.sshd import SshdFleet

BOUND = 60.0
VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
INFO = {"Swarm": {"NodeID": "n1", "LocalNodeState": "active", "ControlAvailable": True}}


class Engines:
    """How many are asked for their version at the same time, and the most that ever were. ``wait``: before each answer."""

    def __init__(self, wait: Callable[[], Awaitable[object]]) -> None:
        self.now = self.most = 0
        self._wait = wait

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = head.split(b" ", 2)[1].decode()
                if asked.endswith("/version"):
                    self.now += 1
                    self.most = max(self.most, self.now)
                    try:
                        await self._wait()
                    finally:
                        self.now -= 1
                body = json.dumps(INFO if asked.endswith("/info") else VERSION).encode()
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                )
                writer.write(head + body)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def engines_at(path: Path, wait: Callable[[], Awaitable[object]]) -> AsyncIterator[Engines]:
    engines = Engines(wait)
    serving: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(engines.answer(reader, writer)))

    server = await asyncio.start_unix_server(serve, path, backlog=256)
    try:
        yield engines
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def places(monkeypatch: pytest.MonkeyPatch, count: int, patience: float) -> DockerBackend:
    monkeypatch.setattr(docker_backend, "CONNECTING_AT_ONCE", count)
    monkeypatch.setattr(docker_backend, "SLOW_TO_CONNECT", patience)
    ssh = SshBackend()
    return DockerBackend(lambda: ssh)


def many(path: Path, count: int) -> list[Host]:
    return [Host(f"box-{number}", docker=f"unix://{path}") for number in range(count)]


async def close(engines: Sequence[Engine]) -> None:
    for engine in engines:
        await engine.close()


async def test_so_many_connect_at_once_and_all_are_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail (20 of them at once) without the place that connecting takes."""
    backend = places(monkeypatch, 4, BOUND)
    path = tmp_path / "engine.sock"
    four = asyncio.Event()

    async def together() -> None:
        if asked.now == 4:
            four.set()
        await four.wait()
        await asyncio.sleep(0.1)  # for one more, were there a place for it

    async with engines_at(path, together) as asked, asyncio.timeout(BOUND):
        opened = await asyncio.gather(*(backend.open_engine(one, deadline=30.0) for one in many(path, 20)))
        assert asked.most == 4
        await close(opened)


async def test_engines_that_never_answer_hold_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times as many as there are places, and in front of all others."""
    backend = places(monkeypatch, 4, 0.1)
    silent, path = tmp_path / "silent.sock", tmp_path / "engine.sock"
    never = asyncio.Event()
    async with engines_at(silent, never.wait), engines_at(path, lambda: asyncio.sleep(0)), asyncio.timeout(BOUND):
        hung = [asyncio.create_task(backend.open_engine(one, deadline=BOUND)) for one in many(silent, 12)]
        try:
            opened = await asyncio.gather(*(backend.open_engine(one) for one in many(path, 10)))
            assert not any(task.done() for task in hung)
        finally:
            for task in hung:
                task.cancel()
            await asyncio.gather(*hung, return_exceptions=True)
        await close(opened)


async def test_the_time_in_line_is_no_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one waits longer than its whole deadline before it is asked for the first time; its own time holds all the same."""
    monkeypatch.setattr(docker_engine, "_ANSWER", BOUND)
    backend, loop = places(monkeypatch, 1, BOUND), asyncio.get_running_loop()
    path, silent = tmp_path / "engine.sock", tmp_path / "silent.sock"
    never = asyncio.Event()
    async with (
        engines_at(path, lambda: asyncio.sleep(0.5)),
        engines_at(silent, never.wait),
        asyncio.timeout(2 * BOUND),
    ):
        begun = loop.time()
        opened = await asyncio.gather(*(backend.open_engine(one, deadline=4.0) for one in many(path, 10)))
        assert loop.time() - begun > 4.5
        await close(opened)
        with pytest.raises(Unreachable, match=r"gave no answer within 1 s|does not answer"):
            await backend.open_engine(many(silent, 1)[0], deadline=1.0)


@pytest.mark.sshd
async def test_the_time_in_line_at_one_server_is_no_engines_either(
    sshd_fleet: SshdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines over SSH behind one server, or one jump host, which takes so many logins at once. Seen to fail with one deadline for the
    login and the engine's answer."""
    connect = asyncssh.connect

    async def slowly(*words: Any, **named: Any) -> asyncssh.SSHClientConnection:
        await asyncio.sleep(0.6)
        return await connect(*words, **named)

    monkeypatch.setattr(asyncssh, "connect", slowly)
    monkeypatch.setattr(ssh_backend, "HANDSHAKES_AT_ONCE", 1)
    monkeypatch.setattr(ssh_backend, "_SLOW_LOGIN", BOUND)
    ssh = SshBackend([sshd_fleet.ssh_config])
    backend, path, loop = DockerBackend(lambda: ssh), tmp_path / "engine.sock", asyncio.get_running_loop()
    hosts = [Host(f"box-{number}", docker=f"ssh://{sshd_fleet[0].name}{path}") for number in range(14)]
    async with engines_at(path, lambda: asyncio.sleep(0)), asyncio.timeout(2 * BOUND):
        begun = loop.time()
        opened = await asyncio.gather(*(backend.open_engine(one, deadline=8.0) for one in hosts))
        assert loop.time() - begun > 8.3
        await close(opened)


async def test_managers_of_swarms_are_engines_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that has waited for its place gets the time to say that it is a manager."""
    docker = places(monkeypatch, 2, BOUND)
    backend = SwarmBackend(lambda: docker)
    path = tmp_path / "engine.sock"
    async with engines_at(path, lambda: asyncio.sleep(0.6)) as asked, asyncio.timeout(2 * BOUND):
        swarms = [Host(f"sw-{number}", swarm=(f"unix://{path}",)) for number in range(16)]
        opened = await asyncio.gather(*(backend.open_managers(one, deadline=4.5) for one in swarms))
        assert asked.most == 2
        for managers in opened:
            await managers.close()
