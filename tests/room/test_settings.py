"""Settings and the room: the example is right, keys move with all that shows them, a broken file keeps nobody out."""

from pathlib import Path

import msgspec

from quarterdeck.config.settings import DEFAULTS, describe, read_settings
from quarterdeck.tui.room.actions import ACTIONS, BY_ID
from quarterdeck.tui.room.keymap import ALWAYS, Keymap, key_text, known, shared_keys
from quarterdeck.tui.room.looks import look_for
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "examples" / "settings.yml"


def test_the_example_shows_every_key_and_holds_the_defaults() -> None:
    settings, problems = read_settings(EXAMPLE, known())
    assert [str(problem) for problem in problems] == []
    assert msgspec.structs.replace(settings, keymap=DEFAULTS.keymap, look=None) == DEFAULTS
    assert settings.keymap
    text = EXAMPLE.read_text()
    for name, _, _ in describe(known()):
        assert f"{name.rpartition('.')[2]}:" in text, name


def test_no_two_actions_share_a_key_where_both_count_and_every_action_has_help() -> None:
    assert shared_keys(ACTIONS) == []
    assert len(BY_ID) == len(ACTIONS)
    commands = [action.command for action in ACTIONS if action.command]
    assert len(commands) == len(set(commands))
    for action in ACTIONS:
        assert action.help.endswith("."), action.id
        assert action.title, action.id
        assert action.keys or action.command, f"{action.id}: nobody can reach it"
    for key, id in ALWAYS.items():
        assert key in BY_ID[id].keys


def test_a_pane_s_own_key_comes_before_one_that_counts_everywhere() -> None:
    keymap = Keymap({"refresh": ("f",)})
    for pane, wanted in (("logs", "follow"), ("matrix", "refresh")):
        action = keymap.action_of("f", pane)
        assert action is not None
        assert action.id == wanted


def test_keys_are_written_for_people() -> None:
    assert [key_text(k) for k in ("slash", "ctrl+p", "escape", "f5", "at", "R")] == [
        "/",
        "ctrl-p",
        "esc",
        "f5",
        "@",
        "R",
    ]


def test_the_look_is_the_wished_one_then_the_usual_one_and_no_color_wins() -> None:
    assert look_for({}, None, slow=False) == "dark"
    assert look_for({}, None, slow=False, usual="light") == "light"
    assert look_for({}, "dark", slow=False, usual="light") == "dark"
    assert look_for({}, None, slow=True, usual="light") == "ansi-dark"
    assert look_for({}, None, slow=True, usual="ansi-light") == "ansi-light"
    assert look_for({"NO_COLOR": "1"}, "dark", slow=False) == "no-colour"


async def test_moved_keys_work_and_the_footer_shows_them(make_room: MakeRoom) -> None:
    settings = msgspec.structs.replace(DEFAULTS, keymap={"zoom": ("Z",), "filter": ("f2",)})
    room = make_room(settings=settings)
    async with room.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        assert " Z zoom" in pane_text(room, "footer")
        assert " f2 find" in pane_text(room, "footer")
        await pilot.press("z")
        assert room.place.zoom is None
        await pilot.press("Z")
        assert room.place.zoom == "matrix"


def test_a_broken_settings_file_is_said_and_the_room_opens(filled: Qd) -> None:
    path = filled.directory / "home" / ".config" / "quarterdeck" / "settings.yml"
    environment = filled.environ()
    path.parent.mkdir(parents=True)
    path.write_text("bel: false\nkeymap: {quit: [X]}\n")
    done = filled("settings", status=2)
    assert "settings.yml:1:1: unknown key `bel`" in done.stderr
    assert "did you mean `bell`?" in done.stderr
    with Terminal(filled.command("--fleet", str(filled.fleet_file)), environment=environment) as terminal:
        terminal.wait_for(">api")
        terminal.send("X")
        assert terminal.wait_ended() == 0


def test_the_command_prints_what_holds_and_an_example(filled: Qd) -> None:
    assert "log_lines: 1000000" in filled("settings").stdout
    assert filled.json("settings")["settings"]["rates"] == {"logs": 4, "observe": 10.0}
    assert filled("settings", "--example").stdout.rstrip("\n") == EXAMPLE.read_text().rstrip("\n")
