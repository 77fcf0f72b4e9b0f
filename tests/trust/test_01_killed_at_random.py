"""Promises 1 and 2: SIGKILL the worker at random, again and again in one rollout: a new one resumes, the end state is right, no operation
ran twice.

Taken out: as in test_01_killed_worker.py, of which this was a part.
"""

import pytest

from tests.field import Field
from tests.trust.recording import Promises
from tests.trust.ssh_truth import killed_at_random

pytestmark = [pytest.mark.trust(1, 2), pytest.mark.sshd, pytest.mark.timeout(600)]


def test_killed_at_random_again_and_again(field: Field, full: bool, promise: Promises) -> None:
    field.deploy("v1")
    killed_at_random(field, 7, 200 if full else 16, "kills at random over SSH", promise)
