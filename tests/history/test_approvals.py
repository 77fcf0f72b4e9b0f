"""Words about plans: bound to the plan's hash, counted once, refused where nothing waits; in the chain."""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history import migrate
from quarterdeck.history.audit import verify
from quarterdeck.history.errors import EpochLost, RequestRefused, TargetBusy
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Operator, RolloutKind, RolloutState, StepState
from tests.history.conftest import ALICE
from tests.history.forks import Fork, Report

pytestmark = pytest.mark.usefixtures("patient_journal")

WANTED: dict[str, Any] = {"count": 2, "from": None, "prevent_self_review": True, "timeout": 3600.0}


def queue(journal: Journal, plan_hash: str = "a" * 64, **how: Any) -> int:
    rollout = journal.arm("production/web", RolloutKind.DEPLOY).id
    journal.set_plan(rollout, {"steps": []}, plan_hash, to_release="v2-0123456789", from_release=None)
    journal.want_approvals(rollout, "waits", WANTED, **how)
    return rollout


def test_a_word_is_about_the_plan_that_was_shown(journal: Journal, other: Journal) -> None:
    rollout = queue(journal)
    with pytest.raises(RequestRefused, match="has changed since it was shown"):
        other.give_word(rollout, "b" * 64, "approved")
    word = other.give_word(rollout, "a" * 64, "approved", "CHG-812")
    assert (word.person, word.by, word.verdict, word.reason) == ("bob", "bob@bastion-2", "approved", "CHG-812")
    assert other.give_word(rollout, "a" * 64, "approved") == word, "said twice, it counts once"
    assert other.give_word(rollout, "a" * 64, "rejected").id != word.id, "one may think better of it"

    journal.set_plan(rollout, {"steps": [1]}, "b" * 64, to_release="v2-0123456789", from_release=None)
    with pytest.raises(RequestRefused, match="has changed since it was shown"):
        other.give_word(rollout, "a" * 64, "approved")
    other.give_word(rollout, "b" * 64, "approved")
    assert [word.plan_hash[0] for word in journal.approvals(rollout)] == ["a", "a", "b"]
    journal.begin(rollout, preempt="nothing")
    with pytest.raises(RequestRefused, match="is running: it does not wait"):
        other.give_word(rollout, "b" * 64, "approved")
    assert verify(journal).ok


def test_a_changed_plan_is_not_waited_for_any_longer_than_the_first(journal: Journal) -> None:
    rollout = queue(journal)
    first = journal.wanted_approvals(rollout)
    journal.set_plan(rollout, {"steps": [1]}, "b" * 64, to_release="v2-0123456789", from_release=None)
    journal.want_approvals(rollout, "waits anew", WANTED)
    second = journal.wanted_approvals(rollout)
    assert first is not None
    assert second is not None
    assert {name: first[name] for name in ("until", "boot", "until_boottime")} == {
        name: second[name] for name in ("until", "boot", "until_boottime")
    }
    assert (first["plan_hash"], second["plan_hash"]) == ("a" * 64, "b" * 64)
    assert journal.rollout(rollout).outcome == "waits anew"


def test_one_waits_on_a_target_and_only_another_that_waits_makes_way(journal: Journal) -> None:
    first = queue(journal)
    with pytest.raises(TargetBusy):
        queue(journal)
    second = queue(journal, supersede=True)
    assert journal.rollout(first).state is RolloutState.SUPERSEDED
    journal.begin(second, preempt="nothing")
    with pytest.raises(TargetBusy):
        queue(journal, supersede=True)
    assert journal.rollout(second).state is RolloutState.RUNNING


def test_a_rollback_takes_the_place_of_what_waits(journal: Journal) -> None:
    waits = queue(journal)
    back = journal.arm("production/web", RolloutKind.ROLLBACK).id
    journal.begin(back, preempt="deploys")
    assert journal.rollout(waits).state is RolloutState.SUPERSEDED
    with pytest.raises(RequestRefused, match="is superseded: it does not wait"):
        journal.give_word(waits, "a" * 64, "approved")


def test_one_that_waits_and_lost_its_worker_goes_on_waiting(journal: Journal) -> None:
    waits = queue(journal)
    journal.set_worker(waits, 2**22 + 1, 1, "boot")
    assert journal.mark_orphaned(journal.rollout(waits), lambda: False).state is RolloutState.QUEUED


def test_many_who_say_it_at_once_are_each_counted_once(state: Path) -> None:
    with Journal.open(state, operator=ALICE) as journal:
        rollout = queue(journal)

    def say(number: int) -> Any:
        def run(report: Report) -> None:
            who = Operator(f"person-{number % 4}", 2000 + number % 4, None, "bastion-2")
            with Journal.open(state, operator=who) as mine:
                report(str(mine.give_word(rollout, "a" * 64, "approved").id))

        return run

    forks = [Fork(say(number)) for number in range(12)]
    said = [fork.line() for fork in forks]
    assert [fork.wait() for fork in forks] == [0] * 12
    with Journal.open(state, operator=ALICE) as journal:
        words = journal.approvals(rollout)
        assert sorted(word.person for word in words) == [f"person-{number}" for number in range(4)]
        assert {int(id) for id in said} == {word.id for word in words}
        assert len(journal.events(rollout=rollout, kind="approved")) == 4
        assert verify(journal).ok


