"""A command of an operator's in a task of a Swarm: which one, and what happens where that is not reached."""

import pytest

from quarterdeck.backends.errors import CommandFailed, Unreachable
from quarterdeck.backends.hosts.swarm import managers
from tests.backends.swarm.talking import WAITS, talking
from tests.swarm import Swarm
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


async def test_it_runs_where_the_manager_is_that_is_asked_or_where_it_is_told_to(swarm: Swarm) -> None:
    """Seen to fail with tasks in the order of their slots alone."""
    async with talking(swarm, managers=(1, 0, 2)) as field:
        release = field.release("1", WAITS, replicas=3, max_replicas_per_node=1)
        with pytest.raises(CommandFailed, match="no container of it runs there"):
            await field.run("cat", "/etc/hostname")
        await field.live(release, "1.1")
        by_slot = {str(one["Slot"]): one for one in field.running()}
        containers = {slot: one["Status"]["ContainerStatus"]["ContainerID"][:12] for slot, one in by_slot.items()}
        nodes = {slot: swarm.nodes[field.swarm.node_of(one)].hostname for slot, one in by_slot.items()}
        assert sorted(nodes.values()) == ["node-1", "node-2", "node-3"]
        for slot, container in containers.items():
            assert await field.run("cat", "/etc/hostname", task=slot) == (0, f"{container}\n")
            assert await field.run("cat", "/etc/hostname", task=f"@{nodes[slot]}") == (0, f"{container}\n")
        for asked in range(3):
            there = next(slot for slot, node in nodes.items() if node == swarm.nodes[asked].hostname)
            async with talking(swarm, managers=(asked,)) as another:
                another.name = field.name
                assert await another.run("cat", "/etc/hostname") == (0, f"{containers[there]}\n")
        with pytest.raises(CommandFailed, match="no task in slot 9 of it runs") as raised:
            await field.run("true", task="9")
        assert f"{there}@node-3" in raised.value.advice
        with pytest.raises(CommandFailed, match="no task @node-9 of it runs"):
            await field.run("true", task="@node-9")


async def test_a_task_whose_node_nobody_reaches_is_not_taken_while_another_one_is(swarm: Swarm) -> None:
    """Without a way to the nodes only the manager's own tasks are reached."""
    async with talking(swarm, managers=(0,), nodes="") as field:
        release = field.release("1", WAITS, replicas=3, max_replicas_per_node=1)
        await field.live(release, "1.1")
        here = next(one for one in field.running() if field.swarm.node_of(one) == 0)
        other = next(one for one in field.running() if field.swarm.node_of(one) == 1)
        assert await field.run("cat", "/etc/hostname") == (
            0,
            f"{here['Status']['ContainerStatus']['ContainerID'][:12]}\n",
        )
        with pytest.raises(Unreachable, match="nothing says how the engine of its node node-2 is reached"):
            await field.run("true", task=str(other["Slot"]))


async def test_a_lost_node_is_passed_over(swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before the managers have noticed; and a task that has replaced another is found."""
    swarm.notice_soon()
    async with talking(swarm) as elsewhere:
        await elsewhere.live(elsewhere.release("1", WAITS, replicas=3), "1.1")
        leader = swarm.leader
        gone = next(one for one in elsewhere.running() if elsewhere.swarm.node_of(one) != leader)
        lost = elsewhere.swarm.node_of(gone)
        there = [one for one in elsewhere.running() if elsewhere.swarm.node_of(one) == lost]
    containers = {f"{one['Status']['ContainerStatus']['ContainerID'][:12]}\n" for one in there}
    others = [node.index for node in swarm.nodes if node.index != lost]
    monkeypatch.setattr(managers, "_HEAD_START", 30.0)  # so that it is the first one that is asked
    async with talking(swarm, managers=(lost, *others)) as field:
        field.name = elsewhere.name
        status, printed = await field.run("cat", "/etc/hostname")
        assert status == 0
        assert printed in containers
        swarm.stop_node(lost)
        status, printed = await field.run("cat", "/etc/hostname")
        assert status == 0
        assert printed not in containers
        await until(
            lambda: (
                [one["Slot"] for one in field.running() if field.swarm.node_of(one) != lost].count(gone["Slot"]) == 1
            ),
            "it is replaced",
        )
        status, printed = await field.run("cat", "/etc/hostname", task=str(gone["Slot"]))
        assert status == 0
        assert printed not in containers
