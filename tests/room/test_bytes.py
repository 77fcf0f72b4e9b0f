"""What a change costs on the line: counted at a real terminal, since a slow link is where the room is needed most."""

import time

from quarterdeck.history.records import Observation
from tests.cli.qd_command import Qd, release
from tests.room.terminal import Terminal

CELL_BYTES = 350
TICK_BYTES = 40  # the clock in the header, once a second


def _quiet(terminal: Terminal, seconds: float = 0.6) -> int:
    """Waits until nothing but the clock was drawn for a while; gives how many bytes there were by then."""
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        before = len(terminal.received)
        time.sleep(seconds)
        if len(terminal.received) - before <= TICK_BYTES:
            return len(terminal.received)
    raise AssertionError("the screen never stood still")


def test_one_changed_cell_of_the_matrix_is_cheap(acme: Qd) -> None:
    """A host of dev/cron is found running something else: its cell, two counts."""
    command = acme.command("--fleet", str(acme.fleet_file), "production/api")
    with Terminal(command, environment=acme.environ(), size=(80, 24)) as terminal:
        terminal.wait_for("LIVE")
        terminal.wait_for(">api")
        terminal.send(":sort name\r")
        terminal.wait_for("matrix sorted by name")
        terminal.send("h1")  # what was said goes with the next key
        terminal.wait_gone("matrix sorted by name")
        terminal.wait_for(">api")
        before = _quiet(terminal)
        began = time.monotonic()
        older = release("v11", target="dev/cron")
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        with acme.journal() as journal:
            journal.observe([Observation("dev/cron", "dev-1", now, older.id, "v11", "healthy", None, {})])
        terminal.wait_for("~v12 drift")
        after = _quiet(terminal)
        clock = int(time.monotonic() - began + 1) * TICK_BYTES
        assert after - before - clock <= CELL_BYTES, bytes(terminal.received[before:])
        terminal.send("Q")
        terminal.wait_ended()
