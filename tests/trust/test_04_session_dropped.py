"""Promise 4: the operator's SSH drop does not stop a rollout. Started inside a real sshd session, which is then killed.

Taken out: without ``start_new_session`` and the ignored SIGHUP (rollouts/spawn.py) the worker dies with its terminal.
"""

import os
import shlex
import signal
import subprocess

import pytest

from quarterdeck.history.records import RolloutState
from tests.field import TARGET, Field
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(4), pytest.mark.sshd, pytest.mark.timeout(600)]


def test_a_rollout_outlives_the_session_that_started_it(
    field: Field, sshd_fleet: SshdFleet, full: bool, promise: Promises
) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "3s"}})
    for number in range(20 if full else 3):
        version = ("v2", "v1")[number % 2]
        command = shlex.join(field.command("deploy", TARGET, version, "--wait"))
        with field.journal(read_only=True) as journal:
            last = journal.rollouts(TARGET, limit=1)[0].id
        client = subprocess.Popen(
            ["ssh", "-tt", "-F", str(sshd_fleet.ssh_config), sshd_fleet[0].name, command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with field.journal(read_only=True) as journal:
                wait_for(lambda: journal.rollouts(TARGET, limit=1)[0].id > last, "the rollout has begun")  # noqa: B023
                rollout = journal.rollouts(TARGET, limit=1)[0].id
            field.in_state(rollout, RolloutState.RUNNING)
            worker = field.worker_pid(rollout)
            os.kill(client.pid, signal.SIGKILL)
            assert os.getsid(worker) == worker, "the worker has a session of its own"
        finally:
            client.kill()
            client.wait()
        ended = field.ended(rollout)
        assert ended.state is RolloutState.SUCCEEDED, ended.outcome
        assert field.running() == [version] * len(field.hosts)
        promise(4).count("sessions killed")
