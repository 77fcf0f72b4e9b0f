"""Rollouts in the journal: one active rollout a target, epochs that only grow, states that end once."""

from pathlib import Path

import pytest

from quarterdeck.history.clock import boot_id, boottime
from quarterdeck.history.errors import EpochLost, RequestRefused, TargetBusy, UnknownRollout
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ACTIVE, ENDED, NewStep, Operator, RolloutKind, RolloutState, StepState

TARGET = "production/api"
DEPLOY, ROLLBACK, RESTART = RolloutKind.DEPLOY, RolloutKind.ROLLBACK, RolloutKind.RESTART


def begun(journal: Journal, kind: RolloutKind = DEPLOY, target: str = TARGET) -> tuple[int, int]:
    rollout = journal.arm(target, kind, to_release="v2", from_release="v1").id
    return rollout, journal.begin(rollout, preempt="nothing")


def test_every_state_is_armed_active_or_ended() -> None:
    assert {RolloutState.ARMED} | ACTIVE | ENDED == set(RolloutState)
    assert len(ACTIVE) + len(ENDED) + 1 == len(RolloutState)


def test_an_armed_rollout_remembers_what_was_asked_and_by_whom(journal: Journal) -> None:
    rollout = journal.arm(
        TARGET, DEPLOY, to_release="v2", options={"only": ["web-1"], "go": True}, reason="hotfix é\udcff"
    )
    assert rollout == journal.rollout(rollout.id)
    assert (rollout.state, rollout.epoch, rollout.pid, rollout.plan) == (RolloutState.ARMED, 0, None, None)
    assert rollout.options == {"only": ["web-1"], "go": True}
    assert (rollout.requested_by, rollout.uid, rollout.reason) == ("alice@bastion-2", 1001, "hotfix é?")
    (event,) = journal.events(rollout=rollout.id)
    assert (event.kind, event.who, event.uid, event.target) == ("requested", "alice@bastion-2", 1001, TARGET)
    assert event.body["where"] == "bastion-2 from 10.0.0.7"


def test_several_may_be_armed_at_once_and_none_of_them_is_active(journal: Journal) -> None:
    first, second = journal.arm(TARGET, DEPLOY), journal.arm(TARGET, ROLLBACK)
    assert first.id != second.id
    assert journal.active(TARGET) is None
    assert journal.rollouts(active_only=True) == []
    assert [found.id for found in journal.rollouts(TARGET)] == [second.id, first.id]


def test_the_plan_is_stored_until_the_rollout_begins(journal: Journal) -> None:
    rollout = journal.arm(TARGET, DEPLOY).id
    plan = {"summary": "3 of 12 hosts change", "steps": [{"seq": 1}]}
    journal.set_plan(rollout, plan, "hash-1", to_release="v2", from_release="v1")
    found = journal.rollout(rollout)
    assert (found.plan, found.plan_hash, found.to_release, found.from_release) == (plan, "hash-1", "v2", "v1")
    (armed,) = journal.events(rollout=rollout, kind="armed")
    assert armed.body == {**plan, "plan_hash": "hash-1", "from_release": "v1", "to_release": "v2"}
    journal.begin(rollout, preempt="nothing")
    with pytest.raises(RequestRefused, match="its plan stands"):
        journal.set_plan(rollout, {}, "hash-2", to_release="v3", from_release="v1")
    assert journal.rollout(rollout).plan_hash == "hash-1"


def test_beginning_takes_the_target_with_a_new_epoch(journal: Journal, other: Journal) -> None:
    rollout, epoch = begun(journal)
    assert epoch == 1
    found = other.active(TARGET)
    assert found is not None
    assert (found.id, found.state, found.epoch) == (rollout, RolloutState.RUNNING, 1)
    assert found.started is not None
    rival = other.arm(TARGET, DEPLOY)
    with pytest.raises(TargetBusy, match="alice@bastion-2") as caught:
        other.begin(rival.id, preempt="nothing")
    assert caught.value.active.id == rollout
    assert journal.rollout(rival.id).state == RolloutState.ARMED
    assert begun(journal, target="staging/api")[1] == 1


