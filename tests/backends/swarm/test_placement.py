"""Tasks are where the service says, what no node takes is refused before anything changes, and what Swarm alone finds out is told soon."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import docker.types
import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.swarm import rolling
from quarterdeck.backends.hosts.swarm.looking import node_in
from quarterdeck.backends.hosts.swarm.placement import fits
from quarterdeck.config.container import PublishedPort
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm import Swarm
from tests.swarm_field import Field
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
CONSTRAINTS = (
    "node.labels.zone == a",
    "node.labels.zone == A",
    "node.labels.Zone == a",
    "node.labels.zone == c",
    "node.labels.zone != c",
    "node.labels.zone != a",
    "node.labels.nothing != a",
    "node.labels.nothing == a",
    "node.hostname == node-2",
    "node.hostname != node-2",
    "node.role == manager",
    "node.role == worker",
    "node.role != manager",
    "node.id == nowhere",
    "node.id != nowhere",
)


async def put(field: Field, release: Release, epoch: int) -> None:
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


def nodes_of(field: Field) -> list[int]:
    return sorted(field.swarm.node_of(one) for one in field.tasks())


def zones(swarm: Swarm) -> None:
    """node-1 is in zone a, the others in b."""
    for node in swarm.nodes:
        swarm.set_node(node.index, labels={"zone": "a" if node.index == 0 else "b"})


def test_a_constraint_is_judged_as_swarm_judges_it(swarm: Swarm) -> None:
    """One service of one task for each, all at once."""
    zones(swarm)
    client, image = swarm.any_api, swarm.image("app", "v1")
    made: dict[str, str] = {}
    for number, constraint in enumerate(CONSTRAINTS):
        container = docker.types.ContainerSpec(image, command=["sleep", "300"])
        template = docker.types.TaskTemplate(container, placement=docker.types.Placement(constraints=[constraint]))
        made[constraint] = client.create_service(template, name=f"judged-{number}")["ID"]

    def judged() -> dict[str, bool]:
        """By constraint whether a node was found; only those of which Swarm has said it."""
        tasks = {one["ServiceID"]: one for one in client.tasks()}
        return {
            constraint: bool(task.get("NodeID"))
            for constraint, id in made.items()
            if (task := tasks.get(id)) and (task.get("NodeID") or "no suitable node" in task["Status"].get("Err", ""))
        }

    asyncio.run(until(lambda: len(judged()) == len(made), "Swarm has judged all of them"))
    nodes = [node_in(one) for one in client.nodes()]
    assert judged() == {one: any(fits(node, one) for node in nodes) for one in CONSTRAINTS}


async def test_tasks_are_where_they_must_be(swarm_field: Field) -> None:
    """By a label, one on each node, and spread over the values of a label."""
    field = swarm_field
    await asyncio.to_thread(zones, field.swarm)
    labelled = field.spec(deploy={"replicas": 2, "constraints": ("node.labels.zone == a",)})
    await put(field, field.release("v1", spec=labelled), 1)
    assert nodes_of(field) == [0, 0]
    apart = field.spec(deploy={"replicas": 3, "max_replicas_per_node": 1}, order="stop-first")
    await put(field, field.release("v2", spec=apart), 2)
    assert nodes_of(field) == [0, 1, 2]
    assert (await field.facts()).drift == ()
    # Of another target: where tasks are replaced, those of before count as well.
    other = Field(field.swarm, field.connection)
    spread = other.spec(deploy={"replicas": 2, "preferences": ("node.labels.zone",)})
    await put(other, other.release("v3", spec=spread), 1)
    assert {0} < set(nodes_of(other)), "one in each zone"
    assert (await other.facts()).drift == ()


PORT = (PublishedPort(8080, "18080", mode="host"),)


@pytest.mark.parametrize(
    ("deploy", "more", "words", "advice"),
    [
        (
            {"constraints": ("node.role == manager", "node.labels.zone == a")},
            {},
            "none of its 3 nodes fulfils node.labels.zone == a",
            "docker node update --label-add zone=a NODE",
        ),
        ({"constraints": ("node.role == worker",)}, {}, "fulfils node.role == worker", "docker node ls"),
        (
            {"replicas": 3, "max_replicas_per_node": 1},
            {},
            "3 tasks are wanted, 1 a node at most, by max_replicas_per_node, and 2 nodes take them (node-3 is drained)",
            "lower deploy.replicas",
        ),
        ({"replicas": 3}, {"ports": PORT}, "as they publish a port in host mode, and 2 nodes take them", "lower"),
        (
            {"constraints": ("node.hostname == node-3",)},
            {},
            "no node that it may run on takes tasks: node-3 is drained",
            "--availability active",
        ),
        (
            {"mode": "global", "constraints": ("node.labels.gpu == yes",)},
            {},
            "fulfils node.labels.gpu == yes",
            "--label-add gpu=yes",
        ),
    ],
)
async def test_what_no_node_takes_is_refused_before_anything_changes(
    swarm_field: Field, deploy: Mapping[str, Any], more: Mapping[str, Any], words: str, advice: str
) -> None:
    field = swarm_field
    await asyncio.to_thread(lambda: field.swarm.set_node(2, availability="drain"))
    release = field.release("v1", spec=field.spec(deploy=deploy, **more))
    began = time.monotonic()
    with pytest.raises(CommandFailed) as refused:
        await field.connection.stage(release, None, NO_SECRETS, field.fence())
    assert time.monotonic() - began < 30
    assert words in refused.value.problem
    assert advice in refused.value.advice
    assert "Nothing" in refused.value.left
    client = field.swarm.any_api
    assert (client.services(), client.configs()) == ([], [])


async def test_what_was_good_goes_back_to_fewer_nodes_than_it_was_made_for(
    swarm_field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node is drained meanwhile: the way back is no worse for it than Swarm itself is."""
    field = swarm_field
    apart = field.spec(deploy={"replicas": 2, "max_replicas_per_node": 1}, order="stop-first")
    first = field.release("v1", spec=apart)
    await put(field, first, 1)
    await put(field, field.release("v2"), 2)
    for index in (1, 2):
        await asyncio.to_thread(partial(field.swarm.set_node, index, availability="drain"))
    assert await field.connection.stage(first, None, NO_SECRETS, field.fence(3))
    monkeypatch.setattr(rolling, "_PLACELESS", 4.0)
    with pytest.raises(CommandFailed, match="no node takes a task of v1") as short:
        await field.connection.switch(first, NO_SECRETS, field.fence(3), "3.1", deadline=90.0)
    assert field.versions == ["v1"]
    assert "Tasks that run now: 1 of v1" in short.value.left


