"""Promises 1 and 2: SIGKILL the worker at random, again and again in one rollout: a new one resumes, the end state is right, no operation
ran twice.

Taken out: as in test_01_killed_worker.py, of which this was a part.
"""

import os
import random
import signal
import time
from functools import partial

import pytest

from tests.field import Field
from tests.trust.recording import Promises
from tests.trust.ssh_truth import (
    alternately,
    assert_right,
    forget_release,
    is_another_or_ended,
    operations_that_ran_twice,
    resume,
)

pytestmark = [pytest.mark.trust(1, 2), pytest.mark.sshd, pytest.mark.timeout(600)]


def test_killed_at_random_again_and_again(field: Field, full: bool, promise: Promises) -> None:
    field.deploy("v1")
    chance = random.Random(7)
    kills = 0
    versions = alternately()
    while kills < (200 if full else 16):
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
        promise(1).count("kills at random over SSH", len(heads))
    assert operations_that_ran_twice(field, promise(2)) == {}
