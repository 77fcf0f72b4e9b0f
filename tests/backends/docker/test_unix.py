"""An engine at a socket of this machine."""

import pytest

from quarterdeck.backends.errors import EngineRefused
from quarterdeck.backends.hosts.docker.backend import DockerBackend
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from tests.engine import DockerEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_an_engine_is_asked(docker_engine: DockerEngine) -> None:
    docker_engine.image("app:1")
    engine = await DockerBackend(SshBackend).open_engine(docker_engine.as_host())
    try:
        assert engine.calls == 1
        assert engine.api_version == docker_engine.client.api_version
        assert engine.engine_version == docker_engine.client.version()["Version"]
        container = docker_engine.run("app:1", "one")
        seen = await engine.call("look", lambda client: client.inspect_container("one"), deadline=10)
        assert seen["Id"] == container
        assert engine.calls == 2
        with pytest.raises(EngineRefused) as refused:
            await engine.call("look at it", lambda client: client.inspect_container("two"), deadline=10)
        assert refused.value.status == 404
        assert str(refused.value) == "box-1: look at it: No such container: two"
    finally:
        await engine.close()
