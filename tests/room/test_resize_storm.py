"""A terminal that changes its size all the time, as a window that is dragged does, while news keep coming: nothing breaks, and what
is on it afterwards is what a fresh screen would show. In a real terminal."""

import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from quarterdeck.history import clock
from quarterdeck.history.records import Observation
from tests.cli.qd_command import OPERATOR, Qd, release
from tests.room.acme import ENVIRONMENTS
from tests.room.terminal import Terminal

pytestmark = pytest.mark.timeout(300)

TARGET = "production/api"
STORM = 100  # sizes
APART = 0.03  # seconds
QUIET = 0.4  # seconds
KEYS = ("1", "2", "3", "4", "5", "6", "7", "8", "j", "k", "z", "z", "\t", "e", "l", "h")


@contextmanager
def moving(qd: Qd) -> Iterator[list[int]]:
    """Hosts fall ill and get well, notes are written, many times a second; how often so far. What goes wrong in it is raised."""
    stop, count, wrong = threading.Event(), [0], list[BaseException]()

    def write() -> None:
        made = release("v144", target=TARGET).id
        try:
            with qd.journal() as journal:
                while not stop.wait(0.05):
                    count[0] += 1
                    health = ("healthy", "unhealthy")[count[0] % 2]
                    hosts = ENVIRONMENTS["production"]
                    journal.observe(
                        [Observation(TARGET, host, clock.now(), made, "v144", health, None, {}) for host in hosts]
                    )
                    journal.note(f"news {count[0]}", target=TARGET)
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join(timeout=10.0)
    assert not wrong


def command(qd: Qd) -> list[str]:
    return qd.command("--fleet", str(qd.fleet_file), TARGET)


def settle(terminal: Terminal, quiet: float = QUIET) -> list[str]:
    """The screen once it shows the same for ``quiet`` seconds; without the header, and without what time does to ages."""
    last: list[str] = []
    since = time.monotonic()

    def same() -> bool:
        nonlocal last, since
        now = [re.sub(r"\d", "0", row) for row in terminal.rows[1:]]
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > quiet

    terminal.wait_until(same, "the screen to stand still")
    return last


def same_drawn_anew(terminal: Terminal, quiet: float = QUIET) -> bool:
    """Whether the screen shows after ctrl-l, which draws it anew, what it has shown before."""
    before = settle(terminal, quiet)
    terminal.send("\x0c")  # ctrl-l
    return settle(terminal, quiet) == before


def on_view(terminal: Terminal, number: str) -> bool:
    return f"[{number}" in terminal.rows[1]


def unbroken(terminal: Terminal, qd: Qd) -> None:
    """It goes when it is asked to, with no word about a fault, on the screen or in its log."""
    terminal.send("Q")
    assert terminal.wait_ended() == 0
    assert b"Traceback" not in terminal.received
    assert b"fault of its own" not in terminal.received
    logs = list((qd.directory / "xdg").rglob("room.log"))
    assert logs, "where is the room's own log?"
    for log in logs:
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hundred_sizes_in_a_few_seconds_while_data_moves(acme: Qd, seed: int) -> None:
    with Terminal(command(acme), environment=acme.environ()) as terminal:
        terminal.wait_for(">api")
        # On a busy machine something may come so late that ctrl-l comes before it; what is left over is left over again.
        assert any(storm(terminal, acme, random.Random(seed)) for _ in range(3)), (
            "something was left over from another size"
        )
        unbroken(terminal, acme)


def storm(terminal: Terminal, qd: Qd, draw: random.Random) -> bool:
    """Whether nothing is left over from the sizes."""
    with moving(qd) as count:
        number = 0
        while number < STORM or (count[0] <= 10 and number < 20 * STORM):
            terminal.resize(draw.randint(20, 250), draw.randint(5, 80))
            if number % 4 == 0:
                terminal.send(draw.choice(KEYS))
            time.sleep(APART)
            number += 1
        assert count[0] > 10, "nothing moved"
        noted = count[0]
        terminal.resize(120, 35)
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer on the last line")
        terminal.send("1")
        terminal.wait_for("[1 Overview]")
        terminal.wait_until(lambda: count[0] > noted, "more news")
    terminal.send(":events production/api\r")
    terminal.wait_for("[5 History]")
    terminal.send("g")  # the newest news: it has not stopped listening
    terminal.wait_for(f"news {count[0]}")
    terminal.send("1")
    terminal.wait_for("[1 Overview]")
    return same_drawn_anew(terminal, quiet=2 * QUIET)


@pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 60)], ids=str)
def test_a_view_leaves_nothing_behind_in_another(acme: Qd, size: tuple[int, int]) -> None:
    with Terminal(command(acme), size=size, environment=acme.environ()) as terminal:
        terminal.wait_for(">api")
        for view in "2345678":
            for _ in range(3):  # on a busy machine something may come late; what is left over is left over again
                terminal.send(view)
                terminal.wait_until(partial(on_view, terminal, view), f"view {view}")
                settle(terminal)
                terminal.send("1")
                terminal.wait_for("[1 Overview]")
                if same_drawn_anew(terminal):
                    break
            else:
                pytest.fail(f"something of view {view} was left over")
        unbroken(terminal, acme)


def test_with_a_card_open(acme: Qd) -> None:
    draw = random.Random(3)
    with Terminal(command(acme), environment=acme.environ()) as terminal:
        terminal.wait_for("[>v144")  # the journal is read: before that there is nothing to abort
        terminal.send("A")
        terminal.wait_for("ABORT  api")
        with moving(acme):
            for _ in range(STORM):
                terminal.resize(draw.randint(20, 250), draw.randint(5, 80))
                time.sleep(APART)
        terminal.resize(120, 35)
        terminal.wait_for("ABORT  api @ PRODUCTION")
        terminal.wait_for("y abort it")
        settle(terminal)
        terminal.send("\x1b")
        terminal.wait_gone("ABORT  api")
        unbroken(terminal, acme)
    with acme.journal() as journal:
        rollout = journal.active(TARGET)
        assert rollout is not None
        assert journal.requests(rollout.id) == []


def test_at_40x10_it_says_that_it_is_too_small_and_changes_nothing(acme: Qd) -> None:
    with Terminal(command(acme), size=(40, 10), environment=acme.environ()) as terminal:
        terminal.wait_for("40x10 is too small")
        for key in "R", "D", "A", "P":
            terminal.send(key)
        terminal.send("j")
        terminal.wait_for("40x10 is too small")
        assert "ROLL BACK" not in terminal.text
        terminal.resize(20, 5)
        terminal.wait_for("20x5 is too")
        terminal.resize(80, 24)
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer on the last line")
        terminal.wait_gone("too small")
        unbroken(terminal, acme)
    with acme.journal() as journal:
        assert [request.by for rollout in journal.living() for request in journal.requests(rollout.id)] == []
        assert all(OPERATOR.name not in rollout.requested_by for rollout in journal.rollouts(TARGET))


def test_a_size_that_some_shell_exported_does_not_count(acme: Qd) -> None:
    exported = acme.environ({"COLUMNS": "120", "LINES": "35"})
    with Terminal(command(acme), size=(100, 30), environment=exported) as terminal:
        terminal.wait_for(">api")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer on the last line")
        for size in (40, 10), (90, 24), (45, 12):
            terminal.resize(*size)
            terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer on the last line")
        lines = [int(found[1]) for found in re.finditer(rb"\x1b\[(\d+);\d+H", bytes(terminal.received))]
        assert max(lines) <= 30, "it was drawn for a terminal that is not there"
        unbroken(terminal, acme)
