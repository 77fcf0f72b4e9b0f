"""Promise 1: SIGKILL the worker that takes a deploy back, at any boundary: a new one goes on with that, and no event is lost.

Taken out: as in test_01_killed_worker.py, of which this was a part.
"""

from pathlib import Path

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import Field
from tests.sshd import wait_for
from tests.trust.recording import Promises
from tests.trust.ssh_truth import DYING, nothing_is_lost, resume

pytestmark = [pytest.mark.trust(1), pytest.mark.sshd, pytest.mark.timeout(600)]

BOUNDARIES = 24  # as far as the last write of taking back, at the least


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_boundary_of_an_abort(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, full: bool, promise: Promises
) -> None:
    """Taking back goes on under an epoch of its own, and each worker that takes it over has one more: none is fenced by what those
    before it have told the hosts, and what the new release's start was doing is ended, not waited for."""
    field.make_version("slow", start='touch ../../begun; sleep 4321; echo "$QD_RELEASE" > ../../running')
    field.deploy("v1")
    boundary = 14  # about when the start begins to hang
    died = tmp_path / "died"
    while True:
        for host in field.hosts.hosts:
            (field.home(host) / "begun").unlink(missing_ok=True)
        with monkeypatch.context() as dying:
            dying.setenv("PYTHONPATH", str(DYING))
            dying.setenv("QD_TEST_DIES", f"{moment} {boundary}")
            dying.setenv("QD_TEST_DIED", str(died))
            rollout = field.begin("deploy", "slow")
        begun = [field.home(host) / "begun" for host in field.hosts.hosts]
        wait_for(lambda: all(path.exists() for path in begun) or died.exists(), "the start hangs", 30)  # noqa: B023
        with field.journal() as journal:
            Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
        field.until(rollout, field.worker_has_left, 60)
        heads = [resume(field, rollout)] if died.exists() else []
        ended = field.ended(rollout, 30)
        promise(1).none(
            "wrong ends", (ended.state, field.running()) != (RolloutState.ROLLED_BACK, ["v1"] * len(field.hosts))
        )
        assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
        assert field.running() == ["v1"] * len(field.hosts)
        nothing_is_lost(field, heads, promise(1))
        if not died.exists():
            break
        died.unlink()
        promise(1).count("kills at a write over SSH")
        boundary += 1 if full else 5
    assert boundary > BOUNDARIES, "the worker left without having been killed at each of them"
