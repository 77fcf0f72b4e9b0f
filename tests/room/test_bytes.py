"""What a change costs on the line: counted at a real terminal, since a slow link is where the room is needed most."""

import re
import time

from quarterdeck.history.records import Observation
from tests.cli.qd_command import Qd, release
from tests.room.terminal import Terminal

CELL_BYTES = 350
HEAD = 4  # rows: header, tabs, alert band, head of the matrix
TICK_BYTES = 40  # the clock in the header, once a second


def _quiet(terminal: Terminal, seconds: float = 0.6) -> int:
    """Waits until nothing but the clock was drawn for a while; gives how many bytes there were by then."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        before = len(terminal.received)
        time.sleep(seconds)
        if len(terminal.received) - before <= TICK_BYTES:
            return len(terminal.received)
    raise AssertionError("the screen never stood still")


def _bytes_by_row(sent: bytes) -> dict[int, int]:
    """How many bytes were drawn in each row (1 is the first): every piece begins with the place it goes to."""
    counted: dict[int, int] = {}
    for piece in re.split(rb"(?=\x1b\[\d+;\d+H)", sent):
        if (place := re.match(rb"\x1b\[(\d+);", piece)) is not None:
            counted[int(place[1])] = counted.get(int(place[1]), 0) + len(piece)
    return counted


def test_one_changed_cell_of_the_matrix_is_cheap(acme: Qd) -> None:
    """A host of dev/cron is found running something else: its cell, two counts."""
    command = acme.command("--fleet", str(acme.fleet_file), "production/api")
    with Terminal(command, environment=acme.environ(), size=(80, 24)) as terminal:
        terminal.wait_for("CACHED")  # the room itself, in the place of the first paint
        terminal.wait_for(">api")
        terminal.send(":sort name\r")
        terminal.wait_for("matrix sorted by name")
        terminal.send("h1")  # what was said goes with the next key
        terminal.wait_gone("matrix sorted by name")
        terminal.wait_for(">api")
        before = _quiet(terminal, 1.2)  # on a busy machine the rest of the first screen may be late
        older = release("v11", target="dev/cron")
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        with acme.journal() as journal:
            journal.observe([Observation("dev/cron", "dev-1", now, older.id, "v11", "healthy", None, {})])
        terminal.wait_for("~v12 drift")
        at = next(number for number, line in enumerate(terminal.rows, 1) if "~v12 drift" in line)
        sent = bytes(terminal.received[before : _quiet(terminal)])
        # Below it rollouts are under way, whose ages go on by themselves.
        end = next(number for number, line in enumerate(terminal.rows, 1) if line.startswith("-- rollouts"))
        rows = {row: size for row, size in _bytes_by_row(sent).items() if row < end}
        assert 0 < rows[at] <= CELL_BYTES, sent
        # With it go the header's age, two counts of the tabs and the head of the matrix; no other row of services.
        assert {row for row in rows if row > HEAD} == {at}, sent
        # Without the header, whose clock goes on as long as this takes.
        drawn = sum(size for row, size in rows.items() if row > 1)
        assert drawn <= 3 * CELL_BYTES, sent
        terminal.send("Q")
        terminal.wait_ended()
