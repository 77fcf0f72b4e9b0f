"""What a worker finds that comes after one that died: it goes on from there, part by part, and builds upon nothing that is not well."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from quarterdeck.backends.errors import CommandFailed, Unhealthy
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.backends.hosts.docker.names import RELEASE, STATE
from quarterdeck.backends.hosts.swarm import calls, names, rolling
from quarterdeck.backends.hosts.swarm.looking import Service
from quarterdeck.config.container import Pace, SecretFile
from quarterdeck.config.model import CommandCheck, Health
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import Field
from tests.swarm_in_motion import change_service, until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]

TOLD_SO = Health(command=CommandCheck("test -e /tmp/well"), interval=0.2, timeout=30.0, healthy_deadline=120.0)
"""Of tasks that are well when a test says so, which on a busy machine may be late."""


@pytest.fixture
def four(swarm_field: Field) -> Field:
    swarm_field.replicas = 4
    return swarm_field


def tasks_of(field: Field, version: str) -> list[dict[str, Any]]:
    """Those that run, by age."""
    found = [
        one
        for one in field.tasks()
        if one["Spec"]["ContainerSpec"]["Labels"][RELEASE].startswith(f"{version}-")
        and one["DesiredState"] == "running"
    ]
    return sorted(found, key=lambda one: str(one["CreatedAt"]))


def tell(field: Field, version: str, at: int, *, well: bool = True) -> None:
    field.swarm.inside(tasks_of(field, version)[at], *(("touch",) if well else ("rm",)), "/tmp/well")


async def until_runs(field: Field, version: str, count: int, going: "asyncio.Task[Any]") -> None:
    await until(lambda: going.done() or len(tasks_of(field, version)) >= count, f"{count} of {version} run")
    if going.done():
        await going
    assert len(tasks_of(field, version)) == count


async def stays(condition: Callable[[], bool], seconds: float = 4.0) -> None:
    """By the clock: on a busy machine one look takes a while."""
    end = time.monotonic() + seconds
    while True:
        assert await asyncio.to_thread(condition)
        if time.monotonic() >= end:
            return
        await asyncio.sleep(0.2)


async def live(field: Field, release: Release, epoch: int) -> None:
    """Good, without that it was asked for its health."""
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    going = asyncio.create_task(field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1"))
    while not going.done():
        for task in await asyncio.to_thread(tasks_of, field, release.version):
            await asyncio.to_thread(field.swarm.inside, task, "touch", "/tmp/well")
        await asyncio.sleep(0.2)
    await going
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


def begin(field: Field, release: Release, epoch: int) -> "asyncio.Task[Any]":
    return asyncio.create_task(field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1"))


async def ended(going: "asyncio.Task[Any]") -> None:
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    await asyncio.sleep(0.5)


async def test_the_next_worker_replaces_nothing_more_until_what_is_there_is_well(
    four: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And then one part, not two. Seen to fail where going on begins with a change of the service."""
    first = four.release("v1")
    await live(four, first, 1)
    second = four.release("v2", health=TOLD_SO)
    await four.connection.stage(second, None, NO_SECRETS, four.fence(2))
    going = begin(four, second, 2)
    await until_runs(four, "v2", 1, going)
    await ended(going)
    with monkeypatch.context() as impatient:
        impatient.setattr(rolling.Roll, "_patience", 10.0)
        with pytest.raises(Unhealthy, match="0 of 1 tasks of v2 are well"):
            await four.connection.switch(second, NO_SECRETS, four.fence(3), "3.1")
    await until(lambda: four.versions == ["v1", "v1", "v1", "v2"], "what it has replaced has ended")
    await asyncio.to_thread(tell, four, "v2", 0)
    going = begin(four, second, 4)
    await until_runs(four, "v2", 2, going)
    await stays(lambda: len(tasks_of(four, "v2")) == 2)
    for at in (1, 2, 3):
        await until_runs(four, "v2", at + 1, going)
        await asyncio.to_thread(tell, four, "v2", at)
    assert (await going).current == second.id
    assert four.versions == ["v2"] * 4


async def test_a_part_that_was_well_is_asked_again_before_the_next_one(four: Field) -> None:
    """Seen to fail where who was well once is not asked again."""
    await live(four, four.release("v1"), 1)
    second = four.release("v2", health=TOLD_SO)
    await four.connection.stage(second, None, NO_SECRETS, four.fence(2))
    going = begin(four, second, 2)
    await until_runs(four, "v2", 1, going)
    await asyncio.to_thread(tell, four, "v2", 0)
    await until_runs(four, "v2", 2, going)
    await asyncio.to_thread(tell, four, "v2", 0, well=False)
    await asyncio.to_thread(tell, four, "v2", 1)
    await stays(lambda: len(tasks_of(four, "v2")) == 2, 6.0)
    assert not going.done()
    await asyncio.to_thread(tell, four, "v2", 0)
    await until_runs(four, "v2", 3, going)
    await ended(going)