def test_a_rollback_supersedes_a_deploy_but_not_another_rollback(journal: Journal, other: Journal) -> None:
    deploy, epoch = begun(journal)
    rollback = other.arm(TARGET, ROLLBACK, to_release="v1")
    assert other.begin(rollback.id, preempt="deploys") == epoch + 1
    old = journal.rollout(deploy)
    assert (old.state, old.outcome) == (
        RolloutState.SUPERSEDED,
        f"superseded by rollout {rollback.id} (rollback) of bob@bastion-2",
    )
    with pytest.raises(EpochLost, match=f"taken by rollout {rollback.id} .rollback. of bob@bastion-2") as lost:
        journal.set_state(deploy, epoch, RolloutState.PAUSED)
    assert (lost.value.epoch, lost.value.now) == (epoch, epoch + 1)
    second = journal.arm(TARGET, ROLLBACK, to_release="v0")
    with pytest.raises(TargetBusy):
        journal.begin(second.id, preempt="deploys")
    assert journal.begin(second.id, preempt="everything") == epoch + 2
    assert journal.rollout(rollback.id).state == RolloutState.SUPERSEDED


def test_beginning_twice_is_refused(journal: Journal) -> None:
    rollout, _ = begun(journal)
    with pytest.raises(RequestRefused, match="running"):
        journal.begin(rollout, preempt="everything")
    with pytest.raises(UnknownRollout):
        journal.begin(rollout + 1, preempt="everything")


def test_a_queued_rollout_holds_the_target_and_begins_later(journal: Journal) -> None:
    rollout, rival = journal.arm(TARGET, DEPLOY).id, journal.arm(TARGET, DEPLOY).id
    journal.set_state(rollout, None, RolloutState.QUEUED)
    with pytest.raises(TargetBusy):
        journal.set_state(rival, None, RolloutState.QUEUED)
    assert journal.begin(rollout, preempt="nothing") == 1


def test_an_armed_rollout_can_be_cancelled_but_not_run_without_an_epoch(journal: Journal) -> None:
    rollout = journal.arm(TARGET, DEPLOY).id
    with pytest.raises(RequestRefused, match="must begin first"):
        journal.set_state(rollout, None, RolloutState.RUNNING)
    journal.set_state(rollout, None, RolloutState.CANCELLED, outcome="not wanted any more")
    assert journal.rollout(rollout).outcome == "not wanted any more"


def test_an_ended_rollout_stays_as_it_ended(journal: Journal) -> None:
    rollout, epoch = begun(journal)
    journal.set_state(rollout, epoch, RolloutState.FAILED, outcome="web-1 runs v2, web-2 runs v1", body={"hosts": 2})
    ended = journal.rollout(rollout)
    head = journal.head()
    journal.set_state(rollout, epoch, RolloutState.FAILED, outcome="again")
    assert (journal.rollout(rollout), journal.head()) == (ended, head)
    for state in (RolloutState.SUCCEEDED, RolloutState.RUNNING):
        with pytest.raises(RequestRefused, match="has ended: failed"):
            journal.set_state(rollout, epoch, state)
    event = journal.events(rollout=rollout, kind="state", newest_first=True, limit=1)[0]
    told = {"from": "running", "to": "failed", "outcome": "web-1 runs v2, web-2 runs v1", "hosts": 2}
    assert told.items() <= event.body.items()
    assert event.body["boot"] == boot_id(), "and when, by the clock that nobody sets"
    assert 0 <= boottime() - event.body["boottime"] < 600_000_000_000


def test_taking_over_gives_back_the_state_from_before_and_fences_the_old_worker(
    journal: Journal, other: Journal
) -> None:
    rollout, epoch = begun(journal)
    journal.set_state(rollout, epoch, RolloutState.ROLLING_BACK)
    orphan = other.mark_orphaned(other.rollout(rollout), lambda: False)
    assert orphan.state is RolloutState.ORPHANED
    assert orphan.outcome.startswith("its worker died while it was rolling_back; ")
    assert f"qd resume {orphan.id}" in orphan.outcome
    assert other.take_over(rollout) == epoch + 1
    assert journal.rollout(rollout).state == RolloutState.ROLLING_BACK
    with pytest.raises(EpochLost, match="another worker of it, started by bob@bastion-2"):
        journal.end_step(rollout, epoch, 1, StepState.DONE, {})
    takeover = journal.events(rollout=rollout, kind="takeover")[0]
    assert takeover.body == {"epoch": 2, "from": "orphaned", "to": "rolling_back", "dead_worker": None}


