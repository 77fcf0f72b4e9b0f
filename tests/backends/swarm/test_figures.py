"""What the tasks of a release use, from the engines of their nodes, and how often they have failed, from the managers."""

import itertools
from collections.abc import Callable
from typing import Any

import docker
import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import ContainerFigures
from quarterdeck.backends.hosts.swarm import nodes
from quarterdeck.config.container import Limits
from tests.backends.swarm.talking import WAITS, talking
from tests.swarm import Swarm
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
LIMIT = 64 * 1024 * 1024
FAILS = "trap 'exit 0' TERM; until [ -e /tmp/fail ]; do sleep 0.05; done; exit 3"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """What engines tell of each container is made up, as not every machine's engine tells of memory; each tells it of its own containers
    alone. Gives how often one was asked."""
    asked = itertools.count(1)
    times = 0

    def stats(self: docker.APIClient, container: str, **_: object) -> dict[str, Any]:
        nonlocal times
        self.inspect_container(container)
        times = next(asked)
        return {
            "memory_stats": {"usage": 5_000_000, "limit": LIMIT, "stats": {"total_inactive_file": 1_000_000}},
            "cpu_stats": {
                "cpu_usage": {"total_usage": 500_000_000 * times},
                "system_cpu_usage": 1_000_000_000 * times,
                "online_cpus": 1,
            },
            "networks": {"eth0": {"rx_bytes": 0, "tx_bytes": 0}},
        }

    monkeypatch.setattr(docker.APIClient, "stats", stats)
    return lambda: times


async def test_figures_are_sums_over_the_tasks_whose_nodes_are_reached(swarm: Swarm, told: Callable[[], int]) -> None:
    async with talking(swarm) as field, talking(swarm, managers=(0,), nodes="") as narrow:
        release = field.release("1", WAITS, replicas=3, limits=Limits(memory=LIMIT), max_replicas_per_node=1)
        with pytest.raises(CommandFailed, match="no task of it"):
            await field.connection.service_figures(release)
        await field.live(release, "1.1")
        found = await field.connection.service_figures(release)
        assert told() == 3
        assert (found.restarts, found.oom_kills) == (0, 0)
        assert (found.memory, found.memory_limit) == (3 * 4_000_000, 3 * LIMIT)
        assert found.cpu_seconds == pytest.approx(0.5 + 1.0 + 1.5)
        some = await narrow.connection.service_figures(release)
        assert (some.memory, some.memory_limit) == (4_000_000, LIMIT), "one of three nodes is reached"


async def test_failed_tasks_are_counted_until_it_is_switched_to_anew(swarm: Swarm) -> None:
    """Seen to fail with all failed tasks that the Swarm remembers of the release."""
    async with talking(swarm) as field:
        release = field.release("1", FAILS, replicas=2)
        await field.live(release, "1.1")
        (first, *_) = field.running()
        field.swarm.inside(first, "touch", "/tmp/fail")
        await until(
            lambda: len(field.running()) == 2 and first["ID"] not in {one["ID"] for one in field.running()}, "replaced"
        )
        assert (await field.connection.service_figures(release)).restarts == 1
        other = field.release("2", WAITS, replicas=2)
        await field.live(other, "1.2")
        assert (await field.connection.service_figures(other)).restarts == 0
        await field.live(release, "1.3")
        assert (await field.connection.service_figures(release)).restarts == 0, "that was in an earlier life"


async def test_an_observer_has_the_figures_of_each_task(
    swarm: Swarm, told: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the manager hangs that is asked which nodes there are: seen to fail where nothing else is asked then."""
    async with talking(swarm) as field:
        release = field.release("1", WAITS, replicas=3, limits=Limits(memory=LIMIT), max_replicas_per_node=1)
        await field.live(release, "1.1")
        watched = field.connection.watched()
        assert (await watched.figures([field.target]))[field.target] == []
        await watched.facts(field.target, "", release)
        first = (await watched.figures([field.target]))[field.target]
        expected = ContainerFigures(release.id, None, 4_000_000, LIMIT, 0, 0, None, None)
        assert list(first) == [expected] * 3
        second = (await watched.figures([field.target]))[field.target]
        assert told() == 6
        assert [one.cpu for one in second] == [50.0] * 3
        assert [one.received for one in second] == [0.0] * 3
        monkeypatch.setattr(nodes, "_LISTED", 0.0)
        asked = field.connection._managers.address
        swarm.freeze(next(node.index for node in swarm.nodes if node.docker == asked))
        few = (await watched.figures([field.target], deadline=6.0))[field.target]
        assert sorted(one.memory is None for one in few) == [False, False, True]
