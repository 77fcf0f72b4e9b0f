"""Tasks that Swarm moves in the middle of an update, as their node is drained, lost, relabelled or comes back, or that give room: the
update goes on, the release is not to blame, and what serves is not stopped for what does not run yet."""

import asyncio
import contextlib
from collections import Counter
from functools import partial
from typing import Any

import docker.errors
import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.docker.names import RELEASE
from quarterdeck.backends.hosts.swarm import rolling
from quarterdeck.config.container import Healthcheck, Pace
from quarterdeck.config.model import Hook
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import Field
from tests.swarm_in_motion import tasks_of, until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]

TOLD_SO = Healthcheck(("CMD-SHELL", "test -e /tmp/well"), interval=0.5, timeout=30.0, retries=400)
"""Swarm takes such a task for starting until a test says otherwise."""
ALL = Pace(parallelism=0)


@pytest.fixture
def three(swarm_field: Field) -> Field:
    swarm_field.replicas = 3
    return swarm_field


def of(field: Field, release: Release, *states: str) -> list[dict[str, Any]]:
    """Its tasks that are to run and are in one of these states."""
    return [
        one
        for one in tasks_of(field.swarm, field.target)
        if one["Spec"]["ContainerSpec"]["Labels"][RELEASE] == release.id
        and one["Status"]["State"] in states
        and one["DesiredState"] == "running"
    ]


async def let_be_well(field: Field, release: Release, going: "asyncio.Task[Any]") -> None:
    """Each of its tasks, until that has ended."""
    while not going.done():
        for task in await asyncio.to_thread(of, field, release, "starting", "running"):
            with contextlib.suppress(docker.errors.DockerException, LookupError):
                await asyncio.to_thread(field.swarm.inside, task, "touch", "/tmp/well")
        await asyncio.sleep(0.3)


async def put(field: Field, release: Release, epoch: int) -> None:
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    going = begin(field, release, epoch)
    await let_be_well(field, release, going)
    await going
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


def begin(field: Field, release: Release, epoch: int, op: int = 1) -> "asyncio.Task[Any]":
    switching = field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.{op}", deadline=200.0)
    return asyncio.create_task(switching)


