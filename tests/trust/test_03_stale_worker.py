"""Promise 3: a stale worker can't overwrite a newer release. SIGSTOP it in the middle, roll back meanwhile, SIGCONT.

Taken out: without the fence (the journal's epoch check and the gate's on every host) the woken worker goes on with its own release.
Either alone keeps it from that here; what the gate does alone is tested by the racing writers.
"""

import os
import random
import signal
import time
from unittest.mock import patch

import pytest

from quarterdeck.history import engine
from quarterdeck.history.errors import JournalBusy
from quarterdeck.history.records import RolloutState
from tests.driver import Driver
from tests.engine import stands_still
from tests.field import HEALTH, Field
from tests.sshd import wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(3), pytest.mark.sshd, pytest.mark.timeout(900)]


def test_a_worker_that_was_stopped_changes_nothing_when_it_wakes(field: Field, full: bool, promise: Promises) -> None:
    # The woken worker waits for its host to become healthy, which runs the other release by now: not for long.
    field.write(strategy={"rolling": {"batches": [1]}}, health={**HEALTH, "healthy_deadline": "1s"})
    field.deploy("v1")
    # On the last host it takes its time, so that no worker has come to its end before it is stopped, also on a busy machine.
    (field.home(field.hosts[4]) / "slow").touch()
    field.make_version("v2", start='test ! -e ../../slow || sleep 60; echo "$QD_RELEASE" > ../../running')
    moments = random.Random(3)
    for number in range(50 if full else 3):
        stale = field.begin("deploy", "v2", force=True, reason="again")
        wait_for(lambda: "v2" in field.running(), "the first host has changed")
        worker = field.worker_pid(stale)
        time.sleep(moments.uniform(0.0, 0.1))  # in which of its steps it is stopped, not a wait for something
        stop_outside_the_journal(field, worker)
        try:
            newer = field.begin("rollback")
            assert field.ended(newer).state is RolloutState.SUCCEEDED, number
            assert field.running() == ["v1"] * len(field.hosts)
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_for(lambda: not is_alive(worker), "the stale worker has left")  # noqa: B023
        running = field.running()
        promise(3).none("overwrites", sum(version != "v1" for version in running))
        assert running == ["v1"] * len(field.hosts)
        assert field.ended(stale).state is RolloutState.SUPERSEDED
        promise(3).count("stale workers woken over SSH")


def stop_outside_the_journal(field: Driver, worker: int) -> None:
    """Not in the middle of a write: nobody could write then, and would be told who is to blame (promise 10)."""
    until = time.monotonic() + 60
    while True:
        os.kill(worker, signal.SIGSTOP)
        # One that the signal has not reached may take the journal's lock meanwhile.
        wait_for(lambda: stands_still(worker), "every thread of the worker stands still")
        try:
            with patch.object(engine, "BUSY_SECONDS", 2.8), field.journal() as journal:
                journal.note("the worker is stopped")
            return
        except JournalBusy:
            if time.monotonic() > until:
                raise
            os.kill(worker, signal.SIGCONT)
            time.sleep(0.02)  # it goes on meanwhile; whether far enough is seen at the next look


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
