"""A room whose terminal is not read for long. Most of the time this waits: see MOSTLY_WAIT in tests/conftest.py."""

import os
import time
from pathlib import Path

import pytest

from quarterdeck.history.records import RolloutState
from tests.room.playing import Play, eventually, play
from tests.room.test_terminal_life import stuff

__all__ = ["play"]

pytestmark = pytest.mark.timeout(300)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_terminal_that_is_not_read_for_30_seconds_recovers_by_itself(play: Play) -> None:
    """A rollout under way goes on to its end meanwhile, and what others do is there afterwards: neither hosts nor the journal are held
    up by a screen."""
    slow = str(play.directory / play.slow("18s"))
    with play.room("staging/web") as terminal:
        terminal.wait_for("[=v1")
        play.qd("--fleet", slow, "deploy", "staging/web", "v2", "--detach")
        terminal.wait_for("[>v2")
        begun = time.monotonic()
        terminal.paused = True
        stuff(terminal)
        eventually(lambda: play.runs("staging/web") == ["v2", "v1"], "the first host, and the pause behind it")
        time.sleep(12)
        play.qd("note", "written while nobody looked")
        eventually(lambda: play.rollouts("staging/web")[0].state is RolloutState.SUCCEEDED, "the rollout's end", 90.0)
        assert play.runs("staging/web") == ["v2", "v2"]
        time.sleep(max(29 - (time.monotonic() - begun), 0))
        before = cpu_seconds(terminal.pid)
        time.sleep(1.0)
        assert cpu_seconds(terminal.pid) - before < 0.3
        terminal.paused = False
        terminal.send("1")
        terminal.wait_for("[=v2")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer")
        terminal.send("5")
        terminal.wait_for("written while nobody looked")
        terminal.send(":look light\r")
        terminal.wait_for("look light")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
