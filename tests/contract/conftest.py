"""Every implementation of the contract is a parameter of ``place``: all of them pass the same tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.hosts.ssh.backend import SshBackend
from tests.contract.place import Place
from tests.sshd import SshdFleet


@pytest.fixture(params=["ssh"])
async def place(request: pytest.FixtureRequest, sshd_fleet: SshdFleet, tmp_path: Path) -> AsyncIterator[Place]:
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[0]
    connection = await backend.connect(host.as_host())
    yield Place(backend, connection, host, tmp_path / "srv", tmp_path)
    await connection.close()
