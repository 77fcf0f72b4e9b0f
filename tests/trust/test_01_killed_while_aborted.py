"""Promise 1: SIGKILL the worker that takes a deploy back, at any boundary: a new one goes on with that, and no event is lost.

Taken out: as in test_01_killed_worker.py, of which this was a part.
"""

from pathlib import Path

import pytest

from quarterdeck.history.records import RolloutState
from tests.field import Field
from tests.trust.recording import Promises
from tests.trust.ssh_truth import aborted_while_it_dies, nothing_is_lost

pytestmark = [pytest.mark.trust(1), pytest.mark.sshd, pytest.mark.timeout(600)]

BOUNDARIES = 24  # as far as the last write of taking back, at the least


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_boundary_of_an_abort(
    field: Field, tmp_path: Path, moment: str, full: bool, promise: Promises
) -> None:
    """Taking back goes on under an epoch of its own, and each worker that takes it over has one more: none is fenced by what those
    before it have told the hosts, and what the new release's start was doing is ended, not waited for."""
    field.make_version("slow", start='touch ../../begun; sleep 4321; echo "$QD_RELEASE" > ../../running')
    field.deploy("v1")
    boundary = 14  # about when the start begins to hang
    died = tmp_path / "died"
    while True:
        ended, heads = aborted_while_it_dies(field, died, moment, boundary)
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
