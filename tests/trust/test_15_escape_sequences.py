"""Promise 15, the logs: nothing that a host writes into its log reaches the operator's terminal as anything but text.

Real log files on a real SSH host, through the collector and the room, to a real terminal that is read back.

Seen to fail with the cleaning of lines taken out (``clean`` leaves sequences and controls in): on the terminal and in what is saved.
"""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.field import TARGET, Field
from tests.room.escape_corpus import CLIPBOARD, CORPUS, TITLE, corpus_lines
from tests.room.terminal import Terminal
from tests.sshd import SshdFleet
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(15)

SIZE = (100, 100)
CLOCK = re.compile(r"\d\d:\d\d:\d\dZ|LIVE[ \w]*")
FORBIDDEN = (
    b"\x1b]52",  # a clipboard that is written
    b"\x1b]8;",  # links
    b"\x1b]9;",
    b"\x1b]777",
    b"\x1b]4;",
    b"\x1b]10;#ff",
    b"\x1bPq",  # pictures
    b"\x1bPtmux",
    b"\x1b_G",
    b"\x1bc",  # a reset
    b"\x1b(0",
    b"\x1b[5;6r",
    b"\x1b[?1003h",
    b"\x1b[41;97;7m",
    b"\x1b[38:2",
    b"\xc2\x9b",  # C1
    b"\xc2\x9d",
    b"\xc2\x90",
    "\u202e".encode(),
    "\u2066".encode(),
    "\u200b".encode(),
    CLIPBOARD.encode(),
    f"]0;{TITLE}".encode(),
    f"]2;{TITLE}".encode(),
)


@pytest.fixture
def service(tmp_path: Path, sshd_fleet: SshdFleet) -> Iterator[tuple[Field, Path]]:
    """A target whose logs are the corpus, and the file on its first host."""
    field = Field(tmp_path, sshd_fleet, service={"logs": {"files": ["~/corpus/*.log"]}})
    field.clear_hosts()
    files = [host.directory / "home" / "corpus" / "service.log" for host in field.hosts.hosts]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("2026-11-24T14:31:59.000Z INFO begins\n")
    field.deploy("v1")
    yield field, files[0]
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
            file.parent.rmdir()


def frame(terminal: Terminal) -> list[str]:
    """What belongs to the room alone: header, tabs, the band below, footer."""
    rows = terminal.rows
    return [CLOCK.sub("", rows[0]), rows[1], rows[2], rows[-1]]


def check(terminal: Terminal, before: list[str]) -> None:
    """The frame is as it was, cell by cell, and so is the terminal itself."""
    assert frame(terminal) == before
    untouched(terminal)


def untouched(terminal: Terminal) -> None:
    """The terminal itself is as it was, and nothing was sent to it that it would obey."""
    screen = terminal.screen
    assert TITLE not in screen.title
    assert screen.margins is None
    assert (1003 << 5) not in screen.mode
    assert screen.g0_charset == type(screen)(1, 1).g0_charset
    for forbidden in FORBIDDEN:
        assert forbidden not in terminal.received, forbidden


def test_a_log_line_is_text_whatever_is_in_it(service: tuple[Field, Path], promise: Promises) -> None:
    field, file = service
    environment = {**os.environ, "XDG_STATE_HOME": str(field.directory / "xdg"), "TERM": "xterm-256color"}
    for name in ("TMUX", "COLUMNS", "LINES"):  # the terminal's own size counts
        environment.pop(name, None)
    command = [*field.command(), TARGET]
    with Terminal(command, size=SIZE, environment=environment) as terminal:
        terminal.wait_for("qd")
        terminal.send("3")
        terminal.wait_for("INFO begins")
        terminal.wait_until(lambda: "LIVE" in terminal.rows[0], "the journal to be read")
        terminal.send("x")  # across hosts, on one host,
        terminal.send("x")  # not folded
        terminal.wait_for("repeats are not folded")
        terminal.send("f")
        terminal.send("f")
        terminal.wait_gone("repeats are not folded")
        before = frame(terminal)
        lines = corpus_lines()
        with file.open("ab") as out:
            out.write(b"\n".join(lines) + b"\n2026-11-24T14:33:00.000Z WARN the last one\n")
        terminal.wait_for("WARN the last one")
        check(terminal, before)
        # Every line is there, on a row of its own, from its beginning on.
        for number, name in enumerate(CORPUS):
            row = terminal.row_with(f"corpus-{number:02} {name}"[:60])
            assert re.match(r" \d\d:\d\d:\d\d \S+ +ERROR corpus-", row), row
            cells = terminal.screen.buffer[terminal.rows.index(row)].values()
            assert all(len(cell.data) <= 5 for cell in cells), row  # no tower of marks on one cell
        # The same broken into rows, filtered with what matched marked, and scrolled sideways.
        for keys, shown in (("w", "x" * 60), ("w", "WARN"), ("v", "level>=INFO")):
            terminal.send(keys)
            terminal.wait_for(shown)
        terminal.send("\x1b[C")
        terminal.wait_for("from column 16")
        check(terminal, before)
        terminal.send("/BEGIN")
        terminal.wait_for("/BEGIN/")
        terminal.send("\r")
        terminal.wait_until(lambda: frame(terminal)[-1] == before[-1], "the footer to be back")
        terminal.send("\x1b")
        terminal.wait_gone("filter: BEGIN")
        check(terminal, before)
        terminal.send("Q")
        terminal.wait_ended()
        for forbidden in FORBIDDEN:
            assert forbidden not in terminal.received, forbidden
    promise(15).count("hostile log lines on a real terminal", len(CORPUS))


def test_what_is_saved_is_text_too(service: tuple[Field, Path], promise: Promises) -> None:
    field, file = service
    saved = field.directory / "saved.log"
    environment = {**os.environ, "XDG_STATE_HOME": str(field.directory / "xdg")}
    with file.open("ab") as out:
        out.write(b"\n".join(corpus_lines()) + b"\n2026-11-24T14:33:00.000Z WARN the last one\n")
    with Terminal([*field.command(), TARGET], size=(100, 30), environment=environment) as terminal:
        terminal.wait_for("qd")
        terminal.send("3")
        terminal.wait_for("WARN the last one")
        terminal.send(f":save-logs {saved}\r")
        terminal.wait_for("saved")
        terminal.wait_until(saved.exists, "the file")
        terminal.send("Q")
        terminal.wait_ended()
    text = saved.read_text()
    assert not {c for c in text.replace("\n", "") if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")}
    assert text.count("ERROR corpus-") == len(CORPUS)
    assert saved.stat().st_mode & 0o777 == 0o600
    promise(15).count("hostile log lines saved", len(CORPUS))
