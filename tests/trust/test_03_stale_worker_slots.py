"""Promise 3 with slots: a worker that was stopped while its release ran beside the old one changes nothing when it wakes. SIGSTOP it, roll
back meanwhile, SIGCONT.

Taken out: without the fence (the journal's epoch check and the gate's on every host) it retires the release that everybody went back to.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from quarterdeck.history.records import RolloutState
from tests.slot_field import RUNNING, SERVICE, SlotField
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises
from tests.trust.test_03_stale_worker import is_alive, stop_outside_the_journal

pytestmark = [
    pytest.mark.trust(3),
    pytest.mark.sshd,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("patient_journal"),
]


def test_a_worker_that_was_stopped_changes_nothing_when_it_wakes(
    tmp_path: Path, sshd_fleet: SshdFleet, full: bool, promise: Promises
) -> None:
    field = SlotField(tmp_path, sshd_fleet)
    field.clear_hosts()
    field.write(strategy={"rolling": {"batches": [1]}}, health={**SERVICE["health"], "healthy_deadline": "1s"})
    field.deploy("v1")
    # On the last host it takes its time, so that no worker has come to its end before it is stopped, also on a busy machine.
    (field.home(field.hosts[4]) / "slow").touch()
    field.make_version("v2", start=f'test ! -e ../../slow || sleep 60; echo "$QD_RELEASE" > {RUNNING}')
    moments = random.Random(5)
    for number in range(20 if full else 3):
        stale = field.begin("deploy", "v2", force=True, reason="again")
        wait_for(lambda: beside_or_moved(field), "v2 has begun on the first host")
        worker = field.worker_pid(stale)
        time.sleep(moments.uniform(0.0, 0.1))  # in which of its steps it is stopped, not a wait for something
        stop_outside_the_journal(field, worker)
        try:
            newer = field.begin("rollback", "v1")
            assert field.ended(newer).state is RolloutState.SUCCEEDED, number
            assert field.running() == ["v1"] * len(field.hosts)
        finally:
            os.kill(worker, signal.SIGCONT)
        wait_for(lambda: not is_alive(worker), "the stale worker has left")  # noqa: B023
        running = field.running()
        promise(3).none("overwrites", sum(version != "v1" for version in running))
        assert running == ["v1"] * len(field.hosts)
        assert field.ended(stale).state is RolloutState.SUPERSEDED
        promise(3).count("stale workers woken with slots")


def beside_or_moved(field: SlotField) -> bool:
    return any(
        link.readlink().name.startswith("v2-")
        for host in field.hosts.hosts
        for link in (field.home(host) / "slots").glob("*")
    )
