"""Every implementation of the contract is a parameter of ``any_host``: all of them pass the same tests. ``place`` is an SSH host, for what
holds of its files and shells."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.hosts.ssh.backend import SshBackend
from tests.contract.place import Place
from tests.contract.places import AnyHost, DockerTarget, SlotTarget, SshTarget, SwarmTarget
from tests.sshd import SshdFleet


@pytest.fixture
async def place(sshd_fleet: SshdFleet, tmp_path: Path) -> AsyncIterator[Place]:
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[0]
    connection = await backend.connect(host.as_host())
    yield Place(backend, connection, host, tmp_path / "srv", tmp_path)
    await connection.close()


_DOCKER = pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(240)])


_SWARM = pytest.param("swarm", marks=[pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(240)])


def _target(request: pytest.FixtureRequest) -> AnyHost:
    if request.param == "swarm":
        return SwarmTarget(request.getfixturevalue("swarm_field"))
    if request.param == "docker":
        request.getfixturevalue("at_once")
        return DockerTarget(request.getfixturevalue("box"))
    kind = SshTarget if request.param == "ssh" else SlotTarget
    return kind(request.getfixturevalue("place"))


@pytest.fixture(params=["ssh", "slots", _DOCKER, _SWARM])
def any_host(request: pytest.FixtureRequest) -> AnyHost:
    return _target(request)


@pytest.fixture(params=["slots", _DOCKER, _SWARM])
def beside(request: pytest.FixtureRequest) -> AnyHost:
    """A target of which two releases can run beside each other."""
    return _target(request)
