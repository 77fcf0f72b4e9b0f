"""Requests of operators: pressed twice or late they do nothing, and what became of them is told."""

import pytest

from quarterdeck.history.errors import EpochLost, RequestRefused
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState

TARGET = "production/api"


def test_a_request_is_open_until_it_is_answered(journal: Journal, other: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    asked = other.ask(rollout, "go", arguments={"plan_hash": "abc"})
    assert (asked.by, asked.uid, asked.state, asked.arguments) == ("bob@bastion-2", 1002, "open", {"plan_hash": "abc"})
    assert journal.open_requests(rollout) == [asked]
    journal.answer(asked.id, "done", "gone")
    assert journal.open_requests(rollout) == []
    assert (other.request(asked.id).state, other.request(asked.id).answer) == ("done", "gone")
    with pytest.raises(RequestRefused, match="has been answered"):
        journal.answer(asked.id, "refused", "no")
    assert [event.kind for event in journal.events(rollout=rollout)] == ["requested", "request", "answer"]


def test_pressing_twice_is_one_request_but_two_operators_make_two(journal: Journal, other: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    first = journal.ask(rollout, "pause", step=3)
    assert journal.ask(rollout, "pause", step=3) == first
    assert journal.ask(rollout, "pause", step=4) != first
    assert other.ask(rollout, "pause", step=3) != first
    assert len(journal.open_requests(rollout)) == 3


def test_a_request_after_the_end_is_refused(journal: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    journal.set_state(rollout, None, RolloutState.CANCELLED)
    with pytest.raises(RequestRefused, match="has ended: cancelled"):
        journal.ask(rollout, "abort")
    with pytest.raises(RequestRefused, match="no request 5"):
        journal.request(5)


def test_a_worker_that_lost_its_epoch_can_not_answer(journal: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    epoch = journal.begin(rollout, preempt="nothing")
    asked = journal.ask(rollout, "abort")
    journal.take_over(rollout)
    with pytest.raises(EpochLost):
        journal.answer(asked.id, "done", "aborted", epoch)
    assert journal.open_requests(rollout) == [asked]
