"""A practised rollback on a real Swarm: there and back again, by the service of the release before."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver import TARGET
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture
def harbour(swarm: Swarm, tmp_path: Path) -> Iterator[SwarmFleet]:
    with swarm_fleet_in(tmp_path, swarm, placed={"replicas": 2}) as made:
        yield made


def test_the_release_before_serves_and_the_live_one_comes_again(harbour: SwarmFleet) -> None:
    harbour.deploy("1")
    harbour.quiet(harbour.deploy("2")["rollout"])
    before = harbour.every_task()
    done = json.loads(harbour.qd("drill", TARGET, "--yes", "--json", status=0).stdout)
    assert done["status"] == "succeeded"
    assert "1 was back on 1 host after" in done["reason"]
    assert harbour.versions() == ["2", "2"]
    made = sorted(its for id, its in harbour.every_task().items() if id not in before)
    assert made == ["1", "1", "2", "2"], "each task went back, and came again, once"
    harbour.quiet(done["rollout"])
    assert harbour.strays() == []
    shown = json.loads(harbour.qd("status", "--json", status=0).stdout)["targets"][0]
    assert not any(host["drift"] for host in shown["hosts"]), shown
    assert shown["drill"]["checked"] > 0
    back = harbour.rollback()
    assert (back["status"], back["to"].rpartition("-")[0]) == ("succeeded", "1"), "it leads where it led before"
    assert harbour.versions() == ["1", "1"]