async def test_a_part_that_swarm_has_not_begun_is_set_going_again(four: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where Swarm has used it up for a slot that needed none, after a node was lost: here the first word of ours is lost. Seen to fail
    where nobody looks whether it stands still."""
    four.replicas = 2
    monkeypatch.setattr(rolling, "STUCK", 3.0)
    real, words = rolling.Roll._set_going, [0]

    async def lost(self: rolling.Roll, service: Service) -> Service:
        words[0] += 1
        return service if words[0] == 1 else await real(self, service)

    monkeypatch.setattr(rolling.Roll, "_set_going", lost)
    await live(four, four.release("v1"), 1)
    second = four.release("v2")
    await four.connection.stage(second, None, NO_SECRETS, four.fence(2))
    outcome = await asyncio.wait_for(begin(four, second, 2), 240)
    assert (outcome.current, four.versions) == (second.id, ["v2"] * 2)
    assert words[0] >= 2


async def test_a_way_back_whose_worker_died_goes_on_as_one(four: Field) -> None:
    """What was good is not asked for its health there. Seen to fail where only the service's own label tells whether it is gone back to."""
    four.replicas = 3
    first = four.release("v1", health=TOLD_SO, spec=four.spec(deploy={"rollback": Pace(parallelism=1, delay=3.0)}))
    await live(four, first, 1)
    await live(four, four.release("v2"), 2)
    going = begin(four, first, 3)
    await until_runs(four, "v1", 1, going)
    await ended(going)
    outcome = await four.connection.switch(first, NO_SECRETS, four.fence(4), "4.1")
    assert (outcome.current, four.versions) == (first.id, ["v1"] * 3)


async def test_other_ports_alone_are_put_right_before_success_is_told(swarm_field: Field) -> None:
    """Nothing of a task tells of which ports it is. Seen to fail where tasks are told apart by their template alone."""
    field = swarm_field
    field.replicas = 3
    release = field.served("v1")
    await live(field, release, 1)

    def portless(spec: dict[str, Any]) -> None:
        spec["EndpointSpec"] = {"Mode": "dnsrr"}

    await asyncio.to_thread(change_service, field.swarm, field.name, portless)
    await until(lambda: all(node.get(field.port) is None for node in field.swarm.nodes), "its ports are given up")
    outcome = await field.connection.switch(release, NO_SECRETS, field.fence(2), "2.1", action="start")
    assert outcome.current == release.id
    ids = {one["ID"] for one in field.tasks()}
    assert [node.get(field.port) for node in field.swarm.nodes] == ["v1"] * 3
    await stays(lambda: {one["ID"] for one in field.tasks()} == ids)


async def test_a_register_that_can_t_be_read_lets_nobody_change_anything(swarm_field: Field) -> None:
    """Which epoch was there last, and what was good? Seen to fail where it counts as empty."""
    field = swarm_field
    release = field.release("v1")
    await live(field, release, 7)
    client = field.swarm.any_api
    (register,) = [one for one in client.configs() if one["Spec"]["Name"] == names.register(field.target)]
    labels = {**register["Spec"]["Labels"], STATE: '{"epoch":"of a newer qd"}'}
    spec = {**register["Spec"], "Labels": labels}
    await field.connection._managers.ask(
        "by hand",
        lambda one: calls.post(one, f"/configs/{register['ID']}/update", spec, version=register["Version"]["Index"]),
        deadline=30.0,
    )
    with pytest.raises(CommandFailed, match="can't be read") as caught:
        await field.connection.switch(release, NO_SECRETS, field.fence(8), "8.1", action="restart")
    assert "docker config inspect" in caught.value.advice
    assert field.versions == ["v1"]


async def test_one_that_a_dead_worker_left_beside_gets_the_secrets_of_now(swarm_field: Field) -> None:
    """Seen to fail where one that runs already is taken as it is."""
    field = swarm_field
    spec = field.spec(ports=field.ranges(), secrets=(SecretFile("KEY", "/run/secrets/key"),))
    first, second = (field.release(version, spec=spec, secrets=["KEY"]) for version in ("v1", "v2"))
    old, new = SecretValues({"KEY": "old"}), SecretValues({"KEY": "new"})
    await field.connection.stage(first, None, old, field.fence(1))
    await field.connection.switch(first, old, field.fence(1), "1.1")
    await field.connection.stage(second, None, old, field.fence(2))
    await field.connection.switch(second, old, field.fence(2), "2.1", action="restart")
    assert sorted(field.versions) == ["v1", "v2"]
    await field.connection.stage(second, None, new, field.fence(3))
    outcome = await field.connection.switch(second, new, field.fence(3), "3.1", action="start")
    assert (outcome.current, field.versions) == (second.id, ["v2"])
    (task,) = tasks_of(field, "v2")
    assert await asyncio.to_thread(field.swarm.inside, task, "cat", "/run/secrets/key") == "new"
