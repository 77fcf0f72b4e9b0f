"""Many hosts at once over SSH: handshakes and uploads have so many places, a host that hangs holds up nobody, and too few open files are
said to be what they are."""

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.ssh import backend as ssh_backend
from quarterdeck.backends.hosts.ssh import connection as ssh_connection
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.backends.hosts.ssh.staging import chunks
from quarterdeck.config.model import Host
from tests.backends.ssh.releases import quick_release
from tests.sshd import SshdFleet

BOUND = 60.0
DEADLINE = 30.0


class Counted:
    """How many are in the middle of something, and the most that ever were."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


@pytest.fixture
def handshakes(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted, connect = Counted(), asyncssh.connect

    async def counting(*words: Any, **named: Any) -> asyncssh.SSHClientConnection:
        with counted:
            return await connect(*words, **named)

    monkeypatch.setattr(asyncssh, "connect", counting)
    return counted


def many(fleet: SshdFleet, count: int) -> list[Host]:
    return [Host(f"web-{number}", fleet[number % len(fleet)].name) for number in range(count)]


async def close(connections: list[SshConnection]) -> None:
    for connection in connections:
        await connection.close()


async def test_so_many_handshakes_at_once_and_all_hosts_are_reached(
    sshd_fleet: SshdFleet, handshakes: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail (20 of them at once) without the place that connecting takes."""
    monkeypatch.setattr(ssh_backend, "CONNECTING_AT_ONCE", 4)
    monkeypatch.setattr(ssh_backend, "SLOW_TO_CONNECT", BOUND)
    backend = SshBackend([sshd_fleet.ssh_config])
    async with asyncio.timeout(BOUND):
        opened = await asyncio.gather(*(backend.connect(one, deadline=DEADLINE) for one in many(sshd_fleet, 20)))
    assert handshakes.most == 4
    await close(opened)


