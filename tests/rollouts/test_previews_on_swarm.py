"""A preview on the Swarm that its environment runs on: beside it, as a service of its own, and gone but for the epoch in its register."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.swarm.names import REGISTER
from tests.driver import TARGET
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in
from tests.swarm_in_motion import tasks_of

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
PREVIEW = "pr-7/web"


@pytest.fixture
def harbour(swarm: Swarm, tmp_path: Path) -> Iterator[SwarmFleet]:
    with swarm_fleet_in(tmp_path, swarm, placed={"replicas": 2}) as made:
        yield made


def there(harbour: SwarmFleet, target: str) -> dict[str, list[dict[str, Any]]]:
    """What the Swarm has of a target: services, configs, secrets."""
    client = harbour.swarm.any_api
    wanted = {"label": f"{names.TARGET}={target}"}
    return {
        "services": client.services(filters=wanted),
        "configs": client.configs(filters=wanted),
        "secrets": client.secrets(filters=wanted),
    }


def running(harbour: SwarmFleet, target: str) -> dict[str, str]:
    """The version of each task that runs and is to run, by its id."""
    found = tasks_of(harbour.swarm, target, without=names.ROLE, desired_state="running")
    return {
        one["ID"]: one["Spec"]["ContainerSpec"]["Labels"][names.RELEASE].rpartition("-")[0]
        for one in found
        if one["Status"]["State"] == "running"
    }


def test_beside_the_environment_and_gone_again(harbour: SwarmFleet) -> None:
    harbour.deploy("1")
    harbour.quiet(harbour.deploy("2")["rollout"])
    mine = running(harbour, TARGET)
    clone = ("env", "clone", "staging", "pr-7", "--hosts", "harbour", "--env", "A=b", "--deploy", "--json")
    (rollout,) = json.loads(harbour.qd(*clone, status=0).stdout)["rollouts"]
    assert (rollout["status"], rollout["to"].rpartition("-")[0]) == ("succeeded", "2")
    assert sorted(running(harbour, PREVIEW).values()) == ["2", "2"]
    (live,) = [one["Spec"] for one in there(harbour, PREVIEW)["services"] if one["Spec"]["Name"] == "pr-7-web"]
    assert "A=b" in live["TaskTemplate"]["ContainerSpec"]["Env"]
    harbour.qd("deploy", PREVIEW, "3", "--wait", status=0)
    assert sorted(running(harbour, PREVIEW).values()) == ["3", "3"]
    kept = {one["Spec"]["Labels"][names.RELEASE].rpartition("-")[0] for one in there(harbour, PREVIEW)["services"]}
    assert kept == {"2", "3"}, "the way back is kept"

    gone = json.loads(harbour.qd("env", "remove", "pr-7", "--yes", "--json", status=0).stdout)
    assert (gone["removed"], gone["left"]) == (["pr-7"], [])
    left = there(harbour, PREVIEW)
    assert (left["services"], left["secrets"]) == ([], [])
    assert [one for one in left["configs"] if REGISTER not in one["Spec"]["Labels"]] == []
    assert running(harbour, TARGET) == mine, "staging's tasks are the same as before"
    assert harbour.strays() == []
    assert harbour.rollback()["status"] == "succeeded"
    assert sorted(running(harbour, TARGET).values()) == ["1", "1"]
