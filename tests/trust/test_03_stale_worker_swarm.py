"""Promise 3 on a Swarm: a stale worker can't overwrite a newer release. SIGSTOP it in the middle, roll back meanwhile, SIGCONT.

Without the fence (the journal's epoch check, the register's and the services' marks) the woken worker was still at work a minute later,
which fails here; that it overwrites something was not seen. What Swarm itself refuses of such a worker, whatever the journal says, is
tested in tests/backends/swarm/test_trouble.py.
"""

import contextlib
import os
import random
import signal
import time

import pytest

from quarterdeck.history.records import ENDED, RolloutState
from tests.sshd import wait_for
from tests.swarm_fleet import SwarmFleet
from tests.swarm_in_motion import wait
from tests.trust.recording import Promises
from tests.trust.swarm_truth import all_of
from tests.trust.test_03_stale_worker import is_alive, stop_outside_the_journal

pytestmark = [pytest.mark.trust(3), pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


def test_a_worker_that_was_stopped_changes_nothing_when_it_wakes(
    harbour: SwarmFleet, full: bool, promise: Promises
) -> None:
    harbour.deploy("1")
    moments = random.Random(3)
    woken = 0
    while woken < (4 if full else 1):
        stale = harbour.begin("deploy", "2", force=True, reason="again")
        wait(lambda: "2" in harbour.versions(), "a task of 2 runs")
        worker = harbour.worker_pid(stale)
        time.sleep(moments.uniform(0.0, 2.0))  # in which of its steps it is stopped, not a wait for something
        with contextlib.suppress(ProcessLookupError):
            stop_outside_the_journal(harbour, worker)
        with harbour.journal(read_only=True) as journal:
            over = journal.rollout(stale).state in ENDED
        if over:  # this process was slow, and nothing was stopped in its middle
            if is_alive(worker):
                os.kill(worker, signal.SIGCONT)
            harbour.quiet(stale)
            harbour.quiet(harbour.rollback()["rollout"])
            continue
        woken += 1
        try:
            newer = harbour.begin("rollback", "1")
            assert harbour.ended(newer, 240).state is RolloutState.SUCCEEDED, woken
            harbour.quiet(newer)
            assert harbour.versions() == all_of("1")
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_for(lambda: not is_alive(worker), "the stale worker has left", 60)  # noqa: B023
        versions = harbour.versions()
        promise(3).none("overwrites", sum(version != "1" for version in versions))
        assert versions == all_of("1")
        assert harbour.spec()["Labels"]["dev.quarterdeck.release"].startswith("1-")
        assert harbour.ended(stale).state is RolloutState.SUPERSEDED
        assert harbour.strays() == []
        promise(3).count("stale workers woken on a Swarm")
