"""Promise 26 on SSH hosts: an sshd that is killed with all of its sessions in the middle of a rollout, and started at once, or after a few
seconds: it goes on, or it is taken back, or it is told what failed; success only where it runs everywhere.

Seen to fail at full counts with a lost connection taken for a step that is done, the read-back's own step too. With errors in a switch
taken for success, and nothing read back, it passed: a host ends what it has begun.
"""

import random
import time
from pathlib import Path

import pytest

from tests.conftest import StartFleet
from tests.field import Field
from tests.sshd import wait_for
from tests.trust.recording import Promises
from tests.trust.restarted import is_done

pytestmark = [
    pytest.mark.trust(26),
    pytest.mark.sshd,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("patient_journal"),
]

HOSTS = 3


@pytest.mark.parametrize("how", ["restarted", "down for seconds"])
def test_an_sshd_is_restarted_at_any_moment(
    tmp_path: Path, start_sshd_fleet: StartFleet, how: str, full: bool, promise: Promises
) -> None:
    made = Field(tmp_path, start_sshd_fleet(HOSTS))
    made.write(strategy={"rolling": {"batches": [1, "100%"]}})
    made.deploy("v1")
    chance = random.Random(how)
    before, version = "v1", "v2"
    for number in range(10 if full else 3):
        rollout = made.begin("deploy", version, force=True, reason="again")
        wait_for(lambda: made.worker_pid(rollout), "it has begun")  # noqa: B023
        time.sleep(chance.uniform(0.1, 1.2))  # the moment, not a wait for something
        victim = made.hosts[number % HOSTS]
        victim.stop()
        if how != "restarted":
            time.sleep(chance.uniform(1.0, 3.0))  # how long it is down
        victim.start()
        ended = made.ended(rollout, 90)
        names = [host.name for host in made.hosts.hosts]
        if is_done(made, ended, [version] * HOSTS, [before] * HOSTS, names, promise(26)):
            before, version = version, before
        if made.running() != [before] * HOSTS:
            made.deploy(before, arguments=["--force", "--reason", "put right"])
        assert made.running() == [before] * HOSTS
        promise(26).count(f"sshds {how}")
