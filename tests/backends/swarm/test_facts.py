"""What was changed behind our back is told in words, and the next switch puts it right; any release of the history can be gone back to."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from quarterdeck.backends.errors import ArtifactMissing
from quarterdeck.config.container import Restart
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import Field
from tests.swarm_in_motion import change_service, until
from tests.trust.recording import Promises

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture
async def two(swarm_field: Field) -> Field:
    """Two tasks of v1 run."""
    swarm_field.replicas = 2
    await put(swarm_field, swarm_field.release("v1"), 1)
    return swarm_field


async def put(field: Field, release: Release, epoch: int, **finish: Any) -> None:
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2", **finish)


def image(spec: dict[str, Any], reference: str) -> None:
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = reference


def variable(spec: dict[str, Any]) -> None:
    spec["TaskTemplate"]["ContainerSpec"]["Env"].append("SECRET_OF_SOMEBODY=hunter2")


def replicas(spec: dict[str, Any]) -> None:
    spec["Mode"]["Replicated"]["Replicas"] = 1


def forced(spec: dict[str, Any]) -> None:
    spec["TaskTemplate"]["ForceUpdate"] = spec["TaskTemplate"].get("ForceUpdate", 0) + 1


def placed(spec: dict[str, Any]) -> None:
    spec["TaskTemplate"]["Placement"]["Constraints"] = ["node.role == manager"]


@pytest.mark.trust(23)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (image, "its image is"),
        (variable, "changed: environment"),
        (replicas, "it has 1 replicas, and"),
        (forced, "a restart was forced"),
        (placed, "changed: placement"),
    ],
)
async def test_a_service_that_was_changed_by_hand(
    two: Field, change: Callable[..., None], words: str, promise: Promises
) -> None:
    """Promise 23: it is told at the next look, and the next switch puts it right."""
    before = await two.facts()
    assert (before.drift, before.as_started) == ((), True)
    arguments = [two.swarm.image("other", "v9")] if change is image else []
    await asyncio.to_thread(change_service, two.swarm, two.name, lambda spec: change(spec, *arguments))
    facts = await two.facts()
    assert facts.as_started is False
    told = next(one for one in facts.drift if "was changed, not by qd" in one)
    assert words in told
    assert "hunter2" not in str(facts.drift), "a value may be a secret"
    first = two.release("v1")
    assert facts.current == first.id
    await two.connection.switch(first, NO_SECRETS, two.fence(2), "2.1")
    after = await two.facts()
    assert (after.current, after.drift, after.as_started) == (first.id, (), True)
    assert two.versions == ["v1", "v1"]
    promise(23).count("Swarms changed by hand")


@pytest.mark.trust(23)
async def test_a_service_that_was_removed_by_hand_is_made_anew(two: Field, promise: Promises) -> None:
    """Promise 23."""
    (service,) = [one for one in two.swarm.any_api.services() if one["Spec"]["Name"] == two.name]
    await asyncio.to_thread(two.swarm.any_api.remove_service, service["ID"])
    facts = await two.facts()
    assert facts.running is False
    assert facts.as_started is False
    assert "the service that was live is gone" in facts.drift
    first = two.release("v1")
    await two.connection.switch(first, NO_SECRETS, two.fence(2), "2.1")
    after = await two.facts()
    assert (after.current, after.drift, two.versions) == (first.id, (), ["v1", "v1"])
    promise(23).count("Swarms changed by hand")


def waiting(field: Field) -> list[dict[str, Any]]:
    """Tasks that no node has taken."""
    client = field.swarm.any_api
    services = [one["ID"] for one in client.services(filters={"label": f"dev.quarterdeck.target={field.target}"})]
    return [one for one in client.tasks(filters={"service": services}) if one["Status"]["State"] == "pending"]


async def test_nodes_that_are_drained_or_paused_and_replicas_that_find_no_place(two: Field) -> None:
    for node in two.swarm.nodes:
        await asyncio.to_thread(partial(two.swarm.set_node, node.index, availability="drain"))
    await until(lambda: two.versions == [], "nothing runs where no node takes tasks")
    await until(
        lambda: (found := waiting(two)) and all("no suitable node" in one["Status"].get("Err", "") for one in found),
        "it says why",
    )
    facts = await two.facts()
    assert (facts.current, facts.running) == (two.release("v1").id, False)
    assert any("0 of 2 tasks" in one and "no suitable node" in one for one in facts.drift), facts.drift
    assert {one.availability for one in facts.nodes} == {"drain"}
    assert facts.as_started is False
    for node in two.swarm.nodes:
        await asyncio.to_thread(partial(two.swarm.set_node, node.index))
    await until(lambda: two.versions == ["v1", "v1"], "both are back")


@pytest.mark.trust(23)
async def test_every_release_of_the_history_can_be_gone_back_to(swarm_field: Field, promise: Promises) -> None:
    """Promise 23: that one is what runs, and what is said to. Not only the one before, which is all that Swarm itself remembers: also
    where its own service was removed since."""
    field = swarm_field
    releases = [field.release(f"v{number}") for number in range(5)]
    for epoch, release in enumerate(releases, 1):
        await put(field, release, epoch, warm=1, prune_to=5)
    facts = await field.facts()
    assert {one.release for one in facts.kept if one.intact} == {one.id for one in releases}
    waiting = {one.release for one in facts.kept if one.warm}
    assert releases[0].id not in waiting, "its service is gone"
    for epoch, release in ((6, releases[0]), (7, releases[2])):
        outcome = await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
        assert (outcome.current, field.versions) == (release.id, [release.version])
        promise(23).count("releases of a Swarm's history that were gone back to")


async def test_versions_with_dots_and_what_failed_once_is_history(swarm_field: Field) -> None:
    """A task that has failed long ago, and was started again, is no reason to refuse the way back to its release."""
    field = swarm_field
    first = field.release("1.2.3", spec=field.spec(deploy={"restart": Restart(delay=0.1)}))
    await put(field, first, 1)
    (task,) = field.tasks()
    engine = field.swarm.api(field.swarm.node_of(task))
    await asyncio.to_thread(engine.kill, task["Status"]["ContainerStatus"]["ContainerID"])
    await until(lambda: [one["ID"] for one in field.tasks()] not in ([], [task["ID"]]), "another task runs")
    second = field.release("1.2.4_rc.5", spec=field.spec(deploy={"restart": Restart(delay=0.1)}))
    await put(field, second, 2)
    outcome = await field.connection.switch(first, NO_SECRETS, field.fence(3), "3.1")
    assert outcome.current == first.id
    outcome = await field.connection.switch(first, NO_SECRETS, field.fence(3), "3.2", action="start")
    assert (outcome.current, field.versions) == (first.id, ["1.2.3"])


async def test_an_image_that_no_registry_has_is_told_and_refused(two: Field) -> None:
    second = two.release("v2")
    await put(two, second, 2)
    nowhere = "@sha256:" + "0" * 64
    location = two.release("v3").artifact.location.partition("@")[0] + nowhere
    import msgspec

    artifact = msgspec.structs.replace(second.artifact, location=location, sha256="0" * 64)
    missing = msgspec.structs.replace(two.release("v3"), artifact=artifact)
    with pytest.raises(ArtifactMissing):
        await two.connection.stage(missing, None, NO_SECRETS, two.fence(3))
    assert missing.id not in {one.release for one in (await two.facts()).kept}


async def test_a_foreign_service_with_the_name_is_left_alone(swarm_field: Field) -> None:
    from quarterdeck.backends.errors import CommandFailed

    field = swarm_field
    await asyncio.to_thread(field.swarm.service, field.name, field.swarm.image("other", "v9"), replicas=1)
    release = field.release("v1")
    facts = await field.connection.facts(field.target, "", release)
    assert any("held by a service that is not ours" in one for one in facts.drift)
    with pytest.raises(CommandFailed, match="is not ours"):
        await field.connection.stage(release, None, NO_SECRETS, field.fence())
    assert [one["Spec"]["Name"] for one in field.swarm.any_api.services()] == [field.name]
