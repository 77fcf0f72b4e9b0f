"""Scenarios in which a rollout stands half-way: nothing that was not observed may be called success, and the way on must lead there.

Those of promise 24 were seen to fail without the host ending what an older action runs for a newer one.
"""

from pathlib import Path

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutKind, RolloutState, StepState
from quarterdeck.rollouts.control import Control
from tests.field import START, TARGET, Field
from tests.sshd import wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

GATED = {"command": "test ! -e ../../sick", "interval": "1s", "healthy_deadline": "1s"}


def make_sick(field: Field, index: int, *, sick: bool = True) -> None:
    mark = field.home(field.hosts[index]) / "sick"
    mark.touch() if sick else mark.unlink()


def test_a_step_that_failed_before_the_worker_died_is_not_called_done(field: Field) -> None:
    field.write(health=GATED, rollback={"max_unavailable": 1})
    field.deploy("v1")
    field.deploy("v2")
    make_sick(field, 0)
    rollout = field.begin("rollback")
    wait_for(lambda: field.running()[1] == "v1", "the second host is back")
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    field.qd("status", "--cached")
    ended = field.ended(rollout)
    assert ended.state is RolloutState.FAILED
    assert field.hosts[0].name in ended.outcome


def test_a_paused_failure_is_tried_again_after_a_takeover(field: Field) -> None:
    field.write(health=GATED, rollback={"automatic": False})
    field.deploy("v1")
    make_sick(field, 2)
    rollout = field.begin("deploy", "v2")
    field.in_state(rollout, RolloutState.PAUSED)
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).resume(rollout)

    def failed_again() -> bool:
        with field.journal(read_only=True) as journal:
            failures = journal.events(rollout=rollout, kind="step.failed", limit=500)
            return len([event for event in failures if event.host == field.hosts[2].name]) > 1

    wait_for(failed_again, "it was tried again, and is still unhealthy", 40)
    field.in_state(rollout, RolloutState.PAUSED)
    make_sick(field, 2, sick=False)
    field.qd("retry", str(rollout), status=0)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED


def test_what_was_not_wholly_taken_back_is_finished_by_a_rollback_to_the_stable_release(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    field.make_version("cuts", start="touch ../../sick; exit 0")
    field.write(
        strategy={"rolling": {"batches": [1, "100%"], "pause": "1s"}},
        health={
            "command": 'test ! -e ../../sick && test "$(cat ../../running)" = "$QD_RELEASE"',
            "interval": "1s",
            "healthy_deadline": "1s",
        },
    )
    field.deploy("v3")
    make_sick(field, 4)
    # the last host is unhealthy with the new release, and with the old one too: it can't be taken back
    result = field.deploy("v2", status=4)
    assert field.hosts[4].name in result["reason"]
    make_sick(field, 4, sick=False)
    back = field.rollback()
    assert back["to"].startswith("v3-")
    assert field.verdict("v3") == "good"
    assert field.running() == ["v3"] * len(field.hosts)


def test_a_host_that_a_deploy_owes_follows_without_a_word_against_the_old_release(field: Field) -> None:
    note = field.directory / "reversed"
    field.write(
        on_unreachable="continue",
        hooks={"before": [{"run": "true", "where": "here", "on_rollback": f"touch {note}"}]},
    )
    field.deploy("v1")
    field.hosts[2].stop()
    try:
        result = field.deploy("v2")
        assert "owed" in result["reason"]
    finally:
        field.hosts[2].start()
    field.qd("retry", str(result["rollout"]), "--wait", status=0)
    assert field.running() == ["v2"] * len(field.hosts)
    assert field.verdict("v1") == "good"
    assert not note.exists()
    with field.journal(read_only=True) as journal:
        assert journal.debts(TARGET) == []


SLOW = "touch ../../begun; sleep 4321; touch ../../waited"
"""Shell text that takes longer than any test: whoever waits for it never ends. (Below ``releases/<release>``.)"""


def begun(field: Field) -> bool:
    return all((field.home(host) / "begun").exists() for host in field.hosts.hosts)


def assert_nothing_waits(field: Field) -> None:
    """What was slow was ended for a newer action, not by its own limit, and does not go on by itself."""
    for host in field.hosts.hosts:
        ledger = (field.home(host) / ".quarterdeck" / "ledger").read_text().splitlines()
        assert any(" end " in line and line.endswith(" 76") for line in ledger), ledger
    assert not any((field.home(host) / "waited").exists() for host in field.hosts.hosts)

    def sleeping() -> list[int]:
        return [pid for pid in field.hosts.tagged_processes() if b"4321" in command_of(pid).split(b"\0")]

    wait_for(lambda: not sleeping(), "what was killed is gone")


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.trust(24)
def test_abort_wins_while_the_new_release_is_still_starting(field: Field, promise: Promises) -> None:
    field.make_version("slow", start=f'{SLOW}; echo "$QD_RELEASE" > ../../running')
    field.deploy("v1")
    rollout = field.begin("deploy", "slow")
    wait_for(lambda: begun(field), "it starts everywhere")
    field.qd("abort", str(rollout))
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert field.running() == ["v1"] * len(field.hosts)
    assert_nothing_waits(field)
    promise(24).count("aborts over SSH")


@pytest.mark.trust(24)
def test_abort_wins_while_a_hook_hangs_that_is_to_be_reversed(field: Field, promise: Promises) -> None:
    field.deploy("v1")
    field.write(hooks={"before": [{"run": SLOW, "where": "each", "timeout": "5m", "on_rollback": "touch ../../back"}]})
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: begun(field), "the hook runs everywhere")
    field.qd("abort", str(rollout))
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert all((field.home(host) / "back").exists() for host in field.hosts.hosts)
    assert field.running() == ["v1"] * len(field.hosts)
    assert_nothing_waits(field)
    promise(24).count("aborts over SSH")


