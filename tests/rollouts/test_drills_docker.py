"""A practised rollback on real engines: the kept containers serve for a moment, and nothing is made anew."""

import json

import pytest

from tests.docker_fleet import DockerField
from tests.driver import TARGET

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]


def test_the_kept_container_serves_and_the_live_one_comes_again(docks: DockerField) -> None:
    docks.deploy("1")
    docks.deploy("2")
    before = [sorted(one["Id"] for one in docks.containers(engine)) for engine in docks.engines]
    done = json.loads(docks.qd("drill", TARGET, "--yes", "--json", status=0).stdout)
    assert done["status"] == "succeeded"
    assert docks.running() == docks.everywhere("2")
    after = [sorted(one["Id"] for one in docks.containers(engine)) for engine in docks.engines]
    assert after == before, "none was made, none was removed"
    assert docks.strays() == []
    shown = json.loads(docks.qd("status", "--json", status=0).stdout)["targets"][0]
    assert not any(host["drift"] for host in shown["hosts"]), shown
    assert shown["drill"]["checked"] > 0
    back = docks.rollback()
    assert back["status"] == "succeeded"
    assert docks.running() == docks.everywhere("1")
