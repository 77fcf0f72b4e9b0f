"""Promise 11, the rollout's part: a wall clock that jumps three days starts no takeover, and makes no pause longer or shorter.

Taken out: were the pause's end kept as wall time, the worker that takes over would wait for all of it again, or for nothing.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import ENDED, Event, RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import TARGET, Field
from tests.requirements_here import need
from tests.sshd import wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(11), pytest.mark.sshd]

PAUSE = 10.0  # seconds
LATE = 20.0  # seconds that a busy machine may add: far less than three days
EARLY = 0.1  # seconds


class WallClock:
    """The wall clock of the processes that are started with ``environment``; it can be set while they run.

    Their other clocks go on, as they do when a real wall clock is set.
    """

    def __init__(self, directory: Path) -> None:
        need(shutil.which("faketime") is not None, "faketime")
        library = subprocess.run(
            ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True, timeout=90
        ).stdout.strip()
        self._file = directory / "clock"
        self.shift("+0")
        self.environment = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds; without it every look at a clock reads the file, too slow for a busy machine
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def shift(self, by: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{by}\n")
        os.replace(new, self._file)


def boottime() -> float:
    """Of this process, whose clocks nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def end_of_pause(journal: Journal, rollout: int) -> float:
    """Waits for the pause to begin, and gives the moment when it is to end (boot time)."""

    def begun() -> list[Event]:
        return journal.events(rollout=rollout, kind="pause.until")

    wait_for(lambda: begun() or journal.rollout(rollout).state in ENDED, "the pause has begun", 60)
    assert begun(), f"no pause: {journal.rollout(rollout).outcome}"
    end = float(begun()[0].body["until"])
    assert -60 < end - boottime() <= PAUSE, "the end of the pause is no boot time"
    return end


def begun_with_a_pause(field: Field) -> tuple[int, float]:
    """A rollout in its pause, and the moment when that is to end. Once more where it reached no host: with that library between it and its
    clocks a worker on a busy machine may take longer for its handshakes than it has; nothing was changed then."""
    for left in (2, 1, 0):
        rollout = field.begin("deploy", "v2")
        with field.journal(read_only=True) as journal:
            wait_for(
                lambda: journal.rollout(rollout).state in ENDED or journal.events(rollout=rollout, kind="pause.until"),  # noqa: B023
                "the pause has begun",
                60,
            )
            late = journal.rollout(rollout)
            if not (left and late.state is RolloutState.CANCELLED and "no answer within" in late.outcome):
                break
    with field.journal(read_only=True) as journal:
        return rollout, end_of_pause(journal, rollout)


def pause_is_over(journal: Journal, rollout: int) -> bool:
    return any(event.body["action"] == "pause" for event in journal.events(rollout=rollout, kind="step.done"))


def assert_over_at(journal: Journal, rollout: int, end: float, *, least: float = 0.0, most: float) -> None:
    """``least``, ``most``: seconds that the last worker has waited, by its own clock that nobody sets: this test may look late."""
    wait_for(lambda: pause_is_over(journal, rollout), "the pause is over")
    assert boottime() - end > -EARLY, boottime() - end
    (done,) = [e for e in journal.events(rollout=rollout, kind="step.done") if e.body["action"] == "pause"]
    assert least - EARLY < done.body["outcome"]["seconds"] < most


def pauses_begun(journal: Journal, rollout: int) -> int:
    return len([e for e in journal.events(rollout=rollout, kind="step.started") if e.body["action"] == "pause"])


@pytest.fixture
def clock(field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The wall clock of the workers that this test starts."""
    made = WallClock(tmp_path)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": f"{PAUSE:g}s"}})
    return made


def assert_it_succeeded(field: Field, journal: Journal, rollout: int, *, takeovers: int) -> None:
    ended = field.ended(rollout)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert field.running() == ["v2"] * len(field.hosts)
    assert len(journal.events(rollout=rollout, kind="takeover")) == takeovers
    days = {event.time[:10] for event in journal.events(rollout=rollout)}
    assert len(days) > 1, "the worker's clock was not shifted: nothing was tested"


@pytest.mark.parametrize("jump", ["+3d", "-3d"])
def test_a_jump_while_it_pauses(field: Field, clock: WallClock, jump: str, promise: Promises) -> None:
    rollout, end = begun_with_a_pause(field)
    with field.journal(read_only=True) as journal:
        clock.shift(jump)
        field.qd("status", TARGET)  # whoever looks now sees no orphan
        assert_over_at(journal, rollout, end, least=PAUSE, most=PAUSE + LATE)
        assert_it_succeeded(field, journal, rollout, takeovers=0)
    promise(11).count("jumps of the clock")


@pytest.mark.parametrize("jump", ["+3d", "-3d"])
def test_a_jump_and_a_new_worker_while_it_pauses(field: Field, clock: WallClock, jump: str, promise: Promises) -> None:
    """Once more where the new worker reached no host in its time, as in ``begun_with_a_pause``: then it took the deploy back."""
    for left in (2, 1, 0):
        rollout, end = begun_with_a_pause(field)
        with field.journal() as journal:
            wait_for(lambda: boottime() > end - PAUSE / 2, "half of the pause is over", PAUSE)  # noqa: B023
            os.kill(field.worker_pid(rollout), signal.SIGKILL)
            wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is dead")  # noqa: B023
            clock.shift(jump)
            Control(field.fleet(), journal, current_operator()).resume(rollout)
            wait_for(
                lambda: pauses_begun(journal, rollout) == 2 or journal.rollout(rollout).state in ENDED,  # noqa: B023
                "the new worker waits",
                60,
            )
            # On a machine that is busy the new worker may come when the pause should have been over: then it waits no longer.
            if pauses_begun(journal, rollout) == 2:
                assert_over_at(
                    journal, rollout, end, most=PAUSE
                )  # half of it is left at most; all of it where it began again
            ended = field.ended(rollout)
            if left and ended.state is RolloutState.ROLLED_BACK and "no answer within" in ended.outcome:
                clock.shift("+0")
                field.until(rollout, field.worker_has_left)
                continue
            assert_it_succeeded(field, journal, rollout, takeovers=1)
            break
    promise(11).count("jumps of the clock")
