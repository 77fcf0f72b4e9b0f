"""``qd exec --all`` and ``all`` of ``x`` on a real Swarm of three nodes: in every task, each named."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driver import TARGET
from tests.room.terminal import Terminal
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]

SHOW = ("cat", "/etc/hostname")  # of the container, which is its id


@pytest.fixture
def harbour(swarm: Swarm, tmp_path: Path) -> Iterator[SwarmFleet]:
    with swarm_fleet_in(tmp_path, swarm) as made:
        yield made


def containers(harbour: SwarmFleet, *, by_node: bool = False) -> dict[str, str]:
    """What a task's container is called in itself, by the place's name."""
    hostnames = {id: str(one["Description"]["Hostname"]) for id, one in harbour.swarm.members().items()}
    return {
        f"harbour@{hostnames[one['NodeID']]}" if by_node else f"harbour:{one['Slot']}": one["Status"][
            "ContainerStatus"
        ]["ContainerID"][:12]
        for one in harbour.tasks()
    }


def journalled(harbour: SwarmFleet) -> list[tuple[str, str | None, str, int | None]]:
    """Kind, host, task, status."""
    with harbour.journal(read_only=True) as journal:
        return [
            (one.kind, one.host, str(one.body.get("task")), one.body.get("exit_status"))
            for one in journal.events(limit=5000)
            if one.kind.startswith("exec")
        ]


def test_all_is_every_task_each_named_by_its_slot_and_the_worst_status_counts(harbour: SwarmFleet) -> None:
    harbour.deploy("1")
    there = containers(harbour)
    assert sorted(there) == ["harbour:1", "harbour:2", "harbour:3"]
    done = harbour.qd("exec", TARGET, "--all", "--", *SHOW, status=0)
    assert sorted(done.stdout.splitlines()) == [f"{name:<12} {id}" for name, id in sorted(there.items())]
    ended = [one for one in journalled(harbour) if one[0] == "exec.ended"]
    assert sorted(ended) == [("exec.ended", "harbour", slot, 0) for slot in ("1", "2", "3")]
    history = " ".join(harbour.qd("history", TARGET, status=0).stdout.split())
    assert all(f"{name} exec ended with 0: cat /etc/hostname" in history for name in there)
    second = there["harbour:2"]
    told = harbour.qd(
        "exec", TARGET, "--all", "--json", "--", "sh", "-c", f"cat /etc/hostname; ! grep -q {second} /etc/hostname"
    )
    assert told.returncode == 1
    records = [json.loads(line) for line in told.stdout.splitlines()]
    assert {one["host"]: one["text"] for one in records if "text" in one} == there
    assert {one["host"]: one["exit_status"] for one in records if "exit_status" in one} == {
        "harbour:1": 0,
        "harbour:2": 1,
        "harbour:3": 0,
    }
    one = harbour.qd("exec", TARGET, "--", *SHOW, status=0)
    assert one.stdout.strip() in there.values(), "without it, in one of them"
    both = harbour.qd("exec", TARGET, "--host", "harbour:2", "--host", "harbour", "--all", "--", *SHOW, status=0)
    assert len(both.stdout.splitlines()) == 3, "each once"


def test_of_a_global_service_each_is_named_by_its_node(harbour: SwarmFleet) -> None:
    harbour.write(container={"stop_grace_period": "2s", "deploy": {"mode": "global", "endpoint_mode": "dnsrr"}})
    harbour.deploy("1")
    there = containers(harbour, by_node=True)
    assert sorted(there) == ["harbour@node-1", "harbour@node-2", "harbour@node-3"]
    done = harbour.qd("exec", TARGET, "--all", "--", *SHOW, status=0)
    assert sorted(done.stdout.splitlines()) == [f"{name} {id}" for name, id in sorted(there.items())]


def test_a_task_whose_node_is_not_reached_is_named_and_the_others_go_on(harbour: SwarmFleet) -> None:
    """And where no manager is reached, that is said, and nothing has run."""
    harbour.placed = {"placement": {"max_replicas_per_node": 1}}
    harbour.write()
    harbour.deploy("1")
    there = containers(harbour)
    here = next(iter(containers_of(harbour, 0)))
    harbour.host = {"swarm": harbour.swarm.managers[:1], "nodes": "unix:///nowhere/{hostname}.sock"}
    harbour.write()
    done = harbour.qd("exec", TARGET, "--all", "--", *SHOW)
    assert done.returncode == 6
    assert done.stdout.splitlines() == [f"{here:<12} {there[here]}"]
    said = [line for line in done.stderr.splitlines() if line.startswith("qd: harbour:")]
    assert sorted(line.split()[1] for line in said) == sorted(f"{name}:" for name in there if name != here)
    before = journalled(harbour)
    harbour.host = {"swarm": ["unix:///nowhere/engine.sock"]}
    harbour.write()
    refused = harbour.qd("exec", TARGET, "--all", "--", *SHOW)
    assert (refused.returncode, refused.stdout) == (6, "")
    assert "qd: harbour: connect" in refused.stderr
    assert journalled(harbour) == before


def containers_of(harbour: SwarmFleet, index: int) -> list[str]:
    """Names of the places on a node."""
    hostname = harbour.swarm.nodes[index].hostname
    by_node, by_slot = containers(harbour, by_node=True), containers(harbour)
    return [slot for slot, id in by_slot.items() if by_node.get(f"harbour@{hostname}") == id]


def test_x_and_all_in_the_room(harbour: SwarmFleet) -> None:
    harbour.deploy("1")
    there = containers(harbour)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
    with Terminal(harbour.command(TARGET), size=(120, 35), environment=environment) as terminal:
        terminal.wait_for("LIVE")
        terminal.send("x")
        terminal.wait_for("on host:")
        terminal.wait_for("all for every task")
        terminal.send("\x15all\r")
        terminal.wait_for("on all tasks of harbour $")
        terminal.send("cat /etc/hostname; ! grep -q " + there["harbour:3"] + " /etc/hostname\r")
        terminal.wait_for("harbour:3 ended with 1; ")
        terminal.wait_for(f"exec  {TARGET} on 3 tasks")
        for name, id in there.items():
            assert f"{name:<10} {id}" in terminal.text
            assert f"{name} ended with {int(name == 'harbour:3')}" in terminal.text
        terminal.send("\x1b")
        terminal.wait_gone("exec  staging")
        terminal.send(f":exec {TARGET} echo in$()deed\r")
        terminal.wait_for("harbour:3  indeed")
        terminal.wait_for("harbour:2 ended with 0")
        terminal.send("\x1b")
        terminal.wait_gone("exec  staging")
        terminal.send("x")
        terminal.wait_for("on host:")
        terminal.send("\x15harbour:2\r")
        terminal.wait_for("on harbour:2 $")
        terminal.send("cat /etc/hostname\r")
        terminal.wait_for(f"exec  {TARGET} on harbour:2")
        terminal.wait_for(there["harbour:2"])
        terminal.wait_for("ended with 0")
        assert there["harbour:1"] not in terminal.text
