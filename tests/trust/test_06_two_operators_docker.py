"""Promise 6 on Docker engines: operators press rollback at once: one wins, the others are told who, and each container starts once.

Seen to fail without the refusal while another rollback is active.
"""

import time

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import ENDED, RolloutState
from quarterdeck.rollouts.control import Control
from tests.docker_fleet import DockerField
from tests.driver import TARGET
from tests.sshd import wait_for
from tests.trust.docker_truth import starts_on_each
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(6), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(600)]


def test_four_rollbacks_at_once(docks: DockerField, full: bool, promise: Promises) -> None:
    docks.deploy("1")
    for _ in range(15 if full else 1):
        docks.quiet(docks.deploy("2", arguments=["--force", "--reason", "again"])["rollout"])
        since = time.time()
        with docks.journal() as journal:
            control = Control(docks.fleet(), journal, current_operator())
            racers = [control.arm_rollback(TARGET, to="1").id for _ in range(4)]
            wait_for(lambda: all(journal.rollout(racer).plan for racer in racers), "all are armed", 180)  # noqa: B023
            for racer in racers:
                journal.ask(racer, "go")
            wait_for(lambda: all(journal.rollout(racer).state in ENDED for racer in racers), "all have ended", 180)  # noqa: B023
            ended = [journal.rollout(racer) for racer in racers]
        winners = [rollout for rollout in ended if rollout.state is RolloutState.SUCCEEDED]
        losers = [rollout for rollout in ended if rollout.state is RolloutState.CANCELLED]
        assert (len(winners), len(losers)) == (1, 3), [rollout.outcome for rollout in ended]
        for loser in losers:
            assert f"rollout {winners[0].id} " in loser.outcome
            assert current_operator().label in loser.outcome
        assert docks.running() == docks.everywhere("1")
        docks.quiet(winners[0].id)
        assert starts_on_each(docks, since) == [1, 1]
        promise(6).count("rounds of 4 operators on engines")
