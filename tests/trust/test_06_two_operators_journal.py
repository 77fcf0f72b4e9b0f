"""Promise 6, the journal's part: of operators who press rollback at once one wins, and the others are told who.

Seen to fail without the refusal while another rollback is active: all four win.
"""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.history.errors import TargetBusy
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Operator, RolloutKind, RolloutState
from tests.history.forks import Fork, Report
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(6), pytest.mark.usefixtures("patient_journal")]

RACERS, ROUNDS = 4, 50


def target(number: int) -> str:
    return f"production/service-{number}"


def test_one_rollback_wins_and_all_losers_are_told_who(tmp_path: Path, promise: Promises) -> None:
    state = tmp_path / "state"
    with Journal.open(state) as journal:
        for number in range(ROUNDS):
            deploy = journal.arm(target(number), RolloutKind.DEPLOY, to_release="v2").id
            journal.begin(deploy, preempt="nothing")
    start = multiprocessing.get_context("fork").Barrier(RACERS)

    def racer(name: str) -> Callable[[Report], None]:
        def race(report: Report) -> None:
            with Journal.open(state, operator=Operator(name, 1000, None, "bastion")) as journal:
                for number in range(ROUNDS):
                    mine = journal.arm(target(number), RolloutKind.ROLLBACK, to_release="v1").id
                    start.wait(60)
                    try:
                        report(f"{number} won {mine} {journal.begin(mine, preempt='deploys')}")
                    except TargetBusy as busy:
                        told = busy.active.requested_by if busy.active.requested_by in str(busy) else "nobody"
                        report(f"{number} lost {busy.active.id} {told}")

        return race

    racers = [Fork(racer(f"operator-{number}")) for number in range(RACERS)]
    told: list[list[list[str]]] = [[line.split() for line in one.rest()] for one in racers]
    assert [one.wait() for one in racers] == [0] * RACERS
    with Journal.open(state) as journal:
        for number in range(ROUNDS):
            answers = [lines[number][1:] for lines in told]
            winners = [int(answer[1]) for answer in answers if answer[0] == "won"]
            assert len(winners) == 1, f"round {number}: {answers}"
            active = journal.active(target(number))
            assert active is not None
            assert active.id == winners[0]
            assert active.epoch == 2
            lost = [answer[1:] for answer in answers if answer[0] == "lost"]
            assert lost == [[str(active.id), active.requested_by]] * (RACERS - 1)
            states = sorted(rollout.state for rollout in journal.rollouts(target(number)))
            assert states == [RolloutState.ARMED] * (RACERS - 1) + [RolloutState.RUNNING, RolloutState.SUPERSEDED]
            promise(6).count(f"rounds of {RACERS} processes at the journal")
