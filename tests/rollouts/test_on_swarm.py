"""Whole rollouts on a real Swarm of three nodes, by the real command: what is said, and what the Swarm runs."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState, StepState
from quarterdeck.rollouts.control import Control
from tests.driver import TARGET
from tests.swarm import Swarm
from tests.swarm_fleet import HEALTH, NAME, SwarmFleet, swarm_fleet_in
from tests.swarm_in_motion import change_service, wait
from tests.trust.recording import Promises

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture
def harbour(swarm: Swarm, tmp_path: Path) -> Iterator[SwarmFleet]:
    with swarm_fleet_in(tmp_path, swarm) as made:
        yield made


class Held:
    """A rollout from 1 to 2 that stands at its first task, which runs and is not well until ``go``: however slow this process is, it is not
    over before."""

    def __init__(self, harbour: SwarmFleet) -> None:
        self._well = harbour.directory / "well"  # a file in it: that version is
        self._well.mkdir()
        self._well.joinpath("1").touch()
        harbour.container["volumes"] = [f"{self._well}:/well:ro"]
        harbour.write(
            health={"command": {"run": 'test -e "/well/$QD_VERSION"'}, "interval": "200ms", "healthy_deadline": "200s"}
        )
        harbour.deploy("1")
        self.before = {one["ID"] for one in harbour.tasks()}
        self.rollout = harbour.begin("deploy", "2")
        wait(lambda: harbour.versions().count("2") == 1, "a task of 2 runs", 120)

    def go(self) -> None:
        for version in ("2", "3"):
            self._well.joinpath(version).touch()


def cached(harbour: SwarmFleet) -> tuple[str, int, int]:
    """Its version, how many tasks run, and how many there should be, by the journal alone."""
    status = json.loads(harbour.qd("status", TARGET, "--cached", "--json", status=0).stdout)
    (host,) = status["targets"][0]["hosts"]
    return host["version"], host["swarm"]["running"], host["swarm"]["wanted"]


@pytest.mark.trust(23)
def test_deploys_what_is_bad_is_taken_back_and_the_way_back_leads_two_releases_back(
    harbour: SwarmFleet, promise: Promises
) -> None:
    """Promise 23."""
    for version in ("1", "2", "3"):
        done = harbour.deploy(version)
        assert (done["status"], {host["version"] for host in done["hosts"]}) == ("succeeded", {version})
        assert harbour.versions() == [version] * 3
        assert cached(harbour) == (version, 3, 3), "nobody has looked since: the worker has"
    harbour.write(health={**HEALTH, "healthy_deadline": "3s"})
    bad = harbour.deploy("bad", status=3)
    assert bad["status"] == "rolled_back"
    assert cached(harbour) == ("3", 3, 3)
    assert re.search(r"harbour: .*0 of 1 tasks of bad are well", bad["reason"])
    assert harbour.versions() == ["3"] * 3
    crashed = harbour.deploy("crash", status=3)
    assert crashed["status"] == "rolled_back"
    assert re.search(r"a task of crash-\w+ on node-\d ended with status 7: oops", crashed["reason"])
    assert harbour.versions() == ["3"] * 3
    one = next(
        kept["release"]
        for kept in json.loads(harbour.qd("releases", TARGET, "--json", status=0).stdout)["releases"]
        if kept["version"] == "1"
    )
    back = harbour.rollback(arguments=["--to", one])
    assert back["status"] == "succeeded"
    assert cached(harbour) == ("1", 3, 3)
    assert harbour.versions() == ["1"] * 3
    assert harbour.spec()["UpdateConfig"]["FailureAction"] == "pause", "Swarm takes nothing back by itself"
    status = json.loads(harbour.qd("status", TARGET, "--json", status=0).stdout)
    (host,) = status["targets"][0]["hosts"]
    assert (host["version"], host["swarm"]["running"], host["swarm"]["wanted"]) == ("1", 3, 3)
    promise(23).count("hosts that run something else", 2)


@pytest.mark.trust(1, 5)
def test_a_worker_that_is_killed_in_the_middle(harbour: SwarmFleet, promise: Promises) -> None:
    """Promises 1 and 5: no lock is left here or there. The update stands still without it; a rollback needs no other step than those two
    keys."""
    held = Held(harbour)
    harbour.kill_worker(held.rollout)
    held.go()
    time.sleep(6.0)  # Swarm itself would have replaced all of them by then
    assert harbour.running() == ["mixed"]
    back = harbour.rollback()
    assert back["status"] == "succeeded"
    assert harbour.versions() == ["1"] * 3
    promise(1).count("kills in the middle of a Swarm's update")
    promise(5).count("workers killed in the middle of a Swarm's update")


@pytest.mark.trust(1)
def test_a_worker_that_takes_over_goes_on(harbour: SwarmFleet, promise: Promises) -> None:
    """Promise 1."""
    held = Held(harbour)
    harbour.kill_worker(held.rollout)
    harbour.until(held.rollout, harbour.worker_has_left)
    held.go()
    harbour.qd("resume", str(held.rollout), status=0)
    assert harbour.ended(held.rollout, 120).state is RolloutState.SUCCEEDED
    assert harbour.versions() == ["2"] * 3
    promise(1).count("kills in the middle of a Swarm's update")


@pytest.mark.trust(24)
def test_an_abort_in_the_middle_leaves_what_was_not_touched(harbour: SwarmFleet, promise: Promises) -> None:
    """Promise 24."""
    held = Held(harbour)
    harbour.qd("abort", str(held.rollout), status=3)
    assert harbour.ended(held.rollout, 120).state is RolloutState.ROLLED_BACK
    assert harbour.versions() == ["1"] * 3
    assert len(held.before & {one["ID"] for one in harbour.tasks()}) == 2
    promise(24).count("aborts on a Swarm")


@pytest.mark.trust(6, 27)
def test_two_operators(harbour: SwarmFleet, promise: Promises) -> None:
    """Promises 6 and 27. The second one is told who is at work. On another bastion, where there is no journal of it, ``qd adopt`` reads
    the Swarm, and the way back is open."""
    held = Held(harbour)
    refused = harbour.qd("deploy", TARGET, "3", "--wait")
    assert refused.returncode != 0
    assert f"rollout {held.rollout}" in refused.stderr
    held.go()
    assert harbour.ended(held.rollout, 120).state is RolloutState.SUCCEEDED
    assert harbour.versions() == ["2"] * 3
    harbour.until(held.rollout, harbour.worker_has_left)
    harbour.state.rename(harbour.directory / "another bastion's")
    told = harbour.qd("adopt", TARGET, "--json", status=0).stdout
    assert "2-" in told
    back = harbour.rollback()
    assert back["status"] == "succeeded"
    assert harbour.versions() == ["1"] * 3
    promise(6).count("operators refused beside a deploy of another one")
    promise(27).count("bastions lost")


@pytest.mark.trust(23)
def test_what_somebody_puts_there_while_it_is_watched_is_no_success(harbour: SwarmFleet, promise: Promises) -> None:
    """Promise 23. Another image that is as healthy, by ``docker service update``: all labels stay, and name the release. Seen to fail where
    images are not compared at the end."""
    other = harbour.swarm.image("shop/other", "1", files={"/www/version": "2\n"})
    harbour.deploy("1")
    before = {one["Spec"]["ContainerSpec"]["Image"] for one in harbour.tasks()}
    harbour.write(strategy={"canary": {"steps": [{"set_weight": 100}, {"bake": {"duration": "15s"}}]}})
    rollout = harbour.begin("deploy", "2")
    wait(lambda: harbour.versions() == ["2"] * 3, "it runs, and is watched", 120)
    with harbour.journal(read_only=True) as journal:
        switched = "the switch is done"
        wait(
            lambda: all(one.state is StepState.DONE for one in journal.steps(rollout) if one.action == "switch"),
            switched,
        )

    def change(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = other
        spec["UpdateConfig"] |= {"Delay": 0, "Parallelism": 0}

    change_service(harbour.swarm, NAME, change)
    ended = harbour.ended(rollout, 200)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert "harbour: a task in the name of 2-" in ended.outcome
    assert "shop/other" in ended.outcome
    assert {one["Spec"]["ContainerSpec"]["Image"] for one in harbour.tasks()} == before
    promise(23).count("Swarms changed by hand")


@pytest.mark.trust(19)
def test_what_was_approved_runs_though_its_tag_is_moved(harbour: SwarmFleet, promise: Promises) -> None:
    """Promise 19: the digest that was shown is what runs, also where the tag leads elsewhere by then, and what a rollback brings back."""
    swarm = harbour.swarm
    harbour.write(artifact={"image": f"{swarm.registry}/shop/moving"})
    before = swarm.image("shop/moving", "1")
    with harbour.journal() as journal:
        control = Control(harbour.fleet(), journal, current_operator())
        rollout = control.arm_deploy(TARGET, "1").id
        wait(lambda: journal.rollout(rollout).plan, "it is armed")
        after = swarm.image("shop/moving", "1", files={"/www/moved": "yes\n"})
        assert after != before
        control.go(rollout)
    assert harbour.ended(rollout, 120).state is RolloutState.SUCCEEDED
    assert images(harbour) == {before}
    harbour.deploy("1", arguments=["--force", "--reason", "the tag was moved"])
    assert images(harbour) == {after}
    harbour.rollback()
    assert images(harbour) == {before}
    promise(19).count("tags moved after they were approved", 2)


def images(harbour: SwarmFleet) -> set[str]:
    """Of the tasks that run: names with a digest, by which nodes fetch them."""
    return {one["Spec"]["ContainerSpec"]["Image"] for one in harbour.tasks()}


def test_recreate_stops_all_before_it_starts_any(harbour: SwarmFleet) -> None:
    # Each check of a task is three events, of which an engine remembers 256.
    harbour.write(strategy={"recreate": {}}, health={**HEALTH, "interval": "1s"})
    harbour.deploy("1")
    begin = int(time.time())
    assert harbour.deploy("2")["status"] == "succeeded"
    assert harbour.versions() == ["2"] * 3
    ended, begun = happened(harbour, "die", "1", begin), happened(harbour, "start", "2", begin)
    assert (len(ended), len(begun)) == (3, 3)
    assert max(ended) < min(begun)


def happened(harbour: SwarmFleet, what: str, version: str, begin: int) -> list[int]:
    """When, of each container of the version, by the engines' own word: nanoseconds. ``begin``: seconds, from when on."""
    found: list[int] = []
    for node in harbour.swarm.nodes:
        filters = {"type": "container", "event": what, "label": f"com.docker.swarm.service.name={NAME}"}
        told = harbour.swarm.api(node.index).events(
            since=begin, until=int(time.time()) + 1, filters=filters, decode=True
        )
        events: list[dict[str, Any]] = list(told)
        labels = ((one, one["Actor"]["Attributes"]["dev.quarterdeck.release"]) for one in events)
        found += [one["timeNano"] for one, release in labels if release.rpartition("-")[0] == version]
    return found


def test_hooks_run_once_in_a_task_of_their_own(harbour: SwarmFleet) -> None:
    harbour.write(hooks={"before": [{"run": 'echo "migrating to $QD_VERSION"'}]})
    done = harbour.deploy("1")
    assert done["status"] == "succeeded"
    assert "migrating to 1" in harbour.qd("show", "1", "--json", status=0).stdout
    names = [one["Spec"]["Name"] for one in harbour.swarm.any_api.services()]
    assert not [one for one in names if "-hook-" in one]
    harbour.write(hooks={"before": [{"run": "echo no; exit 3"}]})
    refused = harbour.deploy("2", status=3)
    assert "ended with 3: no" in refused["reason"]
    assert harbour.versions() == ["1"] * 3


def test_a_first_release_that_is_bad_leaves_nothing_running(harbour: SwarmFleet) -> None:
    harbour.write(health={**HEALTH, "healthy_deadline": "3s"})
    done = harbour.deploy("bad", status=3)
    assert "nothing" in done["reason"]
    assert harbour.versions() == []


def test_the_doctor_asks_the_swarm(harbour: SwarmFleet) -> None:
    told = harbour.qd("doctor").stdout
    assert "connection, swarm, 1 target" in told
