"""Copying: into a real tmux, into the terminal by OSC 52 within its limit, else into a file that is named."""

import base64
import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.tui.room.clipboard import MOST_BY_TERMINAL, Way, copy, way_of
from tests.cli.qd_command import Qd
from tests.requirements_here import need
from tests.room.conftest import MakeRoom
from tests.room.seen import until
from tests.room.terminal import Terminal


def tmux(socket: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["tmux", "-L", socket, "-f", "/dev/null", *arguments], capture_output=True, text=True, env=environment,
        timeout=20, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def server(filled: Qd) -> Iterator[str]:
    need(shutil.which("tmux") is not None, "tmux")
    socket = f"qd-test-{uuid.uuid4().hex[:8]}"
    yield socket
    tmux(socket, "kill-server")


@pytest.mark.parametrize(
    ("environment", "size", "way"),
    [
        ({"TMUX": "/tmp/x,1,0", "TERM": "screen-256color"}, 10, Way.TMUX),
        ({"TERM": "xterm-256color"}, 10, Way.TERMINAL),
        ({"TERM": "xterm-256color"}, MOST_BY_TERMINAL + 1, Way.FILE),
        ({"TERM": "screen.xterm", "STY": "1.x"}, 10, Way.FILE),
        ({"TERM": "linux"}, 10, Way.FILE),
    ],
)
def test_the_way_depends_on_the_terminal(environment: dict[str, str], size: int, way: Way) -> None:
    assert way_of(environment, size) is way


async def test_by_the_terminal_it_is_one_osc_52() -> None:
    sent: list[str] = []
    text = "grüße\nzwei"
    copied = await copy(text, sent.append, {"TERM": "xterm"})
    assert copied.way is Way.TERMINAL
    assert sent == [f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07"]
    assert "2 lines" in copied.said


async def test_what_is_too_long_goes_into_a_file_that_only_the_user_reads(tmp_path: Path) -> None:
    sent: list[str] = []
    copied = await copy("x" * 80_000, sent.append, {"TERM": "xterm", "XDG_STATE_HOME": str(tmp_path)})
    path = tmp_path / "quarterdeck" / "_room" / "copied.txt"
    assert copied.way is Way.FILE
    assert sent == []
    assert str(path) in copied.said
    assert path.read_text() == "x" * 80_000 + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_tmux_that_does_not_answer_is_not_said_to_have_copied(tmp_path: Path) -> None:
    environment = {"TMUX": "/nowhere,1,0", "TERM": "screen", "XDG_STATE_HOME": str(tmp_path)}
    before = os.environ.get("TMUX")
    os.environ["TMUX"] = "/nowhere,1,0"
    try:
        copied = await copy("text", lambda _: None, environment)
    finally:
        os.environ.pop("TMUX")
        if before is not None:
            os.environ["TMUX"] = before
    assert copied.way is Way.FILE


async def test_y_copies_what_is_chosen(make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    room = make_room(target="production/api")
    sent: list[str] = []
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "v2" in room.pane("matrix").copy_text(), "the chosen row")
        monkeypatch.setattr(room, "write_sequence", sent.append)
        await pilot.press("y")
        await until(pilot, lambda: bool(sent), "the sequence")
        text = base64.b64decode(sent[0].split(";")[2].rstrip("\x07")).decode()
        assert text.startswith("production/api v2 v2-")
        assert "\n" not in text
        assert "clipboard" in room.said


def test_in_a_real_tmux_it_arrives_in_tmux_s_buffer(filled: Qd, server: str) -> None:
    environment = filled.environ() | {"TERM": "xterm-256color"}
    environment.pop("TMUX", None)
    command = ["tmux", "-L", server, "-f", "/dev/null", "new-session", "-x", "80", "-y", "24",
               *filled.command("--fleet", str(filled.fleet_file), "production/api")]  # fmt: skip
    with Terminal(command, environment=environment) as terminal:
        terminal.wait_for(">api")
        terminal.wait_for("v2")
        terminal.send("y")
        terminal.wait_for("tmux's buffer")
        assert tmux(server, "show-buffer", environment=environment).startswith("production/api v2 ")
        terminal.send("Q")
        terminal.wait_ended()
