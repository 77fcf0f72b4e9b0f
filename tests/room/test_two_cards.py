"""A card that lies on a card: what is behind both goes on being live, and so does the lower one."""

import re

from tests.cli.qd_command import Qd
from tests.room.terminal import Terminal

CLOCK = re.compile(r"\d\d:\d\d:\d\dZ")


def clock(terminal: Terminal) -> str:
    """The time in the header, which the room says is now."""
    found = CLOCK.search(terminal.rows[0])
    assert found is not None, terminal.text
    return found[0]


def test_behind_two_cards_the_room_goes_on(filled: Qd) -> None:
    with Terminal(
        filled.command("--fleet", str(filled.fleet_file), "production/api"), environment=filled.environ()
    ) as terminal:
        terminal.wait_for(">api")
        terminal.wait_for("v2")  # the journal is read: before that there is nothing to go back from
        terminal.send("R")
        terminal.wait_for("Nothing was started.")  # those hosts can't be reached
        terminal.send("v")
        terminal.wait_for("versions of production/api")
        before = clock(terminal)
        terminal.wait_until(lambda: clock(terminal) != before, "the clock behind both cards to go on")
        assert "versions of production/api" in terminal.text
