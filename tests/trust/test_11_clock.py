"""Promise 11, the journal's part: a wall clock that is three days off changes no decision, no order and no lock.

Seen to fail with signs of life in wall time: that of a worker which lives is older than it can be.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.history import audit
from quarterdeck.history.clock import boot_id
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import WorkerLock, mark_orphaned, orphans
from quarterdeck.history.records import RolloutKind, RolloutState
from tests.requirements_here import need
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(11)

TARGET = "production/api"

LOOK = """
import sys, time
from pathlib import Path
from quarterdeck.history.clock import boottime
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import mark_orphaned, orphans
from quarterdeck.history.records import RolloutKind, RolloutState
with Journal.open(Path(sys.argv[1])) as journal:
    rollout = journal.arm("production/api", RolloutKind.DEPLOY, to_release=sys.argv[2])
    print(int(time.time()), len(orphans(journal)))
    for found in journal.rollouts(active_only=True):
        print(mark_orphaned(journal, found).state)
        print(0 <= boottime() - journal.worker(found.id).heartbeat < 600_000_000_000)
    journal.set_state(rollout.id, None, RolloutState.SUCCEEDED)
    print(journal.current_release("production/api"))
"""


def look(state: Path, release: str, shift: str) -> list[str]:
    """Another qd on this machine, whose wall clock is off. The other clocks go on as they do when a real one jumps."""
    done = subprocess.run(
        ["faketime", "-f", shift, sys.executable, "-c", LOOK, str(state), release],
        env={**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_no_takeover_and_no_other_order_when_the_clock_jumps(tmp_path: Path, promise: Promises) -> None:
    need(shutil.which("faketime") is not None, "faketime")
    state = tmp_path / "state"
    with Journal.open(state) as journal:
        rollout = journal.arm("production/worker", RolloutKind.DEPLOY).id
        journal.set_worker(rollout, os.getpid(), 1, boot_id())
        epoch = journal.begin(rollout, preempt="nothing")
        lock = WorkerLock.acquire(state, rollout)
    clocks = []
    for number, shift in enumerate(("+3d", "-3d", "+3d", "-3d")):
        clock, orphaned, running, heartbeat_is_young, current = look(state, f"v{number}", shift)
        clocks.append(int(clock))
        assert orphaned == "0"
        assert running == RolloutState.RUNNING
        assert heartbeat_is_young == "True"
        assert current == f"v{number}", "what ended last counts, whatever its time says"
    assert clocks[0] - clocks[1] > 5 * 86400, "the clocks were really shifted"
    with Journal.open(state) as journal:
        assert journal.rollout(rollout).epoch == epoch
        promise(11).none("takeovers", len(journal.events(kind="takeover")))
        assert journal.events(kind="takeover") == []
        events = journal.events()
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [event.time for event in events] != sorted(event.time for event in events)
        assert audit.verify(journal).faults == []
        lock.release()
        assert [found.id for found in orphans(journal)] == [rollout], "a lock that is free is noticed at once"
        assert mark_orphaned(journal, journal.rollout(rollout)).state == RolloutState.ORPHANED
    promise(11).count("jumps of the clock", len(clocks))