@pytest.mark.parametrize("how", ["lost", "drained"])
async def test_a_way_back_whose_new_task_s_node_is_gone_before_it_ran(
    three: Field, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Swarm waits for that one for ever, or forgets it, and leaves the old task of its slot: it is told again. Seen to fail where a node
    was lost and it is not told; one that was drained Swarm may come by itself to the end of."""
    monkeypatch.setattr(rolling, "STUCK", 4.0)
    three.swarm.notice_soon()
    asked = next(one.index for one in three.swarm.nodes if one.docker == three.connection._managers.address)
    spared = {asked, three.swarm.leader}
    gone = next(one.index for one in three.swarm.nodes if one.index not in spared)
    first, second = three.release("v1", spec=three.spec(healthcheck=TOLD_SO)), three.release("v2")
    await put(three, first, 1)
    # Every old task is on another node than the one that goes, so that each outlives it.
    await asyncio.to_thread(partial(three.swarm.set_node, gone, availability="drain"))
    await put(three, second, 2)
    await asyncio.to_thread(partial(three.swarm.set_node, gone, availability="active"))
    going = begin(three, first, 3)

    def comes_up() -> list[int]:
        return [three.swarm.node_of(one) for one in of(three, first, "starting")]

    await until(lambda: len(comes_up()) == 3, "the tasks of v1 begin", unless=going)
    assert gone in comes_up()
    if how == "lost":
        await asyncio.to_thread(three.swarm.stop_node, gone)
    else:
        await asyncio.to_thread(partial(three.swarm.set_node, gone, availability="drain"))
    await until(lambda: len([one for one in comes_up() if one != gone]) == 3, "it begins elsewhere", unless=going)
    await let_be_well(three, first, going)
    assert (await going).current == first.id
    if how == "lost":
        await asyncio.to_thread(three.swarm.start_node, gone)
    await until(lambda: three.versions == ["v1"] * 3, "v1 alone runs")


async def test_a_node_that_comes_back_says_nothing_of_the_release(three: Field) -> None:
    """It tells how its task ended when it was switched off: Swarm had begun another by then. Seen to fail where that is a failure."""
    three.swarm.notice_soon()
    await put(three, three.release("v1"), 1)
    second = three.release("v2", spec=three.spec(deploy={"update": Pace(parallelism=1, delay=15.0)}))
    await three.connection.stage(second, None, NO_SECRETS, three.fence(2))
    asked = three.connection._managers.address
    spared = {three.swarm.leader, next(one.index for one in three.swarm.nodes if one.docker == asked)}
    gone = next(one.index for one in three.swarm.nodes if one.index not in spared)
    others = [one.index for one in three.swarm.nodes if one.index != gone]
    for index in others:  # so that the first task of v2 begins where a node is lost
        await asyncio.to_thread(partial(three.swarm.set_node, index, availability="pause"))
    going = begin(three, second, 2)
    await until(lambda: of(three, second, "running"), "a task of v2 runs", unless=going)
    (task,) = of(three, second, "running")
    assert three.swarm.node_of(task) == gone
    for index in others:
        await asyncio.to_thread(partial(three.swarm.set_node, index, availability="active"))
    await asyncio.to_thread(three.swarm.stop_node, gone)
    await until(
        lambda: [one for one in of(three, second, "running") if three.swarm.node_of(one) != gone],
        "it runs elsewhere",
        unless=going,
    )
    await asyncio.to_thread(three.swarm.start_node, gone)

    def told() -> bool:
        listed = tasks_of(three.swarm, three.target)
        return any(one["ID"] == task["ID"] and one["Status"]["State"] in ("failed", "complete") for one in listed)

    await until(told, "the node tells how its task has ended", unless=going)
    assert not going.done()
    assert (await going).current == second.id
    assert three.versions.count("v2") == 3


async def test_a_hook_whose_node_is_drained_was_no_success(swarm_field: Field) -> None:
    """It was told to stop, and says that it ended well. Seen to fail where its exit status is all that counts."""
    field = swarm_field
    release = field.release("v1")
    await put(field, release, 1)
    running = asyncio.create_task(
        field.connection.hook(
            Hook("", timeout=90.0),
            "trap 'exit 0' TERM; sleep 100 & wait",
            release,
            field.fence(1),
            "1.3",
        )
    )

    def hooks() -> list[dict[str, Any]]:
        return [
            one
            for one in tasks_of(field.swarm, field.target)
            if "dev.quarterdeck.role" in one["Spec"]["ContainerSpec"]["Labels"] and one["Status"]["State"] == "running"
        ]

    await until(hooks, "the hook runs", unless=running)
    await asyncio.to_thread(partial(field.swarm.set_node, field.swarm.node_of(hooks()[0]), availability="drain"))
    with pytest.raises(CommandFailed, match="its node was drained, or lost, before the command had ended"):
        await running


async def test_the_next_worker_stops_nothing_while_new_tasks_come_up(three: Field) -> None:
    """All at once, and the first worker has died. Seen to fail, with no task of v1 left, where the update is begun again at once."""
    first = three.release("v1")
    await put(three, first, 1)
    second = three.release("v2", spec=three.spec(healthcheck=TOLD_SO, deploy={"update": ALL}))
    await three.connection.stage(second, None, NO_SECRETS, three.fence(2))
    going = begin(three, second, 2)
    await until(lambda: len(of(three, second, "starting")) == 3, "the tasks of v2 begin", unless=going)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    going = begin(three, second, 3)
    for _ in range(20):
        assert len(await asyncio.to_thread(of, three, first, "running")) == 3
        assert not going.done()
        await asyncio.sleep(0.2)
    await let_be_well(three, second, going)
    assert (await going).current == second.id
    await until(lambda: three.versions == ["v2"] * 3, "v2 alone runs")


async def test_a_node_whose_label_is_taken_says_nothing_of_the_release(swarm_field: Field) -> None:
    """Swarm rejects the task there, and starts one where it may run. Seen to fail where that is a failure."""
    field = swarm_field
    field.replicas = 2
    for index in (0, 1):
        await asyncio.to_thread(partial(field.swarm.set_node, index, labels={"zone": "a"}))
    deploy = {"constraints": ("node.labels.zone == a",), "update": Pace(parallelism=1, delay=8.0)}
    await put(field, field.release("v1", spec=field.spec(deploy=deploy)), 1)
    second = field.release("v2", spec=field.spec(deploy=deploy))
    await field.connection.stage(second, None, NO_SECRETS, field.fence(2))
    going = begin(field, second, 2)
    await until(lambda: of(field, second, "running"), "a task of v2 runs", unless=going)
    (task,) = of(field, second, "running")
    await asyncio.to_thread(partial(field.swarm.set_node, field.swarm.node_of(task)))

    def was_moved() -> bool:
        listed = tasks_of(field.swarm, field.target)
        return any(one["ID"] == task["ID"] and one["DesiredState"] != "running" for one in listed)

    await until(was_moved, "Swarm takes it from there", unless=going)
    assert (await going).current == second.id
    await until(lambda: field.versions == ["v2"] * 2, "v2 alone runs")


async def test_a_task_that_waits_for_a_node_is_not_forgotten(three: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Swarm forgets it where its service changes meanwhile, be it a label. Seen to fail, with a task that waits for ever, where the next
    worker marks the service."""
    monkeypatch.setattr(rolling, "_PLACELESS", 2.0)
    release = three.release("v1", spec=three.spec(deploy={"max_replicas_per_node": 1}))
    await put(three, release, 1)
    await asyncio.to_thread(partial(three.swarm.set_node, 2, availability="drain"))
    await until(lambda: of(three, release, "pending"), "a task waits for a node")
    with pytest.raises(CommandFailed, match="no node takes a task of v1"):
        await three.connection.switch(release, NO_SECRETS, three.fence(2), "2.1", action="start")
    await asyncio.to_thread(partial(three.swarm.set_node, 2, availability="active"))
    await until(lambda: three.versions == ["v1"] * 3, "it runs there", 60.0)


async def test_a_way_back_makes_room_where_no_node_has_any(three: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each task takes more than half of a node's processors, and v2 went out with the old ones ending first. Seen to fail where new tasks
    are waited for."""
    monkeypatch.setattr(rolling, "_PLACELESS", 3.0)
    most = three.swarm.any_api.nodes()[0]["Description"]["Resources"]["NanoCPUs"] / 1e9
    back = Pace(parallelism=0, order="start-first")
    deploy = {"reserved_cpus": most * 0.6, "update": Pace(parallelism=0, order="stop-first"), "rollback": back}
    first = three.release("v1", spec=three.spec(deploy=deploy))
    await put(three, first, 1)
    await put(three, three.release("v2", spec=three.spec(deploy=deploy)), 2)
    outcome = await begin(three, first, 3)
    assert outcome.current == first.id
    assert Counter(three.versions) == {"v1": 3}
