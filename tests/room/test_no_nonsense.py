"""Rollouts in states that a picture seldom shows are told in words that make sense: never «0 of 0 hosts», never «the 0 steps»."""

from pathlib import Path

import pytest

from quarterdeck.history.records import NewStep, RolloutKind, RolloutState, StepState
from quarterdeck.rollouts.closely import Closely, look_closely, ways_on
from quarterdeck.tui.room.rollout_rows import progress_row
from quarterdeck.tui.room.rows import plain
from tests.cli.qd_command import Qd, release

TARGET = "production/api"


@pytest.fixture
def qd(tmp_path: Path) -> Qd:
    made = Qd(tmp_path)
    made.write_fleet()
    return made


def rollout(qd: Qd, *, plan: bool, steps: int, done: int = 0, ends: RolloutState | None = None) -> Closely:
    """One that is armed; with ``plan`` and ``steps`` it has begun, ``done`` of them have ended well."""
    with qd.journal() as journal:
        made = release("v2", target=TARGET)
        journal.put_release(made)
        armed = journal.arm(TARGET, RolloutKind.DEPLOY, to_release=made.id)
        epoch = 0
        if plan:
            hosts = [{"host": f"web-{n}", "current": None, "error": None} for n in (1, 2)]
            journal.set_plan(armed.id, {"hosts": hosts}, "0" * 64, to_release=made.id, from_release=None)
        if steps:
            epoch = journal.begin(armed.id, preempt="nothing")
            new = [NewStep(n, f"web-{n}", "switch", 1, {"release": made.id}) for n in range(1, steps + 1)]
            journal.add_steps(armed.id, epoch, new)
            for step in new[:done]:
                journal.start_steps(armed.id, epoch, [step.seq])
                journal.end_step(armed.id, epoch, step.seq, StepState.DONE, {})
        if ends is not None:
            epoch = epoch or journal.begin(armed.id, preempt="nothing")
            journal.set_state(armed.id, epoch, ends, outcome="said so")
        return look_closely(journal, armed.id)


def words(seen: Closely) -> str:
    return plain(progress_row(seen, 60)).rstrip()


def test_without_a_plan_no_hosts_are_counted(qd: Qd) -> None:
    assert words(rollout(qd, plan=False, steps=0)) == "no plan yet: the hosts are being looked at"


def test_one_that_ended_before_its_plan(qd: Qd) -> None:
    assert words(rollout(qd, plan=False, steps=0, ends=RolloutState.FAILED)) == "ended before there was a plan"


def test_a_plan_that_waits_for_its_go(qd: Qd) -> None:
    assert words(rollout(qd, plan=True, steps=0)) == "no host has begun to change"


def test_a_plan_that_changed_nothing(qd: Qd) -> None:
    assert words(rollout(qd, plan=True, steps=0, ends=RolloutState.SUCCEEDED)) == "no host changes"


@pytest.mark.parametrize(
    ("steps", "done", "does"),
    [
        (2, 0, "goes on with the 2 steps that are left"),
        (2, 1, "goes on with the step that is left"),
        (2, 2, "goes on with its end: no step is left"),
        (0, 0, "goes on with its plan"),
    ],
)
def test_what_is_left_of_a_paused_one(qd: Qd, steps: int, done: int, does: str) -> None:
    seen = rollout(qd, plan=True, steps=steps, done=done, ends=RolloutState.PAUSED)
    assert [way.does for way in ways_on(seen)[0]] == [does]
