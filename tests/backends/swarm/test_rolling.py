"""An update goes part by part: each is well before the next one begins, and whatever ends it leaves an update that stands still."""

import asyncio
import contextlib

import pytest

from quarterdeck.backends.errors import CommandFailed, Fenced, Unhealthy
from quarterdeck.config.container import Healthcheck, Pace
from quarterdeck.config.model import CommandCheck, Health
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import Field, connect
from tests.swarm_in_motion import NOT_YET, until
from tests.trust.recording import Promises

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]

WELL = Health(command=CommandCheck("test -e /www/health"), interval=0.2, timeout=5.0, healthy_deadline=30.0)


async def begun_with(field: Field, version: str = "v1") -> Release:
    first = field.release(version, health=WELL)
    await field.connection.stage(first, None, NO_SECRETS, field.fence())
    outcome = await field.connection.switch(first, NO_SECRETS, field.fence(), "1.1")
    assert (outcome.current, field.versions) == (first.id, [version] * field.replicas)
    await field.connection.finish(first, [], field.fence(), "1.2")
    return first


@pytest.fixture
def four(swarm_field: Field) -> Field:
    swarm_field.replicas = 4
    return swarm_field


async def test_a_part_that_is_not_well_is_the_last_one_and_goes_back_alone(four: Field) -> None:
    """Of four tasks one is replaced, and waited for; the other three are never touched, on the way there and on the way back. Seen to fail
    where a part is not asked for its health."""
    first = await begun_with(four)
    before = {one["ID"] for one in four.tasks()}
    sick = four.release(
        "v2",
        image={"name": "sick", "healthy": False},
        health=Health(command=WELL.command, interval=0.2, timeout=5.0, healthy_deadline=4.0),
    )
    await four.connection.stage(sick, None, NO_SECRETS, four.fence(2))
    with pytest.raises(Unhealthy, match="0 of 1 tasks of v2 are well") as caught:
        await four.connection.switch(sick, NO_SECRETS, four.fence(2), "2.1", deadline=4.0)
    assert "3 of v1" in caught.value.left
    await until(lambda: four.versions == ["v1", "v1", "v1", "v2"], "what it has replaced has ended")
    assert (await four.facts()).current == first.id
    outcome = await four.connection.switch(first, NO_SECRETS, four.fence(2), "2.2")
    assert (outcome.current, four.versions) == (first.id, ["v1"] * 4)
    assert len(before & {one["ID"] for one in four.tasks() if one["DesiredState"] == "running"}) == 3
    facts = await four.facts()
    assert (facts.current, facts.drift, facts.as_started) == (first.id, (), True)


async def test_a_worker_that_ends_in_the_middle_leaves_an_update_that_stands_still(four: Field) -> None:
    """And the next worker goes on with it. Seen to fail with the service's own delay between two parts."""
    first = await begun_with(four)
    second = four.release("v2", health=WELL)
    await four.connection.stage(second, None, NO_SECRETS, four.fence(2))
    going = asyncio.create_task(four.connection.switch(second, NO_SECRETS, four.fence(2), "2.1"))
    await until(lambda: "v2" in four.versions, "the first task of v2 runs", unless=going)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    await asyncio.sleep(0.5)
    stands = four.versions.count("v2")
    assert 1 <= stands < 4
    await asyncio.sleep(8.0)  # longer than Swarm itself would take for all of them
    # One more where the worker had told it to go on in the moment in which it was ended.
    assert four.versions.count("v2") <= stands + 1
    facts = await four.facts()
    assert (facts.current, facts.as_started) == (first.id, False)
    assert f"an update to {second.id} was begun and is not ended" in facts.drift[0]
    outcome = await four.connection.switch(second, NO_SECRETS, four.fence(3), "3.1")
    assert (outcome.current, four.versions) == (second.id, ["v2"] * 4)


async def test_what_was_good_goes_back_at_once_and_what_was_not_in_parts(four: Field) -> None:
    first = await begun_with(four)
    second = four.release("v2", health=WELL)
    await four.connection.stage(second, None, NO_SECRETS, four.fence(2))
    seen: list[int] = []

    async def watch() -> None:
        while True:
            with contextlib.suppress(*NOT_YET):
                tasks = await asyncio.to_thread(four.tasks)
                seen.append(sum(one["DesiredState"] == "running" for one in tasks))
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    await four.connection.switch(second, NO_SECRETS, four.fence(2), "2.1")
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert len(seen) > 4, "of an update of four tasks"
    assert max(seen) <= 5, "one at a time"
    await four.connection.switch(first, NO_SECRETS, four.fence(3), "3.1")
    (service,) = [one for one in four.swarm.any_api.services() if one["Spec"]["Name"] == four.name]
    config = service["Spec"]["UpdateConfig"]
    assert (config.get("Parallelism", 0), config["FailureAction"], config["Order"]) == (0, "pause", "start-first")
    assert four.versions == ["v1"] * 4


async def test_a_task_that_its_own_check_finds_unhealthy_is_never_given_the_place(four: Field) -> None:
    """With a health check in the image's description Swarm keeps the old task until the new one is well: four run all the time."""
    await begun_with(four)
    check = Healthcheck(("CMD-SHELL", "test -e /www/health"), interval=0.5, timeout=2.0, retries=1, start_period=0.0)
    sick = four.release("v2", image={"name": "sick", "healthy": False}, spec=four.spec(healthcheck=check))
    await four.connection.stage(sick, None, NO_SECRETS, four.fence(2))
    with pytest.raises(CommandFailed, match=r"unhealthy|ended with status"):
        await four.connection.switch(sick, NO_SECRETS, four.fence(2), "2.1")
    assert four.versions.count("v1") == 4


async def test_several_at_once_and_a_pause_between_where_the_service_says_so(four: Field) -> None:
    await begun_with(four)
    pace = Pace(parallelism=2, delay=1.5)
    second = four.release("v2", health=WELL, spec=four.spec(deploy={"update": pace}))
    await four.connection.stage(second, None, NO_SECRETS, four.fence(2))
    begin = asyncio.get_running_loop().time()
    await four.connection.switch(second, NO_SECRETS, four.fence(2), "2.1")
    assert asyncio.get_running_loop().time() - begin >= 1.5
    assert four.versions == ["v2"] * 4


@pytest.mark.trust(3)
async def test_an_older_worker_in_the_middle_of_its_update_is_overtaken(four: Field, promise: Promises) -> None:
    """Promise 3. Two operators: the one with the older epoch is refused at its next part, and every task is of the newer one's release."""
    first = await begun_with(four)
    # So long between two parts that it is not over when the other one comes, on a busy machine.
    slow = four.spec(deploy={"update": Pace(parallelism=1, delay=10.0)})
    second, third = four.release("v2", health=WELL, spec=slow), four.release("v3", health=WELL)
    for release in (second, third):
        await four.connection.stage(release, None, NO_SECRETS, four.fence(2))
    older = asyncio.create_task(four.connection.switch(second, NO_SECRETS, four.fence(2), "2.1"))
    await until(lambda: "v2" in four.versions, "the first task of v2 runs", unless=older)
    other = await connect(four.swarm)
    try:
        outcome = await other.switch(third, NO_SECRETS, four.fence(3, "rollout 3, bob@bastion"), "3.1")
        with pytest.raises((Fenced, CommandFailed)):
            await older
        assert (outcome.current, outcome.previous) == (third.id, first.id)
        assert four.versions == ["v3"] * 4
    finally:
        await other.close()
    facts = await four.facts()
    assert (facts.current, facts.epoch, facts.as_started) == (third.id, 3, True)
    promise(3).count("workers overtaken in the middle of an update")
