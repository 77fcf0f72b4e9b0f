"""The way back, and what goes on, where something beside the release is in the way: a registry's login that can't be had, a manager that
was demoted, a node that was paused, a full Swarm, a worker that died while it removed something, a hand that scales."""

import asyncio
from typing import Any

import pytest

from quarterdeck.backends.errors import CommandFailed, LoginRefused
from quarterdeck.backends.hosts.swarm import rolling
from quarterdeck.backends.hosts.swarm.gate import ServiceGone
from quarterdeck.backends.hosts.swarm.names import LEAVING
from quarterdeck.config.container import Pace
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import SHOWN, Field
from tests.swarm_in_motion import change_service, tasks_of, until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(300)]
ONE_BY_ONE = Pace(parallelism=1)


async def put(field: Field, release: Release, epoch: int) -> None:
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    await switched(field, release, epoch)
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


async def switched(field: Field, release: Release, epoch: int) -> None:
    await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1", deadline=60.0)


async def test_no_login_is_in_the_way_of_a_way_back(swarm_field: Field) -> None:
    """The nodes have its image. Seen to fail where a login that can't be had ends the change."""
    field = swarm_field
    first = field.release("v1")
    await put(field, first, 1)
    await put(field, field.release("v2"), 2)
    asked: list[str] = []

    async def none(image: str) -> dict[str, Any]:
        asked.append(image)
        raise LoginRefused("here", "log in to a registry", "the password store is down")

    field.connection._auth = none
    await switched(field, first, 3)
    assert field.versions == ["v1"]
    assert asked


async def test_a_manager_that_was_demoted_is_left_for_another_one(swarm_field: Field) -> None:
    """In the middle of a connection. Seen to fail where its refusal is taken for the Swarm's."""
    field, swarm = swarm_field, swarm_field.swarm
    first = field.release("v1")
    await put(field, first, 1)
    managers = field.connection._managers
    if managers.address == swarm.nodes[swarm.leader].docker:  # a leader can't be demoted at once
        managers._let_go(managers.engine)
        await field.facts()
    asked = next(node for node in swarm.nodes if node.docker == managers.address)
    await asyncio.to_thread(lambda: swarm.set_node(asked.index, role="worker"))
    await until(lambda: not swarm.api(asked.index).info()["Swarm"]["ControlAvailable"], "it is a worker")
    assert (await field.facts()).current == first.id
    assert managers.address != asked.docker
    await put(field, field.release("v2"), 2)
    assert field.versions == ["v2"]


async def test_a_node_that_is_paused_in_the_middle_does_not_keep_the_others_from_going_back(swarm_field: Field) -> None:
    """Of a global service: the task there is of the old release still. Seen to fail where every task is held against paused nodes."""
    field, swarm = swarm_field, swarm_field.swarm
    spec = field.spec(deploy={"mode": "global", "update": ONE_BY_ONE})
    first = field.release("v1", spec=spec)
    await put(field, first, 1)
    bad = field.release("v2", image={"exits": True}, spec=spec)
    await field.connection.stage(bad, None, NO_SECRETS, field.fence(2))
    with pytest.raises(CommandFailed, match="ended with status 7"):
        await switched(field, bad, 2)
    tried = {
        one["NodeID"]
        for one in tasks_of(swarm, field.target)
        if one["Spec"]["ContainerSpec"]["Labels"]["dev.quarterdeck.release"] == bad.id
    }
    paused = next(swarm._index_of(one) for id, one in swarm.members().items() if id not in tried)
    await asyncio.to_thread(lambda: swarm.set_node(paused, availability="pause"))
    await switched(field, first, 3)
    await until(lambda: field.versions == ["v1"] * 3, "all of it runs")