def test_who_turns_back_does_so_under_a_new_epoch(journal: Journal, other: Journal) -> None:
    rollout, epoch = begun(journal)
    assert journal.turn_back(rollout, epoch, "aborted by alice") == epoch + 1
    now = journal.rollout(rollout)
    assert (now.state, now.epoch, now.outcome) == (RolloutState.ABORTING, epoch + 1, "aborted by alice")
    told = journal.events(rollout=rollout, kind="state", newest_first=True, limit=1)[0].body
    assert (told["to"], told["epoch"]) == ("aborting", epoch + 1)
    with pytest.raises(EpochLost):
        journal.turn_back(rollout, epoch, "again")
    other.take_over(rollout)
    with pytest.raises(EpochLost):
        journal.turn_back(rollout, epoch + 1, "again")
    journal.set_state(rollout, epoch + 2, RolloutState.ROLLED_BACK)
    with pytest.raises(RequestRefused, match="has ended"):
        journal.turn_back(rollout, epoch + 2, "again")


def test_only_an_active_rollout_can_be_taken_over(journal: Journal) -> None:
    armed = journal.arm(TARGET, DEPLOY).id
    with pytest.raises(RequestRefused, match="armed"):
        journal.take_over(armed)
    rollout, epoch = begun(journal)
    assert journal.take_over(rollout) == epoch + 1  # dead, and nobody has marked it
    journal.set_state(rollout, epoch + 1, RolloutState.SUCCEEDED)
    with pytest.raises(RequestRefused, match="succeeded"):
        journal.take_over(rollout)


def test_a_living_or_changed_rollout_is_not_marked_orphaned(journal: Journal) -> None:
    rollout, _ = begun(journal)
    seen = journal.rollout(rollout)
    assert journal.mark_orphaned(seen, lambda: True).state == RolloutState.RUNNING
    journal.take_over(rollout)
    assert journal.mark_orphaned(seen, lambda: False).state == RolloutState.RUNNING


def test_a_lost_journal_does_not_reset_the_fence(journal: Journal) -> None:
    journal.seed_epoch(TARGET, 41)
    journal.seed_epoch(TARGET, 7)
    assert begun(journal)[1] == 42
    assert [event.body for event in journal.events(kind="fence")] == [{"epoch": 41}]


def test_the_worker_is_known_with_its_heartbeat(journal: Journal) -> None:
    rollout, _ = begun(journal)
    assert journal.worker(rollout) is None
    journal.set_worker(rollout, 4242, 99, "boot")
    first = journal.worker(rollout)
    journal.heartbeat(rollout)
    second = journal.worker(rollout)
    assert first is not None
    assert second is not None
    assert (second.pid, second.start_ticks, second.boot_id) == (4242, 99, "boot")
    assert second.heartbeat > first.heartbeat
    assert journal.rollout(rollout).pid == 4242


def test_the_reason_can_be_given_later(journal: Journal) -> None:
    rollout, _ = begun(journal)
    journal.set_reason(rollout, "payment errors")
    assert journal.rollout(rollout).reason == "payment errors"


def test_a_second_operator_of_the_same_journal_is_told_apart(state: Path, journal: Journal) -> None:
    with Journal.open(state, operator=Operator("root", 0, "carol", "bastion-2")) as third:
        assert third.arm(TARGET, DEPLOY).requested_by == "carol@bastion-2"


STEPS = [NewStep(seq, f"web-{seq}", "switch", 0, {"release": "v2"}) for seq in (1, 2, 3)]