@pytest.mark.trust(24)
def test_a_rollback_does_not_wait_for_the_release_that_it_supersedes_to_start(field: Field, promise: Promises) -> None:
    field.make_version("slow", start=f'{SLOW}; echo "$QD_RELEASE" > ../../running')
    field.deploy("v1")
    rollout = field.begin("deploy", "slow")
    wait_for(lambda: begun(field), "it starts everywhere")
    back = field.ended(field.begin("rollback", "v1"))
    assert back.state is RolloutState.SUCCEEDED, back.outcome
    assert field.ended(rollout).state is RolloutState.SUPERSEDED
    assert field.running() == ["v1"] * len(field.hosts)
    assert_nothing_waits(field)
    promise(24).count("rollbacks over a deploy under way")


@pytest.mark.trust(24)
def test_abort_starts_again_what_had_only_been_stopped(field: Field, promise: Promises) -> None:
    """Its link has never moved: by that alone nothing would be left to be done."""
    stop = "rm -f ../../running; if [ -e ../../hangs ]; then touch ../../begun; sleep 4321; fi"
    field.write(commands={"start": START, "stop": stop})
    field.deploy("v1")
    for host in field.hosts.hosts:
        (field.home(host) / "hangs").touch()
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: begun(field), "the old release is being stopped everywhere")
    for host in field.hosts.hosts:
        (field.home(host) / "hangs").unlink()
    field.qd("abort", str(rollout))
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert field.running() == ["v1"] * len(field.hosts)
    assert_nothing_waits(field)
    promise(24).count("aborts over SSH")


def test_who_supersedes_a_deploy_and_fails_takes_both_back(field: Field) -> None:
    """The one that is superseded leaves hosts half-way, and nobody but its successor is there to put them right."""
    field.make_version("slow", start=f'{SLOW}; echo "$QD_RELEASE" > ../../running')
    field.deploy("v1")
    first = field.begin("deploy", "slow")
    wait_for(lambda: begun(field), "it starts everywhere")
    field.write(hooks={"before": [{"run": "exit 1", "where": "here"}]})
    second = field.begin("deploy", "v2", supersede=True)
    ended = field.ended(second)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert field.ended(first).state is RolloutState.SUPERSEDED
    assert field.running() == ["v1"] * len(field.hosts)
    assert_nothing_waits(field)


