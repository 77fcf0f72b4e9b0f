"""A rollout of images that no registry has: they are on one engine, and every other one gets them from there."""

import json

import pytest

from quarterdeck.history.records import Rollout, RolloutState
from tests.docker_fleet import DockerField
from tests.driver import TARGET

pytestmark = [pytest.mark.docker, pytest.mark.root]

REPOSITORY = "built/app"


def build(docks: DockerField, version: str) -> str:
    """On the first engine only, of bytes that no other image has; gives its id."""
    engine = docks.engines[0]
    engine.image(f"{REPOSITORY}:{version}", files={"/www/version": f"{version}\n", "/www/of": str(docks.directory)})
    id: str = engine.client.inspect_image(f"{REPOSITORY}:{version}")["Id"]
    return id


def went(docks: DockerField, kind: str, version: str) -> Rollout:
    return docks.ended(docks.begin(kind, version))


def has(docks: DockerField, number: int, id: str) -> bool:
    return any(image["Id"] == id for image in docks.engines[number].client.images(all=True))


def test_they_are_brought_where_they_are_missing_and_a_way_back_that_was_pruned_is_brought_again(
    docks: DockerField,
) -> None:
    docks.write(artifact={"image": REPOSITORY, "image_on": "box-1"})
    first, second = build(docks, "1"), build(docks, "2")
    assert not has(docks, 1, first)
    assert went(docks, "deploy", "1").state is RolloutState.SUCCEEDED
    assert [docks.live(engine)["Image"] for engine in docks.engines] == [first, first]
    assert went(docks, "deploy", "2").state is RolloutState.SUCCEEDED
    assert has(docks, 1, second)
    other = docks.engines[1].client
    for one in docks.containers(docks.engines[1]):
        if one["State"] != "running":
            other.remove_container(one["Id"])
    other.remove_image(first, force=True)
    assert not has(docks, 1, first)
    assert went(docks, "rollback", "1").state is RolloutState.SUCCEEDED
    assert [docks.live(engine)["Image"] for engine in docks.engines] == [first, first]
    assert docks.strays() == []


def test_they_are_listed_with_id_size_and_date_and_an_engine_that_is_away_is_named(docks: DockerField) -> None:
    docks.write(artifact={"image": REPOSITORY, "image_on": "box-1"})
    id = build(docks, "1")
    listed = json.loads(docks.qd("releases", TARGET, "--available", "--json", status=0).stdout)["available"]
    (one,) = [each for each in listed if each["version"] == "1"]
    assert (one["digest"], one["release"]) == (id.removeprefix("sha256:"), None)
    assert one["size"] > 1_000_000
    assert one["created"].endswith("Z")
    docks.hosts = {"box-1": {"docker": f"unix://{docks.directory}/none.sock"}}
    docks.write()
    told = docks.qd("doctor", TARGET, "--json").stdout
    assert f"{REPOSITORY} on box-1: can't connect: there is no socket {docks.directory}/none.sock" in told


def test_a_tag_that_the_engine_has_not_begins_nothing(docks: DockerField) -> None:
    docks.write(artifact={"image": REPOSITORY, "image_on": "box-1"})
    build(docks, "1")
    ended = went(docks, "deploy", "9")
    assert ended.state is RolloutState.CANCELLED
    assert f"box-1: find version 9: there is no image {REPOSITORY}:9" in ended.outcome
    assert docks.running() == docks.everywhere(None)