async def test_a_full_swarm_is_updated_and_gone_back_on(swarm_field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many tasks as nodes, one each: the old ones end first, unless the fleet file says otherwise. Seen to fail with the order that is
    otherwise ours."""
    field = swarm_field
    full = {"replicas": 3, "max_replicas_per_node": 1}
    first = field.release("v1", spec=field.spec(deploy=full))
    await put(field, first, 1)
    await put(field, field.release("v2", spec=field.spec(deploy=full)), 2)
    assert field.versions == ["v2"] * 3
    await switched(field, first, 3)
    assert field.versions == ["v1"] * 3
    monkeypatch.setattr(rolling, "_PLACELESS", 2.0)
    said = field.release("v3", spec=field.spec(deploy={**full, "update": Pace(order="start-first")}))
    await field.connection.stage(said, None, NO_SECRETS, field.fence(4))
    with pytest.raises(CommandFailed, match="no node takes a task of v3") as refused:
        await switched(field, said, 4)
    assert "order: stop-first" in refused.value.advice
    assert field.versions == ["v1"] * 3


async def test_what_a_worker_died_removing_is_made_anew(swarm_field: Field) -> None:
    """A service that waits, marked as leaving. Seen to fail where it is taken for one that somebody else has just made."""
    field = swarm_field
    first, second = field.release("v1"), field.release("v2")
    await put(field, first, 1)
    await put(field, second, 2)
    waiting = next(
        one["Spec"]["Name"]
        for one in field.swarm.any_api.services()
        if one["Spec"]["Labels"].get("dev.quarterdeck.release") == first.id and one["Spec"]["Name"] != field.name
    )
    await asyncio.to_thread(change_service, field.swarm, waiting, lambda spec: spec["Labels"].update({LEAVING: "yes"}))
    await put(field, first, 3)
    assert field.versions == ["v1"]
    services = {one["Spec"]["Name"]: one["Spec"]["Labels"] for one in field.swarm.any_api.services()}
    assert LEAVING not in services[waiting], "it waits as before"


async def test_a_release_without_a_task_goes_out_and_is_well(swarm_field: Field) -> None:
    """``replicas: 0``. Seen to fail where that counts as none of one."""
    field = swarm_field
    await put(field, field.release("v1"), 1)
    none = field.release("v2", spec=field.spec(deploy={"replicas": 0}), health=SHOWN)
    await put(field, none, 2)
    assert field.versions == []
    facts = await field.facts()
    assert (facts.current, facts.running) == (none.id, None)
    assert (await field.connection.check_health(SHOWN, none)).healthy


@pytest.mark.parametrize("served", [False, True])
async def test_a_scale_by_hand_is_put_right_side_by_side_too(swarm_field: Field, served: bool) -> None:
    """Each release has a service of its own there. Seen to fail where the change leaves how many tasks there are, and, behind a router,
    where one that runs is left as it is."""
    field = swarm_field
    release = field.release("v1", spec=field.spec(deploy={"replicas": 2}, ports=field.ranges()))
    await put(field, release, 1)
    (name,) = {
        one["Spec"]["Name"]
        for one in field.swarm.any_api.services()
        if one["Spec"]["Labels"].get("dev.quarterdeck.target") == field.target
    }
    await asyncio.to_thread(
        change_service, field.swarm, name, lambda spec: spec.update({"Mode": {"Replicated": {"Replicas": 1}}})
    )
    await until(lambda: field.versions == ["v1"], "one is left")
    assert (await field.facts()).drift
    await field.connection.switch(release, NO_SECRETS, field.fence(2), "2.1", deadline=60.0, served=served)
    assert field.versions == ["v1"] * 2
    assert (await field.facts()).drift == ()


async def test_a_service_that_is_removed_in_the_middle_is_named(swarm_field: Field) -> None:
    field = swarm_field
    await put(field, field.release("v1", spec=field.spec(deploy={"replicas": 2, "update": ONE_BY_ONE})), 1)
    waits = Pace(parallelism=1, delay=60.0)
    second = field.release("v2", spec=field.spec(deploy={"replicas": 2, "update": waits}))
    await field.connection.stage(second, None, NO_SECRETS, field.fence(2))
    going = asyncio.create_task(switched(field, second, 2))
    await until(lambda: field.versions == ["v1", "v2"], "its first part is there", unless=going)
    await asyncio.to_thread(lambda: field.swarm.any_api.remove_service(field.name))
    with pytest.raises(ServiceGone, match=f"the service {field.name} was removed by somebody else"):
        await going