def test_a_word_at_a_step_is_for_that_step_and_its_time_is_counted_once(journal: Journal, other: Journal) -> None:
    rollout = queue(journal)
    other.give_word(rollout, "a" * 64, "approved", "begin")
    epoch = journal.begin(rollout, preempt="nothing")
    journal.add_steps(rollout, epoch, [NewStep(seq, "(here)", "approval", seq, {}) for seq in (1, 2)])
    with pytest.raises(RequestRefused, match="does not wait for anybody's word at step 1"):
        other.give_word(rollout, "a" * 64, "approved", step=1)
    journal.start_steps(rollout, epoch, [1])
    with pytest.raises(RequestRefused, match="does not wait for anybody's word at step 1"):
        other.give_word(rollout, "a" * 64, "approved", step=1)  # nobody has said yet whose word counts
    first = journal.want_approvals_at(rollout, epoch, 1, WANTED)
    assert journal.want_approvals_at(rollout, epoch, 1, {**WANTED, "timeout": 9.0}) == first
    assert journal.wanted_approvals(rollout) != first
    word = other.give_word(rollout, "a" * 64, "approved", "go on", step=1)
    assert (word.step, word.reason) == (1, "go on"), "another word than that about beginning"
    assert other.give_word(rollout, "a" * 64, "approved", step=1) == word
    with pytest.raises(RequestRefused, match="is running: it does not wait"):
        other.give_word(rollout, "a" * 64, "approved")
    with pytest.raises(RequestRefused, match="does not wait for anybody's word at step 2"):
        other.give_word(rollout, "a" * 64, "approved", step=2)
    with pytest.raises(EpochLost):
        journal.want_approvals_at(rollout, epoch - 1, 1, WANTED)
    journal.end_step(rollout, epoch, 1, StepState.FAILED, {})
    with pytest.raises(RequestRefused, match="does not wait for anybody's word at step 1"):
        other.give_word(rollout, "a" * 64, "rejected", step=1)
    journal.retry_step(rollout, epoch, 1)
    journal.start_steps(rollout, epoch, [1])
    again = journal.want_approvals_at(rollout, epoch, 1, {**WANTED, "timeout": 0.0})
    assert again["op_id"] != first["op_id"], "an operator's retry has a time of its own"
    with pytest.raises(RequestRefused, match="the time for a word at step 1 of rollout 1 is over"):
        other.give_word(rollout, "a" * 64, "rejected", step=1)
    assert [word.step for word in journal.approvals(rollout)] == [0, 1]
    assert verify(journal).ok


def test_words_of_a_journal_of_the_format_before_are_about_beginning(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as past:
        past.setattr(migrate, "LATEST", 4)
        past.setattr("quarterdeck.history.journal.LATEST", 4)
        past.setattr(migrate, "_migrations", lambda: {n: p for n, p in every.items() if n <= 4})
        with Journal.open(state, operator=ALICE) as journal:
            rollout = queue(journal)
            journal._connection.execute(
                "INSERT INTO approval (rollout, plan_hash, uid, verdict, person, by, time, reason)"
                " VALUES (?, ?, 1009, 'approved', 'maya', 'maya@bastion', '2026-11-29T12:00:00.000Z', 'CHG-812')",
                (rollout, "a" * 64),
            )
    with Journal.open(state, operator=ALICE) as journal:
        kept = journal.approvals(rollout)
        assert [(word.id, word.person, word.reason, word.step) for word in kept] == [(1, "maya", "CHG-812", 0)]
        assert journal.give_word(rollout, "a" * 64, "approved").id == 2
        assert verify(journal).ok


def test_a_journal_of_the_format_before_gets_what_policy_needs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as past:
        past.setattr(migrate, "LATEST", 3)
        past.setattr("quarterdeck.history.journal.LATEST", 3)
        past.setattr(migrate, "_migrations", lambda: {n: p for n, p in every.items() if n <= 3})
        with Journal.open(state, operator=ALICE) as journal:
            rollout = journal.arm("production/web", RolloutKind.DEPLOY).id
    with Journal.open(state, operator=ALICE) as journal:
        journal.set_plan(rollout, {}, "a" * 64, to_release=None, from_release=None)
        journal.want_approvals(rollout, "waits", WANTED)
        assert journal.give_word(rollout, "a" * 64, "approved").person == "alice"
        assert journal.made_freezes() == []


every = migrate._migrations()
