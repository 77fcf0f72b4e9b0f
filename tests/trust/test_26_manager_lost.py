"""Promise 26: a manager of a Swarm that is lost, or hangs, in the middle of a rollout, the leader or another one: the rollout goes on, or
it is taken back, or it is told what failed; success only where every task is of its release. Without a majority nothing is changed.
"""

import random
import time

import pytest

from quarterdeck.history.records import RolloutState
from tests.driver import TARGET
from tests.sshd import wait_for
from tests.swarm_fleet import SwarmFleet
from tests.trust.recording import Promises
from tests.trust.restarted import is_done
from tests.trust.swarm_truth import OTHER, all_of

pytestmark = [pytest.mark.trust(26), pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(1500)]

# Seconds. What another node reports may be held up by a manager that hangs, until it is thawed: the way there and the way back are then
# both given up after 122 s in which nothing came forward, and the managers have chosen a leader before.
LONGEST = 400.0


@pytest.mark.parametrize("how", ["lost", "hangs"])
def test_a_manager_is_gone_at_any_moment(harbour: SwarmFleet, how: str, full: bool, promise: Promises) -> None:
    """With all that runs on it, where it is lost: the machine. It is back at once, or after the rollout's end."""
    harbour.deploy("1")
    chance = random.Random(how)
    runs, swarm = "1", harbour.swarm
    for number in range(2 if full else 1):
        version = OTHER[runs]
        leader = swarm.leader
        victim = leader if number % 2 == 0 else (leader + 1) % len(swarm.nodes)
        rollout = harbour.begin("deploy", version, force=True, reason="again")
        harbour.worker_pid(rollout)
        time.sleep(chance.uniform(0.5, 4.0))  # the moment, not a wait for something
        at_once = number % 2 == 1
        go, come = (swarm.stop_node, swarm.start_node) if how == "lost" else (swarm.freeze, swarm.thaw)
        go(victim)
        if at_once:
            come(victim)
        ended = harbour.ended(rollout, LONGEST)
        if not at_once:
            come(victim)
        if "came forward" in ended.outcome and not at_once:
            assert swarm.nodes[victim].hostname in ended.outcome, ended.outcome
        harbour.quiet(rollout)
        swarm.wait_until_whole()
        wait_for(lambda: len(harbour.versions()) == len(swarm.nodes), "as many tasks run as are to", 60)
        if is_done(harbour, ended, [version], [runs], ["harbour"], promise(26)):
            runs = version
        if harbour.versions() != all_of(runs):
            harbour.deploy(runs, arguments=["--force", "--reason", "put right"])
        assert harbour.versions() == all_of(runs)
        promise(26).count("managers lost" if how == "lost" else "managers that hung")


def test_without_a_majority_nothing_is_called_a_success(harbour: SwarmFleet, promise: Promises) -> None:
    """Two of three hang. The rollback says which host can't be asked; when they are back nothing was changed, and it leads back."""
    swarm = harbour.swarm
    harbour.deploy("1")
    harbour.deploy("2")
    gone = [swarm.leader, (swarm.leader + 1) % len(swarm.nodes)]
    for index in gone:
        swarm.freeze(index)
    told = harbour.qd("rollback", TARGET, "--yes", "--wait")
    assert told.returncode in (4, 6), told.stderr
    assert "harbour" in told.stderr
    for index in gone:
        swarm.thaw(index)
    swarm.wait_until_whole()
    # Nodes that were counted as lost take tasks again by and by.
    wait_for(lambda: harbour.versions() == all_of("2"), "every task is of the release before", 60)
    assert harbour.rollback()["status"] == "succeeded"
    assert harbour.versions() == all_of("1")
    promise(26).count("majorities lost")


def test_a_majority_that_is_lost_in_the_middle_and_comes_back(harbour: SwarmFleet, promise: Promises) -> None:
    """For longer than a manager has to answer: the rollout has waited, or has told what failed."""
    swarm = harbour.swarm
    harbour.deploy("1")
    rollout = harbour.begin("deploy", "2")
    wait_for(lambda: "2" in harbour.versions(), "a task of 2 runs", 60)
    gone = [swarm.leader, (swarm.leader + 1) % len(swarm.nodes)]
    for index in gone:
        swarm.freeze(index)
    time.sleep(15.0)  # how long they are away
    with harbour.journal(read_only=True) as journal:
        assert journal.rollout(rollout).state is not RolloutState.SUCCEEDED
    for index in gone:
        swarm.thaw(index)
    ended = harbour.ended(rollout, LONGEST)
    harbour.quiet(rollout)
    swarm.wait_until_whole()
    wait_for(lambda: len(harbour.versions()) == len(swarm.nodes), "as many tasks run as are to", 60)
    is_done(harbour, ended, ["2"], ["1"], ["harbour"], promise(26))
    promise(26).count("majorities lost")
