"""Promise 3 on Docker engines: a stale worker can't overwrite a newer release. SIGSTOP it in the middle, roll back meanwhile, SIGCONT.

Taken out: without the fence (the journal's epoch check and the register's on every engine) the woken worker goes on with its own release.
Either alone keeps it from that here; what the register does alone is tested in tests/backends/docker/test_stale_worker.py.
"""

import os
import random
import signal
import time

import pytest

from quarterdeck.history.records import RolloutState
from tests.docker_fleet import SOON, DockerField
from tests.sshd import wait_for
from tests.trust.recording import Promises
from tests.trust.test_03_stale_worker import is_alive, stop_outside_the_journal

pytestmark = [pytest.mark.trust(3), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(900)]


def test_a_worker_that_was_stopped_changes_nothing_when_it_wakes(
    docks: DockerField, full: bool, promise: Promises
) -> None:
    docks.write(strategy={"rolling": {"batches": [1]}})
    docks.deploy("1")
    # The woken worker waits for its container to become healthy, which runs no more by then: not for long.
    docks.write(health={**SOON, "healthy_deadline": "3s"})
    moments = random.Random(3)
    for number in range(20 if full else 2):
        stale = docks.begin("deploy", "2", force=True, reason="again")
        wait_for(lambda: _begins(docks), "the first engine is changing", 180)
        worker = docks.worker_pid(stale)
        time.sleep(moments.uniform(0.0, 0.4))  # in which of its steps it is stopped, not a wait for something
        stop_outside_the_journal(docks, worker)
        try:
            newer = docks.begin("rollback", "1")
            assert docks.ended(newer).state is RolloutState.SUCCEEDED, number
            docks.quiet(newer)
            assert docks.running() == docks.everywhere("1")
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_for(lambda: not is_alive(worker), "the stale worker has left", 180)  # noqa: B023
        running = docks.running()
        promise(3).none("overwrites", sum(version != "1" for version in running))
        assert running == docks.everywhere("1")
        assert docks.ended(stale).state is RolloutState.SUPERSEDED
        assert docks.strays() == []
        promise(3).count("stale workers woken on engines")


def _begins(docks: DockerField) -> bool:
    """A container of 2 runs, beside the old one or alone."""
    return any(
        one["State"] == "running" and one["Labels"]["app.version"] == "2"
        for engine in docks.engines
        for one in docks.containers(engine)
    )
