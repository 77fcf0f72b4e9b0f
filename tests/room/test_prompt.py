"""The line over the footer: filter, commands, history, completion, and what is typed ahead of a slow line."""

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.config.model import Host
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.actions import BY_COMMAND
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.cards.freeze import FreezeCard
from quarterdeck.tui.room.command_line import Mistyped, Names, completions, hint, names_of, parse
from quarterdeck.tui.room.commands import Commands
from quarterdeck.tui.room.editing import Editing
from quarterdeck.tui.room.own_files import own_directory
from quarterdeck.tui.room.prompt import Prompt, prompt_row, prompt_rows
from quarterdeck.tui.room.rows import Role, plain, width_of
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeAcme, MakeRoom
from tests.room.pictures import _settled, picture_of
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal

NAMES = Names(
    ("staging/api", "production/api", "production/web"), ("12", "13"), {"production/api": ("v2", "v1")}, ("matrix",)
)


def typed(text: str, *keys: str, **options: Any) -> Editing:
    editing = Editing(**options)
    editing.insert(text)
    for key in keys:
        assert editing.key(key), key
    return editing


@pytest.mark.parametrize(
    ("keys", "text", "at"),
    [
        (("backspace",), "one tw", 6),
        (("left", "left", "backspace"), "one wo", 4),
        (("home", "delete"), "ne two", 0),
        (("ctrl+w",), "one ", 4),
        (("ctrl+w", "ctrl+w"), "", 0),
        (("ctrl+u",), "", 0),
        (("home", "ctrl+k"), "", 0),
        (("left",) * 20 + ("right",), "one two", 1),
        (("home", "end"), "one two", 7),
    ],
)
def test_a_line_is_edited(keys: tuple[str, ...], text: str, at: int) -> None:
    editing = typed("one two", *keys)
    assert (editing.text, editing.at) == (text, at)


def test_what_is_pasted_is_one_line_without_control_characters() -> None:
    assert typed("a\nrollback\x1b[31m\tb").text == "a rollback [31m b"


def test_the_arrows_recall_older_lines_and_come_back_to_what_was_typed() -> None:
    editing = typed("dra", "up", history=["first", "second"])
    assert editing.text == "second"
    editing.key("up")
    editing.key("up")
    assert editing.text == "first"
    editing.key("down")
    editing.key("down")
    assert editing.text == "dra"


def test_an_environment_is_named_by_itself_or_by_a_target_in_it() -> None:
    assert completions("freeze ", NAMES)[:2] == ["staging", "production"]
    for word in ("production", "production/web"):
        command = parse(f"freeze {word}", NAMES)
        assert command is not None
        assert command.words == (word,)
    with pytest.raises(Mistyped, match="there is no environment 'prodction'; did you mean production"):
        parse("freeze prodction", NAMES)


async def test_freezes_of_an_environment_that_is_typed_are_shown(make_room: MakeRoom) -> None:
    room = make_room(target="staging/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("colon", *"freeze", "space", *"production", "enter")
        await until(pilot, lambda: bool(list(room.cards())), "the card")
        assert [card.environment for card in room.cards() if isinstance(card, FreezeCard)] == ["production"]


def test_tab_completes_what_is_common_then_goes_through_what_there_is() -> None:
    editing = typed("rollback pro", "tab", complete=lambda text: completions(text, NAMES))
    assert editing.text == "rollback production/"
    assert editing.candidates == ("production/api", "production/web")
    editing.key("tab")
    assert editing.text == "rollback production/api"
    editing.key("tab")
    assert editing.text == "rollback production/web"
    editing.key("shift+tab")
    editing.insert(" v")
    assert not list(editing.candidates)
    editing.key("tab")
    assert editing.text == "rollback production/api v"
    editing = typed("rollb", "tab", complete=lambda text: completions(text, NAMES))
    assert editing.text == "rollback "


def test_a_part_of_a_name_finds_it_and_nothing_typed_is_lost() -> None:
    assert completions("logs web", NAMES) == ["production/web"]
    editing = typed("logs api", "tab", complete=lambda text: completions(text, NAMES))
    assert editing.text == "logs api"
    assert editing.candidates == ("staging/api", "production/api")


def test_every_kind_of_word_is_completed() -> None:
    assert completions("abort ", NAMES) == ["12", "13"]
    assert completions("deploy production/api ", NAMES) == ["v2", "v1"]
    assert "colour-blind" in completions("look ", NAMES)
    assert completions("look dark ", NAMES) == []
    assert set(completions("", NAMES)) == set(BY_COMMAND)
    assert "Change the look" in hint("look ")


def test_versions_come_from_the_picture() -> None:
    seen = TargetSeen("staging/api", "staging", "api", version="v3")
    assert names_of(Picture("f", ("staging",), ("api",), {"staging/api": seen}), []).versions == {
        "staging/api": ("v3",)
    }


@pytest.mark.parametrize(
    ("line", "id", "words"),
    [
        ("rollback", "rollback", ()),
        ("rollback production/api v1", "rollback", ("production/api", "v1")),
        ("note  it was   the cache ", "note", ("it was   the cache",)),
        ("look light", "look", ("light",)),
        ("abort 12", "abort", ("12",)),
        ("abort production/web", "abort", ("production/web",)),
        ("q", "quit", ()),  # the only one that begins so
    ],
)
def test_a_command_becomes_an_action_with_its_words(line: str, id: str, words: tuple[str, ...]) -> None:
    command = parse(line, NAMES)
    assert command is not None
    assert (command.action.id, command.words) == (id, words)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("rolback", "did you mean :rollback?"),
        ("rollb", "did you mean :rollback?"),  # what changes something is never guessed
        ("rollback production/apu", "did you mean production/api?"),
        ("rollback production/api v1 v2", "'v2' is too much"),
        ("zoom x", "takes nothing"),
        ("look drak", "did you mean dark?"),
        ("abort staging", "there is no rollout 'staging'; did you mean staging/api?"),
        ("xyzzy", "Tab shows them"),
    ],
)
def test_what_is_mistyped_is_answered_with_the_nearest_word(line: str, fault: str) -> None:
    with pytest.raises(Mistyped, match=r".") as caught:
        parse(line, NAMES)
    assert fault in str(caught.value)


