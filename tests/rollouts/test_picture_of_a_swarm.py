"""What the picture says of a target on a Swarm: its tasks are counted like hosts, and each that is odd is so by its mark, with a word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.backends.hosts.contract import HealthOutcome, KeptRelease, SwarmNode, SwarmTask, TargetFacts
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.release import Release, to_json
from quarterdeck.history.clock import now
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation
from quarterdeck.rollouts.looking import look
from quarterdeck.rollouts.picture.fleet import Picture, take_picture
from quarterdeck.rollouts.picture.host import HostSeen, health_of, healths_of
from quarterdeck.rollouts.picture.swarm import (
    NodeSeen,
    State,
    SwarmSeen,
    TaskSeen,
    on_nodes,
    standing_of,
    swarm_seen,
)
from quarterdeck.rollouts.picture.target import Mark, TargetSeen, progress_of
from quarterdeck.rollouts.status import status
from quarterdeck.tui.cli.status import counted
from quarterdeck.tui.cli.swarm_words import swarm_remarks
from tests.room.acme import LENA
from tests.room.swarmed import (
    AGENT,
    AGENT_NEXT,
    CART,
    CART_BEFORE,
    CART_NOW,
    NO_NODE,
    PROXY,
    SHOP,
    SHOP_BEFORE,
    SHOP_NOW,
    SWARM,
    fill_swarmed,
    fleet_text,
    told,
)

NOW, OTHER = SHOP_NOW.id, SHOP_BEFORE.id
READY = NodeSeen("node-1", "ready", "active", manager=True, leader=True)
DOWN = NodeSeen("node-1", "down", "active")
DRAINED = NodeSeen("node-1", "ready", "drain")
GONE_QUIET = NodeSeen("node-1", "unknown", "active")


def task(state: str = "running", release: str = NOW, **more: Any) -> TaskSeen:
    return TaskSeen("t1", 1, "node-1", release, state, **more)


STANDINGS = [
    # the task, its node, how it stands, and why
    (task(), READY, State.GOOD, ""),
    (task(), None, State.GOOD, ""),
    (task("pending", said="no suitable node"), None, State.ODD, "no suitable node"),
    (task("pending"), None, State.ODD, ""),
    (task("preparing"), READY, State.GOING, ""),
    (task("starting", said="task: non-zero exit (1)"), READY, State.ODD, "task: non-zero exit (1)"),
    (task("failed", said="task: non-zero exit (1)"), READY, State.BAD, "task: non-zero exit (1)"),
    (task("rejected", said="No such image"), READY, State.BAD, "No such image"),
    (task("complete"), READY, State.BAD, ""),
    (task(), DOWN, State.UNKNOWN, "node-1 is down"),
    (task(), GONE_QUIET, State.UNKNOWN, "node-1 is unknown"),
    (task(), DRAINED, State.ODD, "node-1 is drained"),
    (task(release=OTHER), READY, State.ODD, "of another release"),
    (task(wanted=False), READY, State.GOING, "on its way out"),
    (task(wanted=False), DOWN, State.UNKNOWN, "node-1 is down: it may still run there"),
]


@pytest.mark.parametrize(("seen", "node", "state", "why"), STANDINGS)
def test_how_a_task_stands(seen: TaskSeen, node: NodeSeen | None, state: State, why: str) -> None:
    assert standing_of(seen, node, (NOW,)) == (state, why)


def test_while_a_rollout_goes_on_both_of_its_releases_may_run() -> None:
    assert standing_of(task(release=OTHER), READY, (NOW, OTHER))[0] is State.GOOD


@pytest.mark.parametrize(
    ("node", "state", "role"),
    [
        (READY, State.GOOD, "leader"),
        (DOWN, State.BAD, "worker"),
        (DRAINED, State.ODD, "worker"),
        (GONE_QUIET, State.UNKNOWN, "worker"),
        (NodeSeen("n", "ready", "pause", manager=True), State.ODD, "manager"),
    ],
)
def test_how_a_node_stands(node: NodeSeen, state: State, role: str) -> None:
    assert (node.standing, node.role) == (state, role)


def test_places_are_counted_not_tasks() -> None:
    """Two tasks of one slot are one place while the one replaces the other, and of a global service the node is the place."""
    both = (task(), task(release=OTHER, wanted=False), TaskSeen("t3", 2, "node-2", NOW, "running"))
    assert (SwarmSeen(both).running(NOW), SwarmSeen(both).wanted) == (2, 2)
    each = tuple(TaskSeen(f"t{at}", 0, f"node-{at}", NOW, "running") for at in range(3))
    assert (SwarmSeen(each).running(NOW), SwarmSeen(each).wanted) == (3, 3)
    assert SwarmSeen(each[:2], replicas=3).wanted == 3, (
        "a task that is given up for good leaves no trace but the release's word"
    )
    assert SwarmSeen(both).running(OTHER) == 0, "what is on its way out is no running task of its release"
    assert on_nodes([SwarmSeen(both), SwarmSeen(each)]) == {"node-0": 1, "node-1": 3, "node-2": 2}


def test_what_has_another_shape_tells_nothing() -> None:
    """A journal of another version, or one that somebody wrote into."""
    odd_ones: list[object] = [
        None,
        [],
        "swarm",
        {"tasks": 1},
        {"nodes": [{"hostname": "n"}]},
        {"tasks": [{"slot": "one"}]},
    ]
    for odd in odd_ones:
        assert swarm_seen(odd) is None
    found = swarm_seen({**told([(1, "node-1", SHOP_NOW, "running")]), "to come": True})
    assert found is not None
    assert found.running(NOW) == 1


def test_names_and_words_of_a_swarm_are_clean() -> None:
    evil = told([(1, "node\x1b[2J-1", SHOP_NOW, "running")], t1={"said": "a\nb\x1b]0;c\x07"})
    found = swarm_seen(evil)
    assert found is not None
    assert (found.tasks[0].node, found.tasks[0].said) == ("node-1", "a b")


def swarm_of(*tasks: TaskSeen, replicas: int = 0) -> HostSeen:
    return HostSeen("sw", NOW, "1.9.0", "healthy", now(), swarm=SwarmSeen(tasks, (READY,), replicas))


def test_a_swarm_that_runs_in_part_is_degraded_and_one_that_does_not_is_down() -> None:
    """By the same rules as hosts: red where a check says so."""
    two = (task(), TaskSeen("t2", 2, "", NOW, "pending", NO_NODE))
    none = tuple(msgspec.structs.replace(one, state="pending") for one in two)
    for tasks, health in ((two, "degraded"), (none, "down")):
        host = msgspec.structs.replace(swarm_of(*tasks), health="unhealthy")
        seen = TargetSeen(SHOP, "production", "shop", release=NOW, hosts=(host,), health=health_of(healths_of([host])))
        assert (seen.health, seen.mark) == (health, Mark.FAILED)


@pytest.mark.parametrize(
    ("runs", "well", "health"),
    [(2, 1, "degraded"), (2, 0, "down"), (2, None, "down"), (1, 0, "down"), (1, 1, "degraded"), (1, None, "degraded")],
)
def test_it_counts_how_many_tasks_are_well_where_they_were_asked(runs: int, well: int | None, health: str) -> None:
    """Of two that are wanted. Where nobody has asked them, it is how many run."""
    tasks = [task(), TaskSeen("t2", 2, "", NOW, "running" if runs == 2 else "pending")]
    swarm = SwarmSeen(tuple(tasks), (READY,), 2, well=well)
    host = HostSeen("sw", NOW, "1.9.0", "unhealthy", now(), swarm=swarm)
    assert health_of(healths_of([host])) == health


def test_status_says_how_many_are_well_and_when_a_registry_was_asked(tmp_path: Path) -> None:
    fill_swarmed(tmp_path / "state")
    (tmp_path / "fleet.yml").write_text(fleet_text(tmp_path / "state"))
    fleet, asked = load_fleet(tmp_path / "fleet.yml"), "2026-11-24T13:50:00Z"
    runs = told([(slot, "node-1", SHOP_NOW, "running") for slot in range(1, 7)], replicas=6)
    body = {"kept": [SHOP_BEFORE.id], "detail": "x", "swarm": {**runs, "well": 5}, "asked": {SHOP_BEFORE.id: asked}}
    with Journal.open(tmp_path / "state", operator=LENA) as journal:
        journal.observe([Observation(SHOP, SWARM, now(), SHOP_NOW.id, "1.9.0", "unhealthy", None, body)])
        found = {one["target"]: one for one in status(fleet, journal)["targets"]}
    shop, cart = found[SHOP], found[CART]
    (host,) = shop["hosts"]
    assert (shop["health"], host["swarm"]["running"], host["swarm"]["well"]) == ("degraded", 6, 5)
    assert (shop["ready"]["state"], shop["ready"]["asked"]) == ("ready", asked)
    assert (cart["hosts"][0]["swarm"]["well"], cart["ready"]["asked"]) == (None, None)


def test_hosts_and_tasks_are_counted_together() -> None:
    seen = TargetSeen(
        SHOP, "production", "shop", release=NOW, hosts=(swarm_of(task(), replicas=3), HostSeen("sw-2", NOW))
    )
    assert (seen.on_swarm, seen.counted) == (True, (2, 4)), "one that was not seen yet is one place"
    assert not TargetSeen(SHOP, "production", "shop", release=NOW, hosts=(HostSeen("web-1", NOW),)).on_swarm


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("swarmed")
    fill_swarmed(place / "state")
    (place / "fleet.yml").write_text(fleet_text(place / "state"))
    return place


@pytest.fixture
def fleet(place: Path) -> Fleet:
    return load_fleet(place / "fleet.yml")


@pytest.fixture
def journal(place: Path) -> Iterator[Journal]:
    with Journal.open(place / "state", operator=LENA) as journal:
        yield journal


@pytest.fixture
def picture(fleet: Fleet, journal: Journal) -> Picture:
    return take_picture(fleet, journal)


def test_an_update_is_as_far_as_its_tasks(picture: Picture) -> None:
    seen = picture.targets[AGENT]
    assert seen.moving is not None
    assert (seen.moving.rollout.to_release, seen.moving.progress) == (AGENT_NEXT.id, (0, 1))
    assert progress_of(seen.moving, seen) == (1, 2)
    assert progress_of(seen.moving, None) == (0, 1), "of a target that nobody has seen, the step"


def test_the_way_back_says_the_registry_and_never_the_host(picture: Picture) -> None:
    assert picture.targets[SHOP].back.state == "ready"
    back = picture.targets[CART].back
    assert (back.state, back.release) == ("degraded", CART_BEFORE.id)
    assert back.reasons == (
        f"{SWARM}: the image of v6 can't be fetched: its registry does not answer, or has it no more",
    )


def test_status_tells_tasks_and_nodes(fleet: Fleet, journal: Journal) -> None:
    found = {one["target"]: one for one in status(fleet, journal)["targets"]}
    assert found[PROXY]["hosts"][0]["swarm"] is None
    shop = found[SHOP]
    assert (shop["health"], counted(shop)) == ("degraded", (5, 6))
    swarm = shop["hosts"][0]["swarm"]
    assert (swarm["running"], swarm["wanted"], len(swarm["tasks"])) == (5, 6, 7)
    waits, lost = (one for one in swarm["tasks"] if one["slot"] == 4)
    assert waits == {
        "id": "t4",
        "slot": 4,
        "node": None,
        "release": NOW,
        "version": "1.9.0",
        "state": "pending",
        "said": NO_NODE,
        "wanted": True,
    }
    assert (lost["node"], lost["wanted"]) == ("node-3", False)
    assert swarm["nodes"][0] == {
        "node": "node-1",
        "state": "ready",
        "availability": "active",
        "role": "leader",
        "tasks": 3,
    }
    words = [text for text, _ in swarm_remarks(shop, shop["hosts"][0])]
    assert words[0] == "  = task 1 on node-1: 1.9.0, running"
    assert f"  ~ task 4: 1.9.0, pending: {NO_NODE}" in words
    assert "  ? task 4 on node-3: 1.9.0, running: node-3 is down: it may still run there" in words
    assert words[-2:] == [
        "  x node node-3: down, active, manager, 1 task of production/shop",
        "  ~ node node-4: ready, drain, worker, 0 tasks of production/shop",
    ]
    agent = found[AGENT]
    assert counted(agent) == (1, 2), "one that the rollout has replaced already runs as well"
    assert not [text for text, _ in swarm_remarks(agent, agent["hosts"][0]) if "another release" in text]


class OneAnswer:
    """A connection that gives these facts, and this outcome of a check."""

    host = SWARM

    def __init__(self, facts: TargetFacts, outcome: HealthOutcome | None = None) -> None:
        self._facts = facts
        self._outcome = outcome

    async def check_health(self, *_: object) -> HealthOutcome | None:
        return self._outcome

    async def facts(self, *_: object, **__: object) -> TargetFacts:
        return self._facts


async def test_what_a_look_keeps_of_a_swarm(fleet: Fleet) -> None:
    """How many tasks the release wants is known also where the Swarm has given one up; a manifest that is not sound is no lost image."""

    def manifest(release: Release) -> dict[str, object]:
        return {"release": to_json(release), "id": release.id, "digest": release.digest}

    wanted = msgspec.structs.replace(CART_NOW, health=None)
    facts = TargetFacts(
        wanted.id,
        True,
        (
            KeptRelease(wanted.id, True, manifest(wanted), asked="2026-11-24T14:00:00Z"),
            KeptRelease(CART_BEFORE.id, False, manifest(CART_BEFORE), asked="2026-11-24T13:00:00Z"),
            KeptRelease("v5-0123456789", False, {"id": "v5-0123456789", "release": {}}),
        ),
        1,
        "",
        "",
        (),
        None,
        tasks=(SwarmTask("t1", 1, "node-1", wanted.id, "running"),),
        nodes=(SwarmNode("node-1", "ready", "active", True, True),),
    )
    connection: Any = OneAnswer(facts)
    found = (await look(connection, fleet.targets[CART], {wanted.id: wanted}, 7)).observation
    seen = swarm_seen(found.body["swarm"])
    assert seen is not None
    assert (seen.running(wanted.id), seen.wanted, seen.unfetched) == (1, 2, frozenset({CART_BEFORE.id}))
    assert seen.well is None, "it has no check"
    assert found.body["asked"] == {wanted.id: "2026-11-24T14:00:00Z", CART_BEFORE.id: "2026-11-24T13:00:00Z"}


def task_of(slot: int, release: Release, state: str = "running") -> SwarmTask:
    return SwarmTask(f"t{slot}-{release.version}", slot, "node-1", release.id, state)


WELL, ILL = HealthOutcome(True, "2 tasks: http 200", 0.01), HealthOutcome(False, "there is no service of v7", 0.01)
LOOKS = [
    # its tasks, what the check of the release says that is current, whether tasks of that run, health, detail
    ((task_of(1, CART_NOW), task_of(2, CART_NOW)), WELL, True, "healthy", "2 tasks: http 200"),
    ((task_of(1, CART_NOW), task_of(2, CART_NOW, "pending")), ILL, True, "unhealthy", "there is no service of v7"),
    ((task_of(1, CART_BEFORE), task_of(2, CART_NOW)), ILL, True, "unknown", "an update is under way: 2 of 2 tasks run"),
    (
        (task_of(1, CART_BEFORE, "preparing"), task_of(2, CART_NOW)),
        ILL,
        True,
        "unknown",
        "an update is under way: 1 of 2 tasks run",
    ),
    (
        (task_of(1, CART_BEFORE), task_of(2, CART_BEFORE)),
        ILL,
        False,
        "unknown",
        "an update is under way: 2 of 2 tasks run",
    ),
    (
        (task_of(1, CART_BEFORE, "failed"), task_of(2, CART_BEFORE, "pending")),
        ILL,
        False,
        "unhealthy",
        "the service does not run",
    ),
    (
        (task_of(1, CART_NOW), task_of(2, CART_NOW), task_of(1, CART_BEFORE)),  # another one runs beside it
        ILL,
        True,
        "unhealthy",
        "there is no service of v7",
    ),
]


async def test_a_look_keeps_how_many_tasks_are_well(fleet: Fleet) -> None:
    """Nothing of the sort while an update replaces them: the count is of the old release's."""
    checked = msgspec.structs.replace(CART_NOW, health=SHOP_NOW.health)
    nodes = (SwarmNode("node-1", "ready", "active", True, True),)
    ill = HealthOutcome(False, "1 of 2 tasks are well: http 500", 0.01, 2, 1)
    for second, well in ((checked, 1), (CART_BEFORE, None)):
        tasks = (task_of(1, second), task_of(2, checked))
        facts = TargetFacts(checked.id, True, (), 1, "", "", (), None, tasks=tasks, nodes=nodes)
        connection: Any = OneAnswer(facts, ill)
        found = (await look(connection, fleet.targets[CART], {checked.id: checked}, 7)).observation
        assert found.body["swarm"].get("well") == well


