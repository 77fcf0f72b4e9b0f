"""Promise 7: acknowledged history survives SIGKILL.

Seen to fail with each commit put off until the next write: what was told last is gone.
"""

import itertools
import random
import signal
import time
from pathlib import Path

import pytest

from quarterdeck.history import audit
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, RolloutKind, RolloutState, StepState
from tests.history.forks import Fork, Report
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(7), pytest.mark.timeout(600)]

KILLS = 100


def test_no_acknowledged_row_is_lost_when_a_busy_writer_is_killed(tmp_path: Path, promise: Promises) -> None:
    state = tmp_path / "state"
    moments = random.Random(7)
    acknowledged = 0

    def busy(report: Report) -> None:
        with Journal.open(state) as journal:

            def acknowledged_now() -> None:
                seq, digest = journal.head()
                report(f"event {seq} {digest}")

            for number in itertools.count():
                rollout = journal.arm(f"production/service-{number % 5}", RolloutKind.ROLLBACK).id
                acknowledged_now()
                epoch = journal.begin(rollout, preempt="everything")
                acknowledged_now()
                steps = [NewStep(seq, f"web-{seq}", "switch", 0, {"pad": "x" * 300}) for seq in range(5)]
                journal.add_steps(rollout, epoch, steps)
                for seq in range(5):
                    journal.start_steps(rollout, epoch, [seq])
                    acknowledged_now()
                    journal.end_step(rollout, epoch, seq, StepState.DONE, {"seconds": 0.1})
                    report(f"step {rollout} {seq}")
                journal.set_state(rollout, epoch, RolloutState.SUCCEEDED)
                report(f"ended {rollout} 0")

    for kill in range(KILLS):
        with Fork(busy) as writer:
            lines = [writer.line() for _ in range(moments.randint(1, 40))]
            time.sleep(moments.uniform(0.0, 0.002))  # the moment of the kill, not a wait for something
            writer.send(signal.SIGKILL)
            lines += writer.rest()
            assert writer.wait() == -signal.SIGKILL, "the writer ended by itself"
        with Journal.open(state) as journal:
            for word, first, second in map(str.split, lines):
                acknowledged += 1
                match word:
                    case "step":
                        assert journal.steps(int(first))[int(second)].state == StepState.DONE
                    case "ended":
                        assert journal.rollout(int(first)).state == RolloutState.SUCCEEDED
                    case "event":
                        assert journal.events(int(first) - 1, limit=1)[0].hash == second
            if kill % 10 == 9:
                assert journal.integrity_faults() == []
                assert audit.verify(journal).faults == []
        promise(7).count("busy writers killed")
        promise(7).count("acknowledged rows that were there", len(lines))
    assert acknowledged > KILLS
