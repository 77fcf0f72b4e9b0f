"""A preview on the engine that its environment runs on: beside it, under a name of its own, and gone without a trace."""

import json

import pytest

from tests.docker_fleet import DockerField
from tests.rollouts.test_images_travel import REPOSITORY, build, has

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]
PREVIEW = "pr-7/web"


def test_beside_the_environment_and_gone_again(docks: DockerField) -> None:
    docks.deploy("1")
    docks.deploy("2")
    first = docks.engines[0]
    done = docks.qd(
        "env", "clone", "staging", "pr-7", "--hosts", "box-1", "--env", "A=b", "--deploy", "--json", status=0
    )
    (rollout,) = json.loads(done.stdout)["rollouts"]
    assert (rollout["status"], rollout["to"].rpartition("-")[0]) == ("succeeded", "2")
    (container,) = docks.containers(first, PREVIEW)
    assert container["Names"] == ["/pr-7-web"]
    assert "A=b" in first.client.inspect_container(container["Id"])["Config"]["Env"]
    docks.qd("deploy", PREVIEW, "3", "--wait", status=0)
    assert len(docks.containers(first, PREVIEW)) == 2, "the way back is kept"
    mine = {one["Id"] for one in docks.containers(first)}

    gone = json.loads(docks.qd("env", "remove", "pr-7", "--yes", "--json", status=0).stdout)
    assert (gone["removed"], gone["left"]) == (["pr-7"], [])
    assert docks.containers(first, PREVIEW) == []
    assert {one["Id"] for one in docks.containers(first)} == mine, "staging's containers are the same as before"
    assert docks.running() == docks.everywhere("2")
    assert docks.rollback()["status"] == "succeeded", "an image that staging needs was not removed with the preview"
    assert docks.running() == docks.everywhere("1")


def test_what_would_be_shared_on_an_engine_is_refused(docks: DockerField) -> None:
    docks.container = {"container_name": "web"}
    docks.write()
    told = docks.qd("env", "clone", "staging", "pr-7", "--hosts", "box-1", status=5).stderr
    assert "pr-7/web and staging/web are both the container `web` on box-1" in told
    docks.container = {"ports": ["18080:8080"]}
    docks.write()
    told = docks.qd("env", "clone", "staging", "pr-7", "--hosts", "box-1", status=5).stderr
    assert "both publish the port 18080/tcp on box-1" in told


def test_an_image_that_no_registry_has_is_not_removed_with_it(docks: DockerField) -> None:
    docks.environment = {"hosts": ["box-2"]}
    docks.write(artifact={"image": REPOSITORY, "image_on": "box-1"})
    id = build(docks, "1")
    docks.deploy("1")
    docks.qd("env", "clone", "staging", "pr-7", "--hosts", "box-1", "--deploy", status=0)
    assert len(docks.containers(docks.engines[0], PREVIEW)) == 1
    docks.qd("env", "remove", "pr-7", "--yes", status=0)
    assert docks.containers(docks.engines[0], PREVIEW) == []
    assert has(docks, 0, id), "box-2 gets it from there, when its own copy is pruned"
