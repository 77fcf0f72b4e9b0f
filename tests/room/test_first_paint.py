"""The first paint: what is last known is on the screen before the room is, the room takes the same screen over, and nothing odd
in the cache, the terminal or the journal keeps it from opening."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.tui.room.ansi import ALTERNATE_SCREEN, painted, sgr
from quarterdeck.tui.room.first_paint import Wishes, screen_text, wishes_in
from quarterdeck.tui.room.fleet_cache import cache_path, recall, remember
from quarterdeck.tui.room.looks import LOOKS
from quarterdeck.tui.room.rows import Role, Span
from tests.cli.qd_command import Qd
from tests.room.acme import NOW
from tests.room.terminal import Terminal


def _variables(qd: Qd) -> dict[str, str]:
    return {"HOME": str(qd.directory / "home"), "XDG_CACHE_HOME": str(qd.directory / "cache"), "TERM": "xterm-256color"}


def test_every_style_of_every_look_can_be_written() -> None:
    for look in LOOKS.values():
        for role, style in look.styles.items():
            codes = sgr(style)
            assert re.fullmatch(r"[0-9;]*", codes), (look.name, role)
    assert sgr("bold #ffffff on #8e1519") == "1;38;2;255;255;255;48;2;142;21;25"
    assert sgr("white on red") == "37;41"
    assert painted([(Span("a", Role.BAD),)], {Role.BAD: "bold"}, 2, 4) == "\x1b[5;3H\x1b[1ma\x1b[0m"


WORDS = [
    ([], Wishes()),
    (["--fleet", "f.yml"], Wishes("f.yml")),
    (["--fleet=f.yml", "--slow", "production/api"], Wishes("f.yml", None, True, "production/api")),
    (["--look", "light", "--read-only"], Wishes(None, "light")),
    (["status"], None),
    (["--help"], None),
    (["--version"], None),
    (["--json"], None),
    (["--fleet"], None),
    (["a/b", "c/d"], None),
]


@pytest.mark.parametrize(("words", "wishes"), WORDS)
def test_only_words_that_open_the_room_paint(words: list[str], wishes: Wishes | None) -> None:
    assert wishes_in(words) == wishes


def test_what_is_remembered_of_a_fleet_gives_the_same_picture(acme: Qd) -> None:
    fleet = load_fleet(acme.fleet_file)
    remember(fleet, "dark", _variables(acme))
    known = recall(acme.fleet_file, _variables(acme))
    assert known is not None
    with acme.journal() as journal:
        assert take_picture(known, journal) == take_picture(fleet, journal)
    path = cache_path(acme.fleet_file, _variables(acme))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


PAINT = """
import json, sys
from datetime import UTC, datetime
from quarterdeck.config.msgspec_loading import load_msgspec
load_msgspec()
from quarterdeck.tui.room.first_paint import Wishes, screen_text
text = screen_text(Wishes(sys.argv[1]), json.loads(sys.argv[2]), 120, 35, datetime.now(UTC))
print(json.dumps(["LAST KNOWN" in text, *sorted(set(sys.argv[3:]) & set(sys.modules))]))
"""


def test_nothing_is_loaded_for_it_that_takes_long_to_load(acme: Qd) -> None:
    remember(load_fleet(acme.fleet_file), "dark", _variables(acme))
    slow = ["textual", "asyncio", "argparse", "yaml", "inspect", "ast", "dis", "typing_extensions", "hashlib", "socket"]
    slow += ["quarterdeck.config.model", "quarterdeck.rollouts.plans.plan", "random"]
    command = [sys.executable, "-c", PAINT, str(acme.fleet_file), json.dumps(_variables(acme)), *slow]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [True]


def _others_may_read(path: Path) -> None:
    path.chmod(0o640)


def _other_shape(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"targets": [["production", 7, ["web-1"]]]}))


def _not_json(path: Path) -> None:
    path.write_text("{")


def _a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("spoil", [_others_may_read, _other_shape, _not_json, _a_link, _a_pipe])
def test_a_description_that_is_odd_is_none(acme: Qd, spoil: Callable[[Path], None]) -> None:
    remember(load_fleet(acme.fleet_file), "dark", _variables(acme))
    assert recall(acme.fleet_file, _variables(acme)) is not None
    spoil(cache_path(acme.fleet_file, _variables(acme)))
    assert recall(acme.fleet_file, _variables(acme)) is None


def test_a_fleet_file_that_changed_is_not_known(acme: Qd) -> None:
    remember(load_fleet(acme.fleet_file), "dark", _variables(acme))
    acme.fleet_file.write_text(acme.fleet_file.read_text() + "# changed\n")
    assert recall(acme.fleet_file, _variables(acme)) is None
    assert screen_text(Wishes(str(acme.fleet_file)), _variables(acme), 80, 24, NOW) == ""


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 35), (200, 60), (250, 80)])
def test_it_shows_the_overview_with_its_age(acme: Qd, size: tuple[int, int]) -> None:
    import pyte

    remember(load_fleet(acme.fleet_file), "dark", _variables(acme))
    text = screen_text(Wishes(str(acme.fleet_file), target="production/api"), _variables(acme), *size, NOW)
    screen = pyte.Screen(*size)
    pyte.Stream(screen).feed(text)
    shown = "\n".join(screen.display)
    assert "LAST KNOWN 1s" in shown
    assert "[>v144" in shown
    assert f"!! {'PROD' if size[0] < 100 else 'PRODUCTION'} api v144" in shown
    assert "api @ PRODUCTION" in shown


def test_the_room_takes_the_screen_over_without_clearing_it(acme: Qd) -> None:
    environment = acme.environ(_variables(acme))
    command = acme.command("--fleet", str(acme.fleet_file), "production/api")
    with Terminal(command, environment=environment) as terminal:  # the first start knows nothing yet
        terminal.wait_for("CACHED")
        path = cache_path(acme.fleet_file, environment)
        terminal.wait_until(path.exists, "the description")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        assert b"LAST KNOWN" not in terminal.received
    with Terminal(command, environment=environment) as terminal:
        terminal.wait_for("CACHED")
        terminal.send("h")
        terminal.wait_for("4 Health]")
        drawn = bytes(terminal.received)
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        whole = bytes(terminal.received)
    assert drawn.index(b"LAST KNOWN") < drawn.index(b"CACHED")
    assert drawn.count(ALTERNATE_SCREEN.encode()) == 1
    assert b"\x1b[2J" not in drawn
    assert whole.count(b"\x1b[?1049l") == 1


def test_when_there_will_be_no_room_the_terminal_is_given_back(acme: Qd) -> None:
    environment = acme.environ(_variables(acme))
    remember(load_fleet(acme.fleet_file), "dark", environment)
    script = 'stty -a; "$@"; stty -a; echo it ended with $?'
    command = ["sh", "-c", script, "sh", *acme.command("--fleet", str(acme.fleet_file), "production/nothing")]
    with Terminal(command, environment=environment, size=(120, 50)) as terminal:
        terminal.wait_for("it ended with")
        drawn = bytes(terminal.received)
        assert b"LAST KNOWN" in drawn
        assert drawn.rindex(b"\x1b[?1049l") < drawn.rindex(b"production/nothing")
        settings = re.findall(rb"-?echo\b|-?icanon\b", drawn)
        assert settings[: len(settings) // 2] == settings[len(settings) // 2 :]
        assert "production/nothing" in terminal.text


def test_ctrl_z_typed_at_the_first_paint_is_for_the_room(acme: Qd) -> None:
    """The shell would get a terminal that shows nothing of what is typed; here there is none, and the kernel would drop the key."""
    environment = acme.environ(_variables(acme))
    remember(load_fleet(acme.fleet_file), "dark", environment)
    command = acme.command("--fleet", str(acme.fleet_file), "production/api")
    with Terminal(command, environment=environment) as terminal:
        # In what was received: on the screen it is only until the room takes that over.
        terminal.wait_until(lambda: b"LAST KNOWN" in terminal.received, "the first paint")
        terminal.send("\x1a")
        terminal.wait_for("there is no shell to go back to")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
