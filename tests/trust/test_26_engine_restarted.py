"""Promise 26: an engine that is restarted in the middle of a rollout: it goes on, or it is taken back, or it is told what failed; success
only where it runs everywhere.

Seen to fail with an error in a switch, and the read-back at the end, taken for success: it is called one, and something else runs. Not seen
with the read-back alone taken out.
"""

import random
import time

import pytest

from tests.docker_fleet import DockerField
from tests.driver import TARGET
from tests.sshd import wait_for
from tests.trust.recording import Promises
from tests.trust.restarted import is_done

pytestmark = [pytest.mark.trust(26), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.mark.parametrize("how", ["restarted", "killed", "restarted, one after the other"])
def test_an_engine_is_restarted_at_any_moment(docks: DockerField, how: str, full: bool, promise: Promises) -> None:
    if "one after the other" in how:
        # For a moment nothing runs there. An engine that is stopped just then leaves nothing running: it takes the new one with it, which
        # it may have said to be well a second before, and starts it again when it is back.
        docks.container = {"volumes": ["data:/var/data"], "restart": "always"}
    docks.write(strategy={"rolling": {"batches": [1, "100%"]}})
    docks.deploy("1")
    chance = random.Random(how)
    version = before = "1"
    for number in range(10 if full else 2):
        version, before = ("2", "1") if before == "1" else ("1", "2")
        rollout = docks.begin("deploy", version, force=True, reason="again")
        wait_for(lambda: docks.worker_pid(rollout), "it has begun")  # noqa: B023
        victim = docks.engines[number % 2]
        time.sleep(chance.uniform(0.5, 2.5))  # the moment, not a wait for something
        if how == "killed":
            victim.kill()
        else:
            victim.stop()
        victim.start()
        ended = docks.ended(rollout, 120)
        docks.quiet(rollout)
        names = [f"box-{place}" for place, _ in enumerate(docks.engines, 1)]
        if is_done(docks, ended, docks.everywhere(version), docks.everywhere(before), names, promise(26)):
            before = version
        if docks.running() != docks.everywhere(before):
            put_right(docks, before)
        assert docks.running() == docks.everywhere(before)
        assert docks.strays() == []
        promise(26).count("engines killed" if how == "killed" else "engines restarted")


def put_right(docks: DockerField, version: str) -> None:
    """An engine that was killed in the middle of a start may say of the next one that its task exists already: it is asked again, as an
    operator would who was told so."""
    for _ in range(3):
        done = docks.qd("deploy", TARGET, version, "--wait", "--force", "--reason", "put right")
        if done.returncode == 0:
            return
        assert "already exists" in done.stdout + done.stderr, done.stdout + done.stderr
    raise AssertionError(done.stdout + done.stderr)