def test_commands_are_kept_for_this_user_only_and_without_free_words(tmp_path: Path) -> None:
    path = tmp_path / "new" / "commands"
    commands = Commands(path, lambda work: work())
    for line in ("look light", "note the password is hunter2", "look light", "rollback production/api"):
        command = parse(line, NAMES)
        assert command is not None
        commands.add(line, kept=command.kept)
    assert commands.lines == ["note the password is hunter2", "look light", "rollback production/api"]
    assert path.read_text() == "look light\nrollback production/api\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    other = Commands(path, lambda work: work())
    other.add("zoom", kept=True)
    commands.add("quit", kept=True)
    assert path.read_text().splitlines() == ["look light", "rollback production/api", "zoom", "quit"]


def test_the_room_s_files_lie_in_the_state_home() -> None:
    assert own_directory({"XDG_STATE_HOME": "/s"}) == Path("/s/quarterdeck/_room")
    assert own_directory({"HOME": "/h"}) == Path("/h/.local/state/quarterdeck/_room")


@pytest.mark.parametrize("width", [20, 60, 80])
@pytest.mark.parametrize("at", [0, 30, 200])
def test_the_row_has_its_width_and_shows_the_cursor(width: int, at: int) -> None:
    row = prompt_row(":", "x" * at + "HERE" + "y" * 50, at, "a hint", width)
    assert width_of(row) == width
    assert "H" in [span.text for span in row]


@pytest.mark.parametrize("width", [20, 60, 80])
@pytest.mark.parametrize("text", ["", "short", "x" * 300, "\u6f22" * 130, "words " * 40])
def test_a_long_line_is_seen_whole_over_several_rows(width: int, text: str) -> None:
    label = "production/api on web-1 $ "
    for at in {0, len(text) // 2, len(text)}:
        rows = prompt_rows(label, text, at, "", width, 99)
        assert all(width_of(row) == width for row in rows)
        assert "".join(plain(row).rstrip() for row in rows).replace(" ", "") == (label + text).replace(" ", "")
        cursors = [span.text for row in rows for span in row if span.role is Role.CURSOR]
        assert cursors == [text[at : at + 1] or " "]


@pytest.mark.parametrize("at", [0, 300, 850, 1000])
def test_of_one_that_is_too_long_for_that_the_rows_around_the_cursor_are_seen(at: int) -> None:
    rows = prompt_rows("$ ", "x" * 1000, at, "", 80, 5)
    assert len(rows) == 5
    assert sum(span.role is Role.CURSOR for row in rows for span in row) == 1


def panes_in(shown: str) -> list[str]:
    """Without the last line, which is the prompt's."""
    return shown.splitlines()[:-1]


async def test_it_grows_with_what_is_pasted_and_leaves_the_screen_as_it_was(make_acme: MakeAcme) -> None:
    room = make_acme()
    async with room.run_test(size=(80, 24)) as pilot:
        # The last that the journal is asked for the selected target: the rows of the matrix are there before the first answer.
        await until(pilot, lambda: "config same" in picture_of(room)[0], "the journal to be asked")
        before, _ = await _settled(pilot, room)
        await pilot.press("colon")
        for piece in ("note ", "w" * 200, " the end"):
            room._prompt.take_paste(piece) if room._prompt is not None else None
        await until(pilot, lambda: "the end" in picture_of(room)[0], "the line's end")
        shown = picture_of(room)[0]
        assert ":note w" in shown
        assert shown.count("w") >= 200
        await pilot.press("ctrl+u")
        await until(pilot, lambda: "www" not in picture_of(room)[0], "the rows above to be let go")
        await until(pilot, lambda: panes_in(picture_of(room)[0]) == panes_in(before), "what lay below to be seen")
        await pilot.press("escape")
        await until(pilot, lambda: panes_in(picture_of(room)[0]) == panes_in(before), "the screen to be as it was")
        assert "? help" in picture_of(room)[0].splitlines()[-1]


async def test_a_filter_is_shown_as_one_types_kept_by_enter_and_cleared_by_escape(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: ">api" in pane_text(room, "matrix"), "api in the matrix")
        await pilot.press("slash", "w", "e")
        assert "api" not in pane_text(room, "matrix")
        assert "filter: we" in pane_text(room, "tabs")
        assert room.place.target == "production/api"  # what keys act on has not changed
        await pilot.press("enter")
        assert "filter: we" in pane_text(room, "tabs")
        await pilot.press("slash", "escape")
        assert "api" in pane_text(room, "matrix")
        assert "filter" not in pane_text(room, "tabs")


async def test_escape_clears_a_filter_before_it_goes_back(make_room: MakeRoom) -> None:
    room = make_room()
    async with room.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "api in the matrix")
        await pilot.press("slash", "w", "e", "enter", "escape")
        assert "api" in pane_text(room, "matrix")


