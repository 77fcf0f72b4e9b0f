"""Figures of a release's own container, as an analysis asks for them."""

import asyncio

import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.config.container import Limits
from tests.boxes import Box

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_a_container_that_the_engine_restarts_says_so(box: Box) -> None:
    """It ends by itself some time after it was started, as a service does that fails later."""
    ends = (
        "sh",
        "-c",
        "[ -e /tmp/ended ] && exec sleep 600; until [ -e /tmp/go ]; do sleep 0.05; done; touch /tmp/ended; exit 1",
    )
    release = box.release("1", spec=box.spec(command=ends, restart="always", limits=Limits(memory=64 * 1024 * 1024)))
    with pytest.raises(CommandFailed, match="there is no container of it"):
        await box.connection.service_figures(release)
    await box.live(release, "1.1")
    first = await box.connection.service_figures(release)
    assert (first.restarts, first.oom_kills) == (0, 0)
    client = box.engine.client
    client.exec_start(client.exec_create(box.inspect(box.name)["Id"], ["touch", "/tmp/go"])["Id"])
    async with asyncio.timeout(60):
        found = first
        while not (found.restarts and found.memory):
            found = await box.connection.service_figures(release)
    assert (found.restarts, found.memory_limit) == (1, 64 * 1024 * 1024)
    assert found.memory is not None
    assert 0 < found.memory < 64 * 1024 * 1024
    assert found.cpu_seconds is not None
    assert found.cpu_seconds >= 0
