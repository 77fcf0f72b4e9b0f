"""An engine that is reached over SSH is a host like one that is here, and has a shell besides."""

import pytest

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.config.model import Hook
from tests.backends.docker.conftest import over_ssh
from tests.boxes import NO_SECRETS, Box
from tests.contract.place import become_healthy
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.sshd]


async def test_a_release_is_put_there_and_taken_back(box: Box, sshd_fleet: SshdFleet) -> None:
    backend = DockerBackend(lambda: SshBackend([sshd_fleet.ssh_config], [sshd_fleet.known_hosts]))
    box.connection, direct = await backend.connect(over_ssh(sshd_fleet, box.engine)), box.connection
    try:
        first, second = await box.staged("1"), await box.staged("2")
        await box.live(first, "1.1")
        await become_healthy(box.connection, first)
        await box.live(second, "1.2")
        await become_healthy(box.connection, second)
        await box.live(first, "2.1", epoch=2)
        assert box.running == [first.id]
        outcome = await box.connection.hook(Hook("true"), "echo here", first, box.fence(2), "2.2")
        assert (outcome.exit_status, outcome.output) == (0, "here\n")
        facts = await box.connection.facts(box.target, "", first)
        assert (facts.current, facts.drift) == (first.id, ())
        assert (facts.free_bytes or 0) > 0
        said = await box.connection.execute("echo from the host; exit 3", deadline=60.0)
        assert (said.exit_status, said.output) == (3, "from the host\n")
        with pytest.raises(BackendError, match="no shell"):
            await direct.execute("true", deadline=5.0)
        assert (await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.3")).current == first.id
    finally:
        await box.connection.close()
        box.connection = direct
