"""Promise 6 on a Swarm: operators press rollback at once: one wins, the others are told who, and each task is made once.

Seen to fail without the refusal while another rollback is active: they supersede one another.
"""

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import ENDED, RolloutState
from quarterdeck.rollouts.control import Control
from tests.driver import TARGET
from tests.sshd import wait_for
from tests.swarm_fleet import SwarmFleet
from tests.trust.recording import Promises
from tests.trust.swarm_truth import REPLICAS, all_of, tasks_since

pytestmark = [pytest.mark.trust(6), pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


def test_four_rollbacks_at_once(harbour: SwarmFleet, full: bool, promise: Promises) -> None:
    harbour.deploy("1")
    for _ in range(3 if full else 1):
        harbour.quiet(harbour.deploy("2", arguments=["--force", "--reason", "again"])["rollout"])
        before = harbour.every_task()
        with harbour.journal() as journal:
            control = Control(harbour.fleet(), journal, current_operator())
            racers = [control.arm_rollback(TARGET, to="1").id for _ in range(4)]
            wait_for(lambda: all(journal.rollout(racer).plan for racer in racers), "all are armed", 120)  # noqa: B023
            for racer in racers:
                journal.ask(racer, "go")
            wait_for(lambda: all(journal.rollout(racer).state in ENDED for racer in racers), "all have ended", 240)  # noqa: B023
            ended = [journal.rollout(racer) for racer in racers]
        winners = [rollout for rollout in ended if rollout.state is RolloutState.SUCCEEDED]
        losers = [rollout for rollout in ended if rollout.state is RolloutState.CANCELLED]
        assert (len(winners), len(losers)) == (1, 3), [rollout.outcome for rollout in ended]
        for loser in losers:
            assert f"rollout {winners[0].id} " in loser.outcome
            assert current_operator().label in loser.outcome
        harbour.quiet(winners[0].id)
        assert harbour.versions() == all_of("1")
        assert tasks_since(harbour, before, "1") == REPLICAS
        promise(6).count("rounds of 4 operators on a Swarm")