async def test_servers_that_never_greet_hold_up_nobody(sshd_fleet: SshdFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times as many as there are places, and in front of all others: they are still waited for when the others are there.
    Seen to fail with places that are never given on."""
    monkeypatch.setattr(ssh_backend, "CONNECTING_AT_ONCE", 4)
    monkeypatch.setattr(ssh_backend, "SLOW_TO_CONNECT", 0.1)
    backend = SshBackend([sshd_fleet.ssh_config])
    with socket.create_server((sshd_fleet[0].address, 0), backlog=64) as silent:
        ssh = f"{sshd_fleet[0].address}:{silent.getsockname()[1]}"
        hung = [
            asyncio.create_task(backend.connect(Host(f"hung-{number}", ssh), deadline=BOUND)) for number in range(12)
        ]
        try:
            async with asyncio.timeout(DEADLINE):
                opened = await asyncio.gather(*(backend.connect(one) for one in many(sshd_fleet, 10)))
            assert not any(task.done() for task in hung)
        finally:
            for task in hung:
                task.cancel()
            await asyncio.wait(hung)
    await close(opened)


async def test_the_time_in_line_is_not_the_hosts(
    sshd_fleet: SshdFleet, handshakes: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind one server, or one jump host, some wait longer than a whole deadline. Seen to fail with a clock that runs meanwhile."""
    connect = asyncssh.connect  # the one that counts

    async def slowly(*words: Any, **named: Any) -> asyncssh.SSHClientConnection:
        await asyncio.sleep(0.6)
        return await connect(*words, **named)

    monkeypatch.setattr(asyncssh, "connect", slowly)
    monkeypatch.setattr(ssh_backend, "HANDSHAKES_AT_ONCE", 1)
    monkeypatch.setattr(ssh_backend, "_SLOW_LOGIN", BOUND)
    backend, loop = SshBackend([sshd_fleet.ssh_config]), asyncio.get_running_loop()
    begun = loop.time()
    one = [Host(f"web-{number}", sshd_fleet[0].name) for number in range(14)]
    async with asyncio.timeout(3 * BOUND):
        opened = await asyncio.gather(*(backend.connect(host, deadline=8.0) for host in one))
    assert loop.time() - begun > 8.3
    assert handshakes.most == 1
    await close(opened)


async def test_so_many_uploads_at_once_from_one_open_file(
    sshd_fleet: SshdFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail (five at once) without the place that an upload takes."""
    monkeypatch.setattr(ssh_backend, "UPLOADS_AT_ONCE", 2)
    monkeypatch.setattr(ssh_backend, "_SLOW_UPLOAD", BOUND)
    uploads, descriptors, two = Counted(), 0, asyncio.Event()

    async def counting(archive: Path, moved: Callable[[], None]) -> AsyncIterator[bytes]:
        nonlocal descriptors
        with uploads:
            if uploads.now == 2:
                two.set()
            await two.wait()
            async for piece in chunks(archive, moved):
                descriptors = max(descriptors, open_files().count(str(archive)))
                yield piece
                await asyncio.sleep(0.1)  # for one more, were there a place for it

    monkeypatch.setattr(ssh_connection, "chunks", counting)
    backend = SshBackend([sshd_fleet.ssh_config])
    _, archive = quick_release(tmp_path, "v1", tmp_path / "srv")
    opened = [await backend.connect(sshd_fleet[number].as_host()) for number in range(5)]
    staged = []
    for number, connection in enumerate(opened):
        there, _ = quick_release(tmp_path, "v1", tmp_path / f"srv-{number}")
        fence = Fence("test/web", 1, "rollout 1, alice@bastion", "1:abcdef")
        staged.append(connection.stage(there, archive, SecretValues(), fence))
    async with asyncio.timeout(BOUND):
        outcomes = await asyncio.gather(*staged)
    assert [outcome.already for outcome in outcomes] == [False] * 5
    assert (uploads.most, descriptors) == (2, 1)
    assert str(archive) not in open_files(), "it is closed when the last one has it"
    await close(opened)


def open_files() -> list[str]:
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{entry}"))
    return found


CONNECTING = """
import asyncio, resource, sys
from pathlib import Path
from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.model import Host

async def main():
    backend = SshBackend([Path(sys.argv[1])])
    hosts = [Host(f"web-{n}", sys.argv[2 + n % 5]) for n in range(40)]
    found = await asyncio.gather(*(backend.connect(host, deadline=30) for host in hosts), return_exceptions=True)
    lost = [one for one in found if isinstance(one, BaseException)]
    opened = [one for one in found if not isinstance(one, BaseException)]
    assert all(type(one) is Unreachable for one in lost), lost
    open("/dev/null").close()  # there is room for other files
    print(len(lost), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    print(*sorted({str(one).partition(": ")[2] for one in lost})[:1])
    for one in opened[:10]:
        await one.close()
    again = [await backend.connect(host) for host in hosts[:10]]  # what was closed makes room
    for one in opened[10:] + again:
        await one.close()

asyncio.run(main())
"""


def connect_with(fleet: SshdFleet, soft: int, hard: int) -> list[str]:
    names = [host.name for host in fleet.hosts[:5]]
    done = subprocess.run(
        [sys.executable, "-c", CONNECTING, str(fleet.ssh_config), *names],
        capture_output=True,
        text=True,
        timeout=BOUND * 2,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_too_few_open_files_are_allowed_by_oneself_where_one_may(sshd_fleet: SshdFleet) -> None:
    """Seen to fail (23 hosts lost) without raising the limit."""
    first, _ = connect_with(sshd_fleet, 64, 4096)
    lost, limit = map(int, first.split())
    assert lost == 0
    assert 80 < limit < 4096, "no more than is needed: hooks have it, too"


def test_too_few_open_files_are_told_as_that(sshd_fleet: SshdFleet) -> None:
    """Not as hosts that can't be reached; and what else the process opens finds room."""
    first, told = connect_with(sshd_fleet, 72, 72)
    lost, limit = map(int, first.split())
    assert 10 < lost < 35
    assert limit == 72
    assert "this machine lets qd have no more than 72 files open at once" in told
    assert "ulimit -n 256" in told or "ulimit -n 128" in told
