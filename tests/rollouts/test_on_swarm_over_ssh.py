"""Whole rollouts on a real Swarm whose managers and nodes are reached over SSH, by the real command; a registry that does not answer."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver import TARGET
from tests.sshd import SshdFleet
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.sshd, pytest.mark.timeout(600)]


@pytest.fixture
def harbour(swarm: Swarm, swarm_ways: SshdFleet, tmp_path: Path) -> Iterator[SwarmFleet]:
    managers = [node.over_ssh for node in swarm.nodes]
    nodes = f"ssh://{{hostname}}{swarm.directory}/{{hostname}}/engine.sock"
    ssh = {"config": [str(swarm_ways.ssh_config)], "known_hosts": [str(swarm_ways.known_hosts)]}
    with swarm_fleet_in(tmp_path, swarm, host={"swarm": managers, "nodes": nodes}, top={"ssh": ssh}) as made:
        made.placed = {"replicas": 1, "placement": {"constraints": ["node.hostname == node-3"]}}
        made.write()
        yield made


def test_it_goes_out_and_back_though_a_manager_is_lost(harbour: SwarmFleet, swarm_ways: SshdFleet) -> None:
    for version in ("1", "2"):
        done = harbour.deploy(version)
        assert (done["status"], harbour.versions()) == ("succeeded", [version])
    ran = harbour.qd("exec", TARGET, "--", "cat", "/www/version", status=0)
    assert ran.stdout.strip().endswith("2")
    swarm_ways[0].stop()  # the first of the managers
    back = harbour.rollback()
    assert (back["status"], harbour.versions()) == ("succeeded", ["1"])
    (host,) = json.loads(harbour.qd("status", TARGET, "--json", status=0).stdout)["targets"][0]["hosts"]
    assert (host["version"], host["health"], host["error"]) == ("1", "healthy", None)
    assert "connection, swarm, 1 target" in harbour.qd("doctor").stdout


def test_a_registry_that_hangs_delays_readiness_a_little_and_no_rollback(harbour: SwarmFleet) -> None:
    """What was deployed before needs none; a version whose digest nobody knows does, and that is said."""
    for version in ("1", "2"):
        harbour.deploy(version)
    harbour.swarm.freeze_registry()
    ready = json.loads(harbour.qd("ready", TARGET, "--json", status=0, timeout=60).stdout)
    assert ready["targets"][0]["ready"]["state"] == "ready", "a manager has the image"
    assert ready["targets"][0]["hosts"][0]["error"] is None
    harbour.swarm.stop_registry()  # one that hangs is waited for a minute by whoever wants a new version of it
    refused = harbour.qd("deploy", TARGET, "3", "--wait")
    assert refused.returncode != 0
    assert harbour.swarm.registry in refused.stderr
    assert harbour.versions() == ["2"]
    back = harbour.rollback()
    assert (back["status"], harbour.versions()) == ("succeeded", ["1"])
