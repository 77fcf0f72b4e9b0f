"""Promise 6: operators press rollback at once: one wins, the others are told who, and each host changes once.

Taken out: without the refusal while another rollback is active, several of them would begin at once; without the check of the plan's
age, one that comes late would begin after the winner.
"""

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED, Rollout, RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import TARGET, Field
from tests.sshd import wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(6), pytest.mark.sshd, pytest.mark.timeout(600)]


def test_four_rollbacks_at_once(field: Field, full: bool, promise: Promises) -> None:
    field.deploy("v1")
    for number in range(50 if full else 3):
        field.deploy("v2", arguments=["--force", "--reason", "again"])
        before = [len(field.starts(host)) for host in field.hosts.hosts]
        with field.journal() as journal:
            control = Control(field.fleet(), journal, current_operator())
            racers = [control.arm_rollback(TARGET, to="v1").id for _ in range(4)]
            wait_for(lambda: all(journal.rollout(racer).plan for racer in racers), "all are armed")  # noqa: B023
            # In every other round one of them presses when it is all over: what that operator saw is no more.
            late = racers[-1:] if number % 2 else []
            for racer in racers[: len(racers) - len(late)]:
                journal.ask(racer, "go")
            if late:
                wait_for(lambda: _winners(journal, racers), "one has won")  # noqa: B023
                journal.ask(late[0], "go")
            wait_for(lambda: all(journal.rollout(racer).state in ENDED for racer in racers), "all have ended")  # noqa: B023
            ended = [journal.rollout(racer) for racer in racers]
            winners = _winners(journal, racers)
        losers = [rollout for rollout in ended if rollout.state is RolloutState.CANCELLED]
        assert len(winners) == 1
        assert len(losers) == 3
        for loser in losers:
            assert f"rollout {winners[0].id} " in loser.outcome
            assert current_operator().label in loser.outcome
        assert field.running() == ["v1"] * len(field.hosts)
        assert [len(field.starts(host)) for host in field.hosts.hosts] == [count + 1 for count in before]
        promise(6).count("rounds of 4 operators over SSH")


def _winners(journal: Journal, racers: list[int]) -> list[Rollout]:
    return [found for racer in racers if (found := journal.rollout(racer)).state is RolloutState.SUCCEEDED]
