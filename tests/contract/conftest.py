"""Every implementation of the contract is a parameter of ``any_host``: all of them pass the same tests. ``place`` is an SSH host, for what
holds of its files and shells."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.hosts.ssh.backend import SshBackend
from tests.contract.place import Place
from tests.contract.places import AnyHost, DockerTarget, SshTarget
from tests.sshd import SshdFleet


@pytest.fixture
async def place(sshd_fleet: SshdFleet, tmp_path: Path) -> AsyncIterator[Place]:
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[0]
    connection = await backend.connect(host.as_host())
    yield Place(backend, connection, host, tmp_path / "srv", tmp_path)
    await connection.close()


@pytest.fixture(
    params=["ssh", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(240)])]
)
def any_host(request: pytest.FixtureRequest) -> AnyHost:
    if request.param == "ssh":
        return SshTarget(request.getfixturevalue("place"))
    request.getfixturevalue("at_once")
    return DockerTarget(request.getfixturevalue("box"))
