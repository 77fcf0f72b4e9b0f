"""Promises 1 and 2: SIGKILL the worker at any boundary, or at random: a new one resumes and the end state is right; a step that was
retried ran once. No event that was written is lost.

Taken out: without the journalled steps (``start_steps``/``end_step``) a resumed worker would not know what is done; without the
recorded outcome on the host (``ops/``) the ledger below shows the same op_id twice.
"""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.field import Field
from tests.sshd import wait_for
from tests.trust.recording import Promises
from tests.trust.ssh_truth import DYING, alternately, assert_right, forget_release, operations_that_ran_twice, resume

pytestmark = [pytest.mark.trust(1, 2), pytest.mark.sshd, pytest.mark.timeout(600)]

BOUNDARIES = 15  # a deploy to five hosts in three batches has more, however its writes are gathered


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_boundary(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, full: bool, promise: Promises
) -> None:
    """Between what was done and its being written down, and between what was written down and its being done."""
    field.write(strategy={"rolling": {"batches": [1, "50%", "100%"]}})
    field.deploy("v1")
    boundary = 2  # the first write tells who the worker is: before it nobody has begun to work
    died = tmp_path / "died"
    for version in alternately():
        forget_release(field, version)
        with monkeypatch.context() as dying:
            dying.setenv("PYTHONPATH", str(DYING))
            dying.setenv("QD_TEST_DIES", f"{moment} {boundary}")
            dying.setenv("QD_TEST_DIED", str(died))
            rollout = field.begin("deploy", version)
        field.until(rollout, field.worker_has_left, 180)
        if not died.exists():
            break
        died.unlink()
        assert_right(field, rollout, version, [resume(field, rollout)], promise(1))
        promise(1).count("kills at a write over SSH")
        boundary += 1 if full else 5
    assert boundary > BOUNDARIES, "the worker left without having been killed at each of them"
    assert operations_that_ran_twice(field, promise(2)) == {}


def test_a_retried_step_ran_once(field: Field, promise: Promises) -> None:
    """The worker dies between the host's answer and the journal: the host gives the recorded outcome, nothing starts twice."""
    field.deploy("v1")
    before = [len(field.starts(host)) for host in field.hosts.hosts]
    rollout = field.begin("deploy", "v2")

    def switched_somewhere() -> bool:
        return any(len(field.starts(host)) > count for host, count in zip(field.hosts.hosts, before, strict=True))

    pid = field.worker_pid(rollout)
    wait_for(switched_somewhere, "a host is being switched")
    with contextlib.suppress(ProcessLookupError):  # on a busy machine it may have come to its end meanwhile
        os.kill(pid, signal.SIGKILL)
    assert_right(field, rollout, "v2", [resume(field, rollout)], promise(1))
    assert operations_that_ran_twice(field, promise(2)) == {}
    assert [len(field.starts(host)) for host in field.hosts.hosts] == [count + 1 for count in before]