async def test_what_only_swarm_can_know_is_told_soon(swarm_field: Field) -> None:
    """No node has so many processors: nobody waits for that until the deadline."""
    field = swarm_field
    await put(field, field.release("v1"), 1)
    second = field.release("v2", spec=field.spec(deploy={"reserved_cpus": 500.0}))
    await field.connection.stage(second, None, NO_SECRETS, field.fence(2))
    began = time.monotonic()
    with pytest.raises(CommandFailed, match=r"no node takes a task of v2-\w+: .*insufficient resources") as refused:
        await field.connection.switch(second, NO_SECRETS, field.fence(2), "2.1", deadline=200.0)
    assert time.monotonic() - began < 90
    assert "1 of v1" in refused.value.left
    assert field.versions == ["v1"]


async def test_a_label_that_was_taken_off_is_told_of(swarm_field: Field) -> None:
    """Swarm takes the task away, and finds no other node. On a node that is paused it leaves it, in the wrong place: seen to fail where
    tasks are not held against the constraints."""
    field, swarm = swarm_field, swarm_field.swarm
    await asyncio.to_thread(zones, swarm)
    release = field.release("v1", spec=field.spec(deploy={"constraints": ("node.labels.zone == a",)}))
    await put(field, release, 1)
    await asyncio.to_thread(lambda: swarm.set_node(0, availability="pause", labels={"zone": "a"}))
    facts = await field.facts()
    assert (facts.drift, field.versions) == ((), ["v1"])
    await asyncio.to_thread(lambda: swarm.set_node(0, availability="pause", labels={}))
    facts = await field.facts()
    assert f"a task of {release.id} runs on node-1, which does not fulfil node.labels.zone == a" in facts.drift
    assert (facts.as_started, field.versions) == (False, ["v1"])
    await asyncio.to_thread(lambda: swarm.set_node(0))
    await until(lambda: field.versions == [], "Swarm has taken it away")
    told: tuple[str, ...] = ()
    end = time.monotonic() + 30
    while not any("no suitable node" in one for one in told) and time.monotonic() < end:
        told = (await field.facts()).drift
    assert any(f"0 of 1 tasks of {field.name} run: one is pending, no suitable node" in one for one in told), told
    await asyncio.to_thread(lambda: swarm.set_node(2, labels={"zone": "a"}))
    await until(lambda: nodes_of(field) == [2], "it runs where the label is now")
    assert (await field.facts()).drift == ()
