"""What the tasks of a release use, from the engines of their nodes, and how often they have failed, from the managers."""

import asyncio
from collections.abc import Sequence

import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import ContainerFigures, ServiceFigures
from quarterdeck.config.container import Limits
from tests.backends.swarm.talking import WAITS, talking, until
from tests.swarm import Swarm

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(300)]
LIMIT = 64 * 1024 * 1024
FAILS = "trap 'exit 0' TERM; until [ -e /tmp/fail ]; do sleep 0.05; done; exit 3"
BUSY = "trap 'exit 0' TERM; while :; do :; done"


async def test_figures_are_sums_over_the_tasks(swarm: Swarm) -> None:
    async with talking(swarm) as field, talking(swarm, managers=(0,), nodes="") as narrow:
        narrow.name = field.name
        release = field.release("1", WAITS, replicas=3, limits=Limits(memory=LIMIT))
        with pytest.raises(CommandFailed, match="no task of it"):
            await field.connection.service_figures(release)
        await field.live(release, "1.1")
        async with asyncio.timeout(60):
            found = some = ServiceFigures()
            while found.memory_limit != 3 * LIMIT or some.memory_limit != LIMIT or not found.memory or not some.memory:
                found = await field.connection.service_figures(release)  # an engine tells of memory after a moment
                some = await narrow.connection.service_figures(release)
        assert (found.restarts, found.oom_kills) == (0, 0)
        assert found.memory > some.memory, "one of three nodes is reached"
        assert found.cpu_seconds is not None


async def test_failed_tasks_are_counted_until_it_is_switched_to_anew(swarm: Swarm) -> None:
    async with talking(swarm) as field:
        release = field.release("1", FAILS, replicas=2)
        await field.live(release, "1.1")
        (first, *_) = field.running()
        field.inside(first, "touch", "/tmp/fail")
        await until(
            lambda: len(field.running()) == 2 and first["ID"] not in {one["ID"] for one in field.running()}, "replaced"
        )
        assert (await field.connection.service_figures(release)).restarts == 1
        other = field.release("2", WAITS, replicas=2)
        await field.live(other, "1.2")
        assert (await field.connection.service_figures(other)).restarts == 0
        await field.live(release, "1.3")
        assert (await field.connection.service_figures(release)).restarts == 0, "that was in an earlier life"


async def test_an_observer_has_the_figures_of_each_task(swarm: Swarm) -> None:
    async with talking(swarm) as field:
        release = field.release("1", BUSY, replicas=2, limits=Limits(memory=LIMIT))
        await field.live(release, "1.1")
        watched = field.connection.watched()
        assert (await watched.figures([field.target]))[field.target] == []
        await watched.facts(field.target, "", release)
        (one, two) = (await watched.figures([field.target]))[field.target]
        assert (one.release, two.release) == (release.id, release.id)
        assert (one.cpu, one.memory_limit, one.restarts, one.out_of_memory) == (None, LIMIT, 0, 0)

        async def told(deadline: float = 10.0) -> Sequence[ContainerFigures]:
            return (await watched.figures([field.target], deadline=deadline))[field.target]

        async with asyncio.timeout(60):
            while not all(of.memory and of.cpu and of.cpu > 1 for of in await told()):
                pass
        swarm.freeze(next(field.node_of(task) for task in field.running()))
        assert sorted(of.memory is None for of in await told(3.0)) == [False, True]
