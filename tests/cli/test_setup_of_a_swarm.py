"""`qd check`, `qd env setup` and `qd doctor` with a host that is a real Swarm: what it lacks is said, networks are made."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
def harbour(swarm: Swarm, tmp_path: Path) -> Iterator[SwarmFleet]:
    with swarm_fleet_in(tmp_path, swarm) as made:
        yield made


def test_a_swarm_is_prepared_for_a_first_deploy(harbour: SwarmFleet) -> None:
    harbour.container = {"networks": {"shop": {"external": True, "name": "shop-net"}}}
    harbour.placed = {"placement": {"constraints": ["node.labels.zone == a"]}}
    harbour.write()
    checked = json.loads(harbour.qd("check", str(harbour.file), "--json", status=0).stdout)
    assert checked["targets"] == ["staging/web"]
    planned = harbour.qd("env", "setup", "harbour", "--plan", status=0).stdout
    assert "harbour: Docker Swarm, a manager with engine" in planned
    assert "network shop-net is external and not there" in planned
    assert "docker network create -d overlay --attachable shop-net" in planned
    label = "docker node update --label-add zone=a NODE"
    assert f"staging/web has no place: none of its 3 nodes fulfils node.labels.zone == a; {label}" in planned
    done = harbour.qd("env", "setup", "harbour", "--make", "--yes", status=1).stdout
    assert "= done: network shop-net is external and not there" in done
    assert label in done
    (network,) = [one for one in harbour.swarm.any_api.networks() if one["Name"] == "shop-net"]
    assert (network["Driver"], network["Scope"], network["Attachable"]) == ("overlay", "swarm", True)
    harbour.swarm.set_node(1, labels={"zone": "a"})
    again = harbour.qd("env", "setup", "harbour", status=0).stdout
    assert "nothing to do" in again


def test_nodes_whose_engines_are_not_reached_are_told_of(harbour: SwarmFleet) -> None:
    """The managers are sockets of this machine, from which no node's address follows."""
    harbour.host = {"swarm": harbour.swarm.managers[:1], "nodes": "unix:///nowhere/{hostname}.sock"}
    harbour.write()
    told = harbour.qd("env", "setup", "harbour", "--plan", status=0).stdout
    for name in ("node-2", "node-3"):
        assert f"! the engine of the node {name} is not reached: there is no socket /nowhere/{name}.sock" in told
    assert "node-1" not in told, "it is the manager itself"
    assert "see the host's nodes" in told


def test_a_swarm_that_is_none_says_what_to_do(harbour: SwarmFleet) -> None:
    """A worker is named as its manager: the first who would prepare it is told so."""
    index = next(node.index for node in harbour.swarm.nodes if node.index != harbour.swarm.leader)
    harbour.host = {"swarm": [str(harbour.swarm.nodes[index].docker)]}
    harbour.write()
    harbour.swarm.leave(index)
    refused = harbour.qd("env", "setup", "harbour", "--plan")
    assert refused.returncode != 0
    assert "is no node of a swarm" in refused.stderr
    assert "docker swarm init" in refused.stderr