@pytest.mark.parametrize(("tasks", "outcome", "runs", "health", "detail"), LOOKS)
async def test_an_update_under_way_is_no_failure_of_what_it_replaces(
    fleet: Fleet, tasks: tuple[SwarmTask, ...], outcome: HealthOutcome, runs: bool, health: str, detail: str
) -> None:
    """The check is of the release that was current when the update began: it would be red for as long as that goes on, and count failures
    of a service that answers."""
    checked = msgspec.structs.replace(CART_NOW, health=SHOP_NOW.health)
    tasks = tuple(
        msgspec.structs.replace(one, release=checked.id) if one.release == CART_NOW.id else one for one in tasks
    )
    nodes = (SwarmNode("node-1", "ready", "active", True, True),)
    facts = TargetFacts(checked.id, runs, (), 1, "", "", (), None, tasks=tasks, nodes=nodes)
    connection: Any = OneAnswer(facts, outcome)
    found = await look(connection, fleet.targets[CART], {checked.id: checked}, 7)
    assert (found.observation.health, found.observation.body["detail"]) == (health, detail)
    assert (found.probe is None) == (health == "unknown" or not runs), (
        "what says nothing of the service is no sample of it"
    )


async def test_a_host_that_is_no_swarm_keeps_nothing_of_one(fleet: Fleet) -> None:
    connection: Any = OneAnswer(TargetFacts("v4-0123456789", True, (), 1, "", "", (), None))
    assert "swarm" not in (await look(connection, fleet.targets[PROXY], {}, 7)).observation.body