async def test_a_command_is_carried_out_and_recalled(make_room: MakeRoom) -> None:
    room = make_room()
    async with room.run_test(size=(100, 24)) as pilot:
        await pilot.press("colon", *"look light", "enter")
        await until(pilot, lambda: room.look.name == "light", "the light look")
        await pilot.press("colon", "up", *"x", "enter")
        await until(pilot, lambda: "did you mean light" in room.said, "the nearest word")
        await pilot.press("colon", *"zo", "escape")
        assert room.place.zoom is None


async def test_what_is_typed_ahead_is_typed_into_the_line(make_room: MakeRoom) -> None:
    """All of it is there before the screen has drawn the line: no letter of it may act as a key."""
    from textual import events

    room = make_room()
    async with room.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        for key, character in [("colon", ":"), *((c, c) for c in "zoomR"), ("backspace", None), ("enter", "\r")]:
            room.post_message(events.Key(key, character))
        await until(pilot, lambda: room.place.zoom == "matrix", "zoomed by :zoom")
        assert room.said == ""


def test_in_a_terminal_the_line_is_over_the_footer(filled: Qd) -> None:
    with Terminal(filled.command("--fleet", str(filled.fleet_file)), environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.send(":look d\t")
        terminal.wait_until(lambda: terminal.rows[-1].startswith(":look dark"), "the completed line")
        terminal.send("\r")
        terminal.wait_for("look dark: 24-bit colours")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer again")
        terminal.send("\x03")
        terminal.wait_for("Q leaves the control room")
        terminal.send("\x11")
        assert terminal.wait_ended() == 0
    commands = filled.directory / "xdg" / "quarterdeck" / "_room" / "commands"
    assert commands.read_text() == "look dark\n"


def asked(room: Room) -> str | None:
    """What stands in the line that is open."""
    return next((prompt.editing.text for prompt in room.screen.query(Prompt) if prompt.is_attached), None)


async def test_a_host_that_there_is_not_is_asked_for_again(make_acme: MakeAcme) -> None:
    """Were the line gone, what is typed next would be keys, which open cards."""
    room = make_acme(target="production/cron")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("x")
        await until(pilot, lambda: asked(room) == "web-1", "the question")
        await pilot.press("ctrl+u", "w", "e", "b", "-", "9", "enter")
        await until(pilot, lambda: "has no host 'web-9'" in room.said, "what is wrong")
        await until(pilot, lambda: asked(room) == "web-9", "the same question")
        await pilot.press("R")
        assert not list(room.cards()), "typed into the line"
        await pilot.press("escape")


async def test_of_a_swarm_a_task_may_be_named(make_acme: MakeAcme) -> None:
    room = make_acme(target="production/cron")
    declared = room.fleet.targets["production/cron"]
    swarm = msgspec.structs.replace(declared, hosts=(Host("swarm", swarm=("ssh://n1",)),))
    room.fleet = msgspec.structs.replace(room.fleet, targets={**room.fleet.targets, swarm.name: swarm})
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("x")
        await until(pilot, lambda: asked(room) == "swarm", "the question")
        await pilot.press("colon", "0", "enter")
        await until(pilot, lambda: "0 is no slot of a service" in room.said, "what is wrong")
        await until(pilot, lambda: asked(room) == "swarm:0", "the same question")
        await pilot.press("backspace", "2", "enter")
        await until(pilot, lambda: asked(room) == "", "the command")
        assert any(prompt.label == "production/cron on swarm:2 $ " for prompt in room.screen.query(Prompt))
        await pilot.press("escape")


async def test_what_was_mistyped_is_recalled_to_be_put_right(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.press("colon", *"dif", "f", "x", "enter")
        await until(pilot, lambda: "there is no command :diffx" in room.said, "what is wrong")
        await pilot.press("colon", "up")
        await until(pilot, lambda: asked(room) == "diffx", "what was typed")
        assert "diffx" not in Commands(room.commands.path, lambda work: work()).lines, "not for later sessions"