def test_a_step_keeps_its_op_id_over_attempts_until_an_operator_retries_it(journal: Journal) -> None:
    rollout, epoch = begun(journal)
    journal.add_steps(rollout, epoch, STEPS)
    before = {step.seq: step.op_id for step in journal.steps(rollout)}
    assert len(set(before.values())) == 3
    started = journal.start_steps(rollout, epoch, [1, 2])
    assert [(step.seq, step.state, step.attempt, step.op_id) for step in started] == [
        (1, StepState.STARTED, 1, before[1]),
        (2, StepState.STARTED, 1, before[2]),
    ]
    (again,) = journal.start_steps(rollout, epoch, [1])
    assert (again.attempt, again.op_id) == (2, before[1])
    journal.end_step(rollout, epoch, 1, StepState.FAILED, {"problem": "http 500"})
    retried = journal.retry_step(rollout, epoch, 1)
    assert retried.state == StepState.PENDING
    assert retried.op_id != before[1]
    assert retried.op_id.startswith(f"{rollout}.1.")
    assert [event.kind for event in journal.events(rollout=rollout)][-5:] == [
        "step.started",
        "step.started",
        "step.started",
        "step.failed",
        "step.retry",
    ]


def test_an_outcome_is_recorded_exactly_once(journal: Journal) -> None:
    rollout, epoch = begun(journal)
    journal.add_steps(rollout, epoch, STEPS)
    journal.start_steps(rollout, epoch, [1, 2])
    journal.end_steps(rollout, epoch, [(1, StepState.DONE, {"seconds": 0.5}), (2, StepState.SKIPPED, {})])
    journal.end_step(rollout, epoch, 1, StepState.DONE, {"seconds": 9.9})
    assert journal.steps(rollout)[0].outcome == {"seconds": 0.5}
    assert len(journal.events(rollout=rollout, kind="step.done")) == 1
    with pytest.raises(RequestRefused, match="done already"):
        journal.end_step(rollout, epoch, 1, StepState.FAILED, {})
    with pytest.raises(RequestRefused, match="done already"):
        journal.start_steps(rollout, epoch, [3, 1])
    assert journal.steps(rollout)[2].state == StepState.PENDING  # all or nothing
    with pytest.raises(RequestRefused, match="no step 9"):
        journal.start_steps(rollout, epoch, [9])


def test_no_step_is_written_under_a_lost_epoch_or_after_the_end(journal: Journal, other: Journal) -> None:
    rollout, epoch = begun(journal)
    journal.add_steps(rollout, epoch, STEPS)
    other.take_over(rollout)
    for write in (
        lambda: journal.add_steps(rollout, epoch, [NewStep(4, "web-4", "switch", 0, {})]),
        lambda: journal.start_steps(rollout, epoch, [1]),
        lambda: journal.end_step(rollout, epoch, 1, StepState.DONE, {}),
        lambda: journal.retry_step(rollout, epoch, 1),
    ):
        with pytest.raises(EpochLost):
            write()
    journal.set_state(rollout, None, RolloutState.FAILED)
    with pytest.raises(RequestRefused, match="has ended"):
        other.start_steps(rollout, epoch + 1, [1])
    assert all(step.state == StepState.PENDING for step in journal.steps(rollout))


def test_what_is_written_of_a_step_does_not_read_the_plan_which_grows_with_the_hosts(journal: Journal) -> None:
    """The plan can't be read any more: steps can be written, and the state be asked for, all the same. Seen to fail when a step's write
    read its whole rollout."""
    rollout, epoch = begun(journal)
    journal.add_steps(rollout, epoch, [NewStep(1, "web-1", "switch", 1, {})])
    journal._connection.execute("UPDATE rollout SET plan = '{', options = '{' WHERE id = ?", (rollout,))
    journal.start_steps(rollout, epoch, [1])
    journal.end_step(rollout, epoch, 1, StepState.DONE, {"current": "v2"})
    (step,) = journal.steps(rollout)
    assert (step.state, step.outcome) == (StepState.DONE, {"current": "v2"})
    assert journal.state_of(rollout) is RolloutState.RUNNING
    with pytest.raises(UnknownRollout):
        journal.state_of(rollout + 1)
    with pytest.raises(UnknownRollout):
        journal.end_step(rollout + 1, epoch, 1, StepState.DONE, {})