def test_a_rollback_finds_what_runs_of_a_deploy_that_was_superseded_before_the_last_one(field: Field) -> None:
    """The hosts say that v1 runs, as its stop has only begun; left alone, each would soon run something else."""
    stop = "if [ -e ../../hangs ]; then touch ../../begun; sleep 4321; fi; rm -f ../../running"
    field.write(commands={"start": START, "stop": stop, "status": "test -s ../../running"})
    field.deploy("v1")
    for host in field.hosts.hosts:
        (field.home(host) / "hangs").touch()
    first = field.begin("deploy", "v2")
    wait_for(lambda: begun(field), "the old release is being stopped everywhere")
    for host in field.hosts.hosts:
        (field.home(host) / "hangs").unlink()
    with field.journal() as journal:  # a worker that died before it came to a host
        second = journal.arm(TARGET, RolloutKind.DEPLOY, options=journal.rollout(first).options).id
        journal.begin(second, preempt="deploys")
    back = field.ended(field.begin("rollback", "v1"))
    assert back.state is RolloutState.SUCCEEDED, back.outcome
    assert field.ended(second).state is RolloutState.SUPERSEDED
    assert field.running() == ["v1"] * len(field.hosts)
    assert_nothing_waits(field)


def test_a_pause_is_no_lack_of_progress(field: Field) -> None:
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "14s"}}, progress_deadline="12s")
    field.deploy("v1")
    assert field.running() == ["v1"] * len(field.hosts)


def test_retry_connects_anew(field: Field) -> None:
    field.deploy("v1")
    field.write(rollback={"automatic": False}, strategy={"rolling": {"batches": [1, "100%"], "pause": "10s"}})
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: "v2" in field.running(), "the first host has changed")
    field.hosts[3].stop()
    try:
        field.in_state(rollout, RolloutState.PAUSED)
    finally:
        field.hosts[3].start()
    field.qd("retry", str(rollout), status=0)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert field.running() == ["v2"] * len(field.hosts)


def test_a_hook_here_that_leaves_a_daemon_behind_fails_as_a_hook(field: Field) -> None:
    field.deploy("v1")
    field.write(hooks={"before": [{"run": "setsid sleep 5 & exit 0", "where": "here", "timeout": "1s"}]})
    result = field.deploy("v2", status=3)
    assert "took longer than 1 s" in result["reason"]
    assert field.running() == ["v1"] * len(field.hosts)


def test_a_host_that_runs_the_release_already_must_be_healthy_too(field: Field) -> None:
    field.write(health=GATED)
    field.deploy("v1")
    make_sick(field, 1)
    result = field.deploy("v1", status=3)
    assert field.hosts[1].name in result["reason"]
    assert field.verdict("v1") == "good"


def test_a_host_that_is_skipped_is_left_out_owed_and_retried(field: Field) -> None:
    field.write(health=GATED, rollback={"automatic": False}, strategy={"rolling": {"max_unavailable": 1}})
    field.deploy("v1")
    make_sick(field, 1)
    rollout = field.begin("deploy", "v2")
    field.in_state(rollout, RolloutState.PAUSED)
    sick = field.hosts[1].name
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        failed = next(s for s in journal.steps(rollout) if s.state is StepState.FAILED)
        assert failed.host == sick
        late = control.ask(rollout, "skip", step=failed.seq - 1)
        wait_for(lambda: journal.request(late.id).state == "refused", "a wish about another step is refused")
        assert f"it stands at step {failed.seq} now" in journal.request(late.id).answer
        field.qd("skip", str(rollout), "--detach", status=0)
    ended = field.ended(rollout)
    assert (ended.state, sick in ended.outcome) == (RolloutState.SUCCEEDED, True)
    others = [version for index, version in enumerate(field.running()) if index != 1]
    assert others == ["v2"] * len(others)
    with field.journal() as journal:
        assert [debt.host for debt in journal.debts(TARGET)] == [sick]
        make_sick(field, 1, sick=False)
        again = Control(field.fleet(), journal, current_operator()).retry(rollout)
    assert field.ended(again.id).state is RolloutState.SUCCEEDED
    assert set(field.running()) == {"v2"}


def test_a_wish_that_makes_no_sense_is_refused_and_changes_nothing(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "5s"}})
    rollout = field.begin("deploy", "v2")
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        field.in_state(rollout, RolloutState.RUNNING)
        control.ask(rollout, "pause")
        field.in_state(rollout, RolloutState.PAUSED)
        senseless = control.ask(rollout, "skip")
        wait_for(lambda: journal.request(senseless.id).state == "refused", "there is nothing to skip")
        assert journal.rollout(rollout).state is RolloutState.PAUSED
        control.resume(rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
