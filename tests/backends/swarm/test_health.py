"""A health check of a Swarm counts the tasks that are well, and says so beside whether all of them are."""

import pytest

from quarterdeck.config.model import CommandCheck, Health
from tests.backends.swarm.talking import WAITS, talking
from tests.swarm import Swarm

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


async def test_it_says_how_many_tasks_are_well(swarm: Swarm) -> None:
    async with talking(swarm) as field:
        release = field.release("1", WAITS, replicas=2)
        health = Health(command=CommandCheck("test ! -e /tmp/ill"), timeout=10.0)
        await field.live(release, "1.1")
        tasks = field.running()
        assert len(tasks) == 2
        for well, ill in ((2, None), (1, tasks[0]), (0, tasks[1])):
            if ill is not None:
                field.swarm.inside(ill, "touch", "/tmp/ill")
            outcome = await field.connection.check_health(health, release)
            assert (outcome.healthy, outcome.well, outcome.checks) == (well == 2, well, 2)
            assert outcome.healthy or f"{well} of 2 tasks are well" in outcome.detail
        other = field.release("2", WAITS, replicas=2)
        assert (await field.connection.check_health(health, other)).well is None, "nobody has counted what is not there"
