"""A service with one task on each node goes out, is updated part by part and goes back; nodes are paused, drained, lost and come back."""

import asyncio
from functools import partial

import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import SHOWN, Field
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


def everywhere(field: Field, version: str) -> Release:
    """Each task answers at its own node's port, and is asked for its version there."""
    port = field.served("any").container
    assert port is not None
    spec = field.spec(deploy={"mode": "global"}, ports=port.ports, stop_grace_period=1.0)
    return field.release(version, spec=spec, health=SHOWN)


async def put(field: Field, release: Release, epoch: int) -> None:
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    outcome = await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
    assert outcome.current == release.id
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


def answers(field: Field) -> list[str | None]:
    return [node.get(field.port) for node in field.swarm.nodes]


async def test_it_goes_out_is_updated_and_goes_back(swarm_field: Field) -> None:
    field = swarm_field
    first, second = everywhere(field, "v1"), everywhere(field, "v2")
    await put(field, first, 1)
    assert answers(field) == ["v1"] * 3
    await put(field, second, 2)
    assert answers(field) == ["v2"] * 3
    facts = await field.facts()
    assert (facts.current, facts.drift, [one.slot for one in facts.tasks]) == (second.id, (), [0, 0, 0])
    assert (await field.connection.check_health(SHOWN, second)).healthy
    await put(field, first, 3)
    assert answers(field) == ["v1"] * 3


async def test_a_bad_one_is_stopped_after_its_first_node(swarm_field: Field) -> None:
    field = swarm_field
    await put(field, everywhere(field, "v1"), 1)
    bad = field.release("v2", image={"exits": True}, spec=everywhere(field, "v1").container, health=SHOWN)
    await field.connection.stage(bad, None, NO_SECRETS, field.fence(2))
    with pytest.raises(CommandFailed, match="ended with status 7: oops"):
        await field.connection.switch(bad, NO_SECRETS, field.fence(2), "2.1")
    assert sorted(str(one) for one in answers(field)) == ["None", "v1", "v1"]
    await put(field, everywhere(field, "v1"), 3)
    assert answers(field) == ["v1"] * 3


async def test_a_paused_node_is_refused_and_a_drained_one_is_left_out(swarm_field: Field) -> None:
    """Swarm replaces no task where a node is paused: it would be waited for until the deadline."""
    field, swarm = swarm_field, swarm_field.swarm
    first, second = everywhere(field, "v1"), everywhere(field, "v2")
    await put(field, first, 1)
    await asyncio.to_thread(lambda: swarm.set_node(1, availability="pause"))
    await field.connection.stage(second, None, NO_SECRETS, field.fence(2))
    with pytest.raises(CommandFailed, match="its node node-2 is paused") as refused:
        await field.connection.switch(second, NO_SECRETS, field.fence(2), "2.1", deadline=30.0)
    assert "docker node update --availability active node-2" in refused.value.advice
    assert answers(field) == ["v1"] * 3, "nothing was touched"
    facts = await field.facts()
    assert (facts.current, facts.drift) == (first.id, ())
    await asyncio.to_thread(lambda: swarm.set_node(1, availability="drain"))
    await until(lambda: answers(field) == ["v1", None, "v1"], "the drained one is empty")
    await until(lambda: field.versions == ["v1"] * 2, "and Swarm knows")
    assert (await field.facts()).drift == ()
    await put(field, second, 3)
    assert answers(field) == ["v2", None, "v2"]
    await asyncio.to_thread(lambda: swarm.set_node(1))
    await until(lambda: answers(field) == ["v2"] * 3, "the node that is back has a task of the release of now")
    await until(lambda: field.versions == ["v2"] * 3, "and Swarm knows")
    facts = await field.facts()
    assert (facts.current, facts.drift) == (second.id, ())


async def test_a_node_that_was_lost_comes_back_into_the_release_of_now(swarm_field: Field) -> None:
    field, swarm = swarm_field, swarm_field.swarm
    first, second = everywhere(field, "v1"), everywhere(field, "v2")
    await put(field, first, 1)
    asked = field.connection._managers.address
    lost = next(node for node in swarm.nodes if node.docker != asked and node.index != swarm.leader)
    await asyncio.to_thread(swarm.stop_node, lost.index)
    await until(lambda: swarm_says(field, lost.hostname) == "down", "the managers have noticed")
    await put(field, second, 2)
    assert sorted(str(one) for one in answers(field)) == ["None", "v2", "v2"]
    assert f"the node {lost.hostname} is down" in (await field.facts()).drift
    await asyncio.to_thread(swarm.start_node, lost.index)
    await until(lambda: answers(field) == ["v2"] * 3, "it runs there as well")
    await until(lambda: field.versions == ["v2"] * 3, "and Swarm knows")
    facts = await field.facts()
    for _ in range(120):
        if not facts.drift:
            break
        await asyncio.sleep(0.5)  # managers that have just chosen a leader know nothing of nodes for a while
        facts = await field.facts()
    assert (facts.current, facts.drift) == (second.id, ())


async def test_one_that_has_no_task_anywhere_is_told_of(swarm_field: Field) -> None:
    """Its nodes were all drained: there is nothing that could be counted. Seen to fail where only tasks that are short are told."""
    field, swarm = swarm_field, swarm_field.swarm
    await put(field, everywhere(field, "v1"), 1)
    for node in swarm.nodes:
        await asyncio.to_thread(partial(swarm.set_node, node.index, availability="drain"))
    await until(lambda: answers(field) == [None] * 3, "nothing runs")
    await until(lambda: field.versions == [], "and Swarm knows")
    facts = await field.facts()
    assert any(f"{field.name} has no task" in one for one in facts.drift), facts.drift
    assert (facts.running, facts.as_started) == (False, False)


def swarm_says(field: Field, hostname: str) -> str:
    found = (one for one in field.swarm.members().values() if one["Description"]["Hostname"] == hostname)
    return str(next(found)["Status"]["State"])
