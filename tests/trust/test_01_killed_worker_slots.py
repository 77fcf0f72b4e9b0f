"""Promises 1 and 2 where two releases run beside each other in slots: SIGKILL the worker at any boundary, also while it is being aborted; a
new one resumes, and in the end the right release runs alone.

Taken out: a switch that found what a dead worker had started in the free slot, and did not take it for its own, would start it twice.
"""

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.slot_field import RUNNING, SlotField
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises
from tests.trust.ssh_truth import (
    DYING,
    alternately,
    assert_right,
    forget_release,
    is_another_or_ended,
    nothing_is_lost,
    operations_that_ran_twice,
    resume,
)

pytestmark = [pytest.mark.trust(1, 2), pytest.mark.sshd, pytest.mark.timeout(600)]


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet) -> SlotField:
    made = SlotField(tmp_path, sshd_fleet)
    made.clear_hosts()
    return made


def test_killed_at_random_again_and_again(field: SlotField, full: bool, promise: Promises) -> None:
    field.deploy("v1")
    chance = random.Random(11)
    kills = 0
    versions = alternately()
    while kills < (60 if full else 8):
        version = next(versions)
        forget_release(field, version)
        rollout = field.begin("deploy", version)
        heads = []
        for _ in range(4):
            pid = field.worker_pid(rollout)
            time.sleep(chance.uniform(0.0, 0.5))  # the moment of the kill, not a wait for something
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            kills += 1
            heads.append(resume(field, rollout))
            field.until(rollout, partial(is_another_or_ended, old=pid))
        assert_right(field, rollout, version, heads, promise(1))
        promise(1).count("kills at random with slots", len(heads))
    assert operations_that_ran_twice(field, promise(2)) == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_boundaries_of_an_abort(
    field: SlotField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, full: bool, promise: Promises
) -> None:
    """The old release serves all the time, and is the only one in the end."""
    field.make_version("slow", start=f'touch ../../begun; sleep 4321; echo "$QD_RELEASE" > {RUNNING}')
    field.deploy("v1")
    starts = [len(field.starts(host)) for host in field.hosts.hosts]
    boundary, rounds = 14, 0  # about when the start begins to hang
    died = tmp_path / "died"
    while True:
        for host in field.hosts.hosts:
            (field.home(host) / "begun").unlink(missing_ok=True)
        with monkeypatch.context() as dying:
            dying.setenv("PYTHONPATH", str(DYING))
            dying.setenv("QD_TEST_DIES", f"{moment} {boundary}")
            dying.setenv("QD_TEST_DIED", str(died))
            rollout = field.begin("deploy", "slow")
        begun = [field.home(host) / "begun" for host in field.hosts.hosts]
        wait_for(lambda: all(path.exists() for path in begun) or died.exists(), "the start hangs", 30)  # noqa: B023
        with field.journal() as journal:
            Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
        field.until(rollout, field.worker_has_left, 60)
        heads = [resume(field, rollout)] if died.exists() else []
        ended = field.ended(rollout, 30)
        assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
        assert field.running() == ["v1"] * len(field.hosts)
        nothing_is_lost(field, heads, promise(1))
        rounds += 1
        if not died.exists():
            break
        died.unlink()
        promise(1).count("kills at a write with slots")
        boundary += 3 if full else 6
    assert rounds > 2, "the worker left without having been killed"
    # Each start was that of the slow one: the one that serves was never started anew.
    for host, count in zip(field.hosts.hosts, starts, strict=True):
        assert {one.rpartition("-")[0] for one in field.starts(host)[count:]} <= {"slow"}
