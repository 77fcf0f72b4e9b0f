"""The room and its terminal: it leaves when the terminal is gone, waits when it is not read, and always gives it back."""

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.cli.qd_command import Qd
from tests.room.terminal import Terminal

LEAVES_WITHIN = 30.0  # seconds, on a machine with others on it: what it takes by itself is less than two


def opened(qd: Qd, *options: str, **environment: str) -> Terminal:
    return Terminal(qd.command("--fleet", str(qd.fleet_file), *options), environment=qd.environ(environment))


def log_of(qd: Qd) -> Path:
    return qd.directory / "xdg" / "quarterdeck" / "_room" / "room.log"


def given_back(terminal: Terminal) -> bool:
    """The alternate screen is left, the cursor and wrapping are on, in this order after whatever was drawn."""
    end = bytes(terminal.received)[-400:]
    return b"\x1b[?1049l" in end and b"\x1b[?25h" in end and b"\x1b[?7h" in bytes(terminal.received)


@pytest.mark.parametrize("ignored", [False, True], ids=["by-sighup", "sighup-ignored"])
def test_the_terminal_vanishes_and_the_room_leaves(filled: Qd, ignored: bool) -> None:
    """As when a connection drops; under nohup no signal tells of it, and nothing may spin."""
    command = filled.command("--fleet", str(filled.fleet_file))
    if ignored:
        command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command]
    with Terminal(command, environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.hang_up()
        terminal.wait_ended(deadline=LEAVES_WITHIN)
        assert terminal.status in (128 + signal.SIGHUP, -signal.SIGHUP)
    assert "Traceback" not in log_of(filled).read_text()


def test_what_a_card_had_armed_is_given_up_with_the_terminal(filled: Qd) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:  # takes connections and never says a word
        text = filled.fleet_file.read_text()
        filled.fleet_file.write_text(text.replace('127.0.0.1:3"', f'127.0.0.1:{silent.getsockname()[1]}"'))
        with opened(filled, "production/api", "--look", "dark") as terminal:
            terminal.wait_for(">api")
            terminal.wait_for("v2")  # the journal is read: before that there is nothing to go back from
            terminal.send("R")
            shown = terminal.wait_for(" rollout 5 =")
            assert "ROLL BACK  api @ PRODUCTION" in shown
            terminal.hang_up()
            terminal.wait_ended(deadline=LEAVES_WITHIN)
        with filled.journal() as journal:
            assert [request.kind for request in journal.requests(5)] == ["cancel"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order_and_the_terminal_is_given_back(filled: Qd, number: signal.Signals) -> None:
    with opened(filled) as terminal:
        terminal.wait_for(">api")
        os.kill(terminal.pid, number)
        assert terminal.wait_ended(deadline=LEAVES_WITHIN) == 128 + number
        terminal.wait_until(lambda: given_back(terminal), "the terminal to be given back")


def test_a_signal_ends_it_even_when_nobody_reads_the_terminal(filled: Qd) -> None:
    with opened(filled, "--look", "dark") as terminal:
        terminal.wait_for(">api")
        terminal.paused = True
        stuff(terminal)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.wait_ended(deadline=LEAVES_WITHIN) == 128 + signal.SIGTERM


def stuff(terminal: Terminal) -> None:
    """Has it draw until the terminal takes no more: whole screens, as fast as it can."""
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        terminal.send("z" * 20)
        time.sleep(0.05)


def test_ctrl_z_goes_back_to_the_shell_and_fg_comes_back(filled: Qd) -> None:
    qd = " ".join(f"'{word}'" for word in filled.command("--fleet", str(filled.fleet_file)))
    with Terminal(["bash", "--norc", "--noprofile", "-i"], environment=filled.environ({"PS1": "shell> "})) as terminal:
        terminal.wait_for("shell>")
        terminal.send(f"{qd}\r")
        terminal.wait_for(">api")
        terminal.send("\x1a")
        terminal.wait_for("Stopped")
        terminal.send("echo back$((40+2))\r")
        terminal.wait_for("back42")
        terminal.send("fg\r")
        terminal.wait_for(">api")
        terminal.send("z")
        terminal.wait_until(lambda: terminal.rows[4].startswith(" SERVICE"), "a zoomed matrix")
        terminal.send("Q")
        terminal.wait_for("shell>")
        terminal.send("echo status$?\r")
        terminal.wait_for("status0")


def test_ctrl_z_without_a_shell_to_go_back_to_does_nothing(filled: Qd) -> None:
    with opened(filled) as terminal:
        terminal.wait_for(">api")  # also of the first paint: the key is for the room
        terminal.send("\x1a")
        terminal.wait_for("there is no shell to go back to")
        terminal.send("Q")
        assert terminal.wait_ended() == 0


BREAKS = """
import sys
from quarterdeck.tui.room.deeds import room
from quarterdeck.tui.main import main

async def breaks(_room, _words):
    secret = "hunter2"
    raise ZeroDivisionError("no such luck")

room.HANDLERS["zoom"] = breaks
sys.exit(main(sys.argv[1:]))
"""


def test_a_fault_of_the_room_itself_is_one_sentence_and_the_rest_is_in_its_log(filled: Qd) -> None:
    command = [sys.executable, "-c", BREAKS, "--fleet", str(filled.fleet_file)]
    with Terminal(command, size=(100, 24), environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.send("z")
        assert terminal.wait_ended() == 1
        terminal.wait_until(lambda: given_back(terminal), "the terminal to be given back")
        terminal.wait_for("a fault of its own (ZeroDivisionError: no such luck)")
        after = bytes(terminal.received).rpartition(b"\x1b[?1049l")[2].decode()
        assert "Traceback" not in after
        assert str(log_of(filled)) in "".join(after.split("\r\n")).replace("\n", "")
    log = log_of(filled)
    text = log.read_text()
    assert "Traceback" in text
    assert "ZeroDivisionError: no such luck" in text
    assert "hunter2\n" not in text.replace('secret = "hunter2"', "")  # no values of variables
    assert log.stat().st_mode & 0o777 == 0o600
