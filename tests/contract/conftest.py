"""Every implementation of the contract is a parameter of ``any_host``: all of them pass the same tests. ``place`` is an SSH host, for what
holds of its files and shells."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from quarterdeck.backends.hosts.ssh.backend import SshBackend
from tests.contract.place import Place
from tests.contract.places import AnyHost, DockerTarget, SlotTarget, SshTarget, SwarmTarget, SyntheticTarget
from tests.sshd import SshdFleet
from tests.synthetic.world import World


@pytest.fixture
async def place(sshd_fleet: SshdFleet, tmp_path: Path) -> AsyncIterator[Place]:
    backend = SshBackend([sshd_fleet.ssh_config])
    host = sshd_fleet[0]
    connection = await backend.connect(host.as_host())
    yield Place(backend, connection, host, tmp_path / "srv", tmp_path)
    await connection.close()


_DOCKER = pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(240)])
_SWARM = pytest.param("swarm", marks=[pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)])

_RUNS_NOTHING = "a synthetic host runs no command"
NOT_OF_SYNTHETIC_HOSTS = {
    "test_a_hook_gives_its_status_and_output_once": _RUNS_NOTHING,
    "test_the_status_and_both_outputs_are_the_commands_own": _RUNS_NOTHING,
    "test_every_argument_arrives_as_it_is": _RUNS_NOTHING,
    "test_bytes_come_unchanged_and_all_of_them": _RUNS_NOTHING,
    "test_input_goes_in_and_its_end_is_told": _RUNS_NOTHING,
    "test_a_command_is_ended_when_its_time_is_over": _RUNS_NOTHING,
    "test_a_command_ends_with_its_reader": _RUNS_NOTHING,
    "test_on_a_terminal_it_is_one_with_its_size": _RUNS_NOTHING,
}
"""All other tests of ``any_host`` are kept by a synthetic host as by a real one. Those of ``beside`` are not about it: it has no slots."""


def _target(request: pytest.FixtureRequest) -> AnyHost:
    if request.param == "swarm":
        return SwarmTarget(request.getfixturevalue("swarm_field"))
    if request.param == "docker":
        request.getfixturevalue("at_once")
        return DockerTarget(request.getfixturevalue("box"))
    if request.param == "synthetic":
        why = NOT_OF_SYNTHETIC_HOSTS.get(request.node.originalname)
        if why is not None:
            pytest.skip(why)
        return SyntheticTarget(World(), request.getfixturevalue("tmp_path"))
    kind = SshTarget if request.param == "ssh" else SlotTarget
    return kind(request.getfixturevalue("place"))


@pytest.fixture(params=["ssh", "slots", _DOCKER, _SWARM, "synthetic"])
def any_host(request: pytest.FixtureRequest) -> AnyHost:
    return _target(request)


@pytest.fixture(params=["slots", _DOCKER, _SWARM])
def beside(request: pytest.FixtureRequest) -> AnyHost:
    """A target of which two releases can run beside each other."""
    return _target(request)
