"""A room whose terminal is not read for long. Most of the time this waits: see MOSTLY_WAIT in tests/conftest.py."""

import os
import time
from pathlib import Path

from tests.cli.qd_command import Qd
from tests.room.test_terminal_life import opened, stuff


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_terminal_that_is_not_read_for_30_seconds_recovers_by_itself(filled: Qd) -> None:
    """And what others do meanwhile is there afterwards: the journal is not held up by a screen."""
    with opened(filled) as terminal:
        terminal.wait_for(">api")
        terminal.paused = True
        stuff(terminal)
        time.sleep(14)
        filled("note", "written while nobody looked")
        time.sleep(13)
        before = cpu_seconds(terminal.pid)
        time.sleep(1.0)
        assert cpu_seconds(terminal.pid) - before < 0.3
        terminal.paused = False
        terminal.send("1")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer")
        terminal.send(":look light\r")
        terminal.wait_for("look light")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
