"""The observer on a real Swarm: its tasks and nodes are in the journal, and what happens to them comes after."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.container import Pace, PublishedPort
from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Operator, RolloutKind, RolloutState
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.rollouts.picture.swarm import State, swarm_seen
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.status import status
from tests.observers import ObservedRooms, observed_rooms
from tests.sshd import wait_for
from tests.swarm import Swarm
from tests.swarm_field import Field
from tests.swarm_in_motion import change_service

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
rooms = pytest.fixture(observed_rooms)
LONG = 120.0  # seconds: Swarm takes its time, and a busy machine too


def write_fleet(file: Path, field: Field) -> Path:
    body = {
        "fleet": "swarms",
        "state": str(file.parent / "state"),
        "hosts": {"sw": {"swarm": field.swarm.managers, "nodes": field.swarm.nodes_template}},
        "environments": {"test": {"hosts": ["sw"]}},
        "services": {
            field.name: {
                "artifact": {"image": field.swarm.image("app", "v1").partition("@")[0].rpartition(":")[0]},
                "container": {"deploy": {"replicas": 3, "endpoint_mode": "dnsrr"}, "stop_grace_period": "3s"},
            }
        },
    }
    file.write_text(json.dumps(body, indent=1))
    return file


async def test_tasks_and_nodes_reach_the_picture_and_status(
    swarm_field: Field, swarm: Swarm, tmp_path: Path, rooms: ObservedRooms
) -> None:
    field = swarm_field
    field.replicas = 3
    release = field.release("v1")
    await field.connection.stage(release, None, SecretValues(), field.fence())
    await field.connection.switch(release, SecretValues(), field.fence(), "put")
    fleet = load_fleet(write_fleet(tmp_path / "fleet.json", field))
    journal = Journal.open(fleet.state, operator=Operator("alice", 1000, None, "bastion-2"))
    journal.put_release(release)
    armed = journal.arm(field.target, RolloutKind.DEPLOY, to_release=release.id)
    epoch = journal.begin(armed.id, preempt="nothing")
    journal.set_state(armed.id, epoch, RolloutState.SUCCEEDED)

    def seen() -> TargetSeen:
        return take_picture(fleet, journal).targets[field.target]

    def until(holds: Callable[[TargetSeen], object], what: str) -> None:
        try:
            wait_for(lambda: bool(holds(seen())), what, LONG)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {seen().hosts}") from None

    rooms(fleet.file, target=field.target, chosen=0.5, shown=0.5, rest=0.5)
    until(lambda now: now.on_swarm and now.counted == (3, 3) and now.mark == "=", "three tasks of three to be seen")
    until(lambda now: _leaders(now) == 1, "a leader, whom they may be choosing just now")
    found = seen().hosts[0].swarm
    assert found is not None
    assert [one.hostname for one in found.nodes] == sorted(node.hostname for node in swarm.nodes)
    assert {one.node for one in found.tasks if one.runs} <= {node.hostname for node in swarm.nodes}
    assert {one.version for one in found.tasks} == {"v1"}

    swarm.set_node(2, availability="drain")
    drained = swarm.nodes[2].hostname
    until(lambda now: _standing(now, drained) is State.ODD, "the node to be drained")
    until(lambda now: now.counted == (3, 3), "its task to run elsewhere")
    swarm.set_node(2)
    until(lambda now: _standing(now, drained) is State.GOOD, "the node to be as it was")

    change_service(swarm, field.name, nowhere)
    until(lambda now: now.counted[0] < now.counted[1], "a task that no node takes")
    until(lambda now: now.mark in ("x", "~") and now.hosts[0].changed, "the target to say so")
    waits: list[Mapping[str, Any]] = []

    def says_why(_: TargetSeen) -> bool:
        """It does a moment after it waits."""
        document = status(fleet, journal)["targets"][0]["hosts"][0]["swarm"]
        assert document["running"] < document["wanted"]
        waits[:] = [one for one in document["tasks"] if one["state"] == "pending"]
        return bool(waits) and all(one["said"] for one in waits)

    until(says_why, "each task that waits to say why")
    assert all(one["node"] is None for one in waits)
    journal.close()


async def test_an_update_is_seen_on_its_way_and_is_no_failure(
    swarm_field: Field, tmp_path: Path, rooms: ObservedRooms
) -> None:
    """Task after task, while the release that is current is the old one still. Seen to fail without the words of an update in a look: the
    old release's check says then, until the end, that there is no service of it."""
    field = swarm_field
    field.replicas = 3
    slow = {"replicas": 3, "update": Pace(parallelism=1, delay=3.0)}
    port = PublishedPort(8080, str(field.port), mode="host")
    releases = [field.served(version, spec=field.spec(ports=(port,), deploy=slow)) for version in ("v1", "v2")]
    for release in releases:
        await field.connection.stage(release, None, SecretValues(), field.fence())
    await field.connection.switch(releases[0], SecretValues(), field.fence(), "put")
    fleet = load_fleet(write_fleet(tmp_path / "fleet.json", field))
    journal = Journal.open(fleet.state, operator=Operator("alice", 1000, None, "bastion-2"))
    for release in releases:
        journal.put_release(release)

    def looked() -> tuple[str, int]:
        """What was observed last: its health, and how many tasks of the new release run."""
        found = journal.observations(field.target)
        swarm = swarm_seen(found[0].body.get("swarm")) if found else None
        return (found[0].health, swarm.running(releases[1].id)) if swarm is not None else ("", 0)

    rooms(fleet.file, target=field.target, chosen=0.3, shown=0.3, rest=0.3)
    wait_for(lambda: looked()[0] == "healthy", "the release to be seen well", LONG)
    switching = asyncio.create_task(
        field.connection.switch(releases[1], SecretValues(), field.fence(), "update", deadline=120.0)
    )
    on_the_way: set[tuple[str, int]] = set()
    while not switching.done():
        on_the_way.add(looked())
        await asyncio.sleep(0.05)
    assert (await switching).current == releases[1].id
    assert {running for _, running in on_the_way} & {1, 2}, on_the_way
    assert "unhealthy" not in {health for health, _ in on_the_way}, on_the_way
    wait_for(lambda: looked() == ("healthy", 3), "the new release to be seen well", LONG)
    journal.close()


def _standing(seen: TargetSeen, hostname: str) -> State | None:
    swarm = seen.hosts[0].swarm
    node = swarm.node(hostname) if swarm is not None else None
    return node.standing if node is not None else None


def _leaders(seen: TargetSeen) -> int:
    swarm = seen.hosts[0].swarm
    return sum(node.leader for node in swarm.nodes) if swarm is not None else 0


def nowhere(spec: dict[str, Any]) -> None:
    """Somebody has it run on a node that there is not."""
    spec["TaskTemplate"].setdefault("Placement", {})["Constraints"] = ["node.hostname == nowhere"]
