"""Requests of operators: pressed twice or late they do nothing, and what became of them is told."""

import pytest

from quarterdeck.history.errors import EpochLost, RequestRefused, Withdrawn
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


def test_a_cancel_or_abort_that_comes_before_the_beginning_is_heard_by_it(journal: Journal, other: Journal) -> None:
    for kind in ("cancel", "abort"):
        rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
        journal.ask(rollout, "go")
        asked = other.ask(rollout, kind)
        with pytest.raises(Withdrawn, match="bob@bastion-2") as caught:
            journal.begin(rollout, preempt="nothing")
        assert caught.value.request == asked
        assert (journal.rollout(rollout).state, journal.rollout(rollout).epoch) == (RolloutState.ARMED, 0)
        assert journal.active(TARGET) is None


def test_what_makes_no_sense_any_more_is_refused_at_the_moment_of_asking(journal: Journal, other: Journal) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    journal.begin(rollout, preempt="nothing")
    with pytest.raises(RequestRefused, match="is running now: there is nothing to cancel"):
        other.ask(rollout, "cancel", states={RolloutState.ARMED})
    assert journal.open_requests(rollout) == []


@pytest.mark.parametrize(
    ("end", "kind", "became", "answer"),  # none may be named as a fixture is: it would take its place
    [
        (
            RolloutState.SUCCEEDED,
            "abort",
            "refused",
            f"it had succeeded already; to take it back: qd rollback {TARGET}",
        ),
        (RolloutState.ROLLED_BACK, "abort", "done", "the rollout has ended: rolled back"),
        (RolloutState.FAILED, "pause", "refused", "the rollout had ended: failed"),
    ],
)
def test_an_end_answers_what_is_still_open(
    journal: Journal, other: Journal, end: RolloutState, kind: str, became: str, answer: str
) -> None:
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY).id
    epoch = journal.begin(rollout, preempt="nothing")
    asked = other.ask(rollout, kind)
    journal.set_state(rollout, epoch, end)
    told = journal.request(asked.id)
    assert (told.state, told.answer) == (became, answer)
    assert journal.events(rollout=rollout, kind="answer")[-1].body["answer"] == answer


def test_the_end_of_a_rollout_whose_worker_is_dead_answers_too(journal: Journal, other: Journal) -> None:
    armed = journal.arm(TARGET, RolloutKind.DEPLOY)
    asked = other.ask(armed.id, "go")
    journal.mark_orphaned(armed, lambda: False)
    assert journal.request(asked.id).state == "refused"
    orphan = journal.arm(TARGET, RolloutKind.DEPLOY).id
    journal.begin(orphan, preempt="nothing")
    asked = other.ask(orphan, "pause")
    journal.mark_orphaned(journal.rollout(orphan), lambda: False)
    assert journal.request(asked.id).state == "open"  # it may be resumed, and then heeds it
    rollback = other.arm(TARGET, RolloutKind.ROLLBACK)
    other.begin(rollback.id, preempt="everything")
    told = journal.request(asked.id)
    assert told.state == "refused"
    assert f"superseded by rollout {rollback.id}" in told.answer
