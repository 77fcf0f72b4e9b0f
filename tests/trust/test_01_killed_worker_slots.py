"""Promises 1 and 2 where two releases run beside each other in slots: SIGKILL the worker at any boundary, also while it is being aborted; a
new one resumes, and in the end the right release runs alone.

Taken out: a switch that found what a dead worker had started in the free slot, and did not take it for its own, would start it twice.
"""

from pathlib import Path

import pytest

from quarterdeck.history.records import RolloutState
from tests.slot_field import RUNNING, SlotField
from tests.sshd import SshdFleet
from tests.trust.recording import Promises
from tests.trust.ssh_truth import aborted_while_it_dies, killed_at_random, nothing_is_lost

pytestmark = [
    pytest.mark.trust(1, 2),
    pytest.mark.sshd,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("patient_journal"),
]


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet) -> SlotField:
    made = SlotField(tmp_path, sshd_fleet)
    made.clear_hosts()
    return made


def test_killed_at_random_again_and_again(field: SlotField, full: bool, promise: Promises) -> None:
    field.deploy("v1")
    killed_at_random(field, 11, 60 if full else 8, "kills at random with slots", promise)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_boundaries_of_an_abort(
    field: SlotField, tmp_path: Path, moment: str, full: bool, promise: Promises
) -> None:
    """The old release serves all the time, and is the only one in the end."""
    field.make_version("slow", start=f'touch ../../begun; sleep 4321; echo "$QD_RELEASE" > {RUNNING}')
    field.deploy("v1")
    starts = [len(field.starts(host)) for host in field.hosts.hosts]
    boundary, rounds = 14, 0  # about when the start begins to hang
    died = tmp_path / "died"
    while True:
        ended, heads = aborted_while_it_dies(field, died, moment, boundary)
        assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
        assert field.running() == ["v1"] * len(field.hosts)
        nothing_is_lost(field, heads, promise(1))
        rounds += 1
        if not died.exists():
            break
        died.unlink()
        promise(1).count("kills at a write with slots")
        boundary += 3 if full else 6
    assert rounds > 2, "the worker left without having been killed"
    # Each start was that of the slow one: the one that serves was never started anew.
    for host, count in zip(field.hosts.hosts, starts, strict=True):
        assert {one.rpartition("-")[0] for one in field.starts(host)[count:]} <= {"slow"}
