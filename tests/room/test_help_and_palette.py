"""Help and palette are made from the registry: nothing is missing, the operator's keys are shown, what is refused says why."""

import pytest

from quarterdeck.config.settings import DEFAULTS
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.picture.target import Mark
from quarterdeck.tui.room.actions import ACTIONS
from quarterdeck.tui.room.keymap import DEFAULT, Keymap
from quarterdeck.tui.room.manual import MARKS, help_rows
from quarterdeck.tui.room.palette import Palette, entries, entry_rows, found
from quarterdeck.tui.room.permission import Standing, refusal
from quarterdeck.tui.room.reader import Reader
from quarterdeck.tui.room.rows import plain, width_of
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal

MAY = Standing(Operator("alice", 1000, None, "b"), may_change=True)
READER = Standing(Operator("alice", 1000, None, "b"), may_change=True, read_only=True)


def page(pane: str, keymap: Keymap = DEFAULT, standing: Standing = MAY, width: int = 80) -> str:
    return "\n".join(plain(line) for line in help_rows(pane, keymap, standing, (80, 24), width))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_help_has_every_action_of_the_pane_and_fits(width: int) -> None:
    rows = help_rows("logs", DEFAULT, MAY, (80, 24), width)
    assert max(width_of(line) for line in rows) <= width
    text = " ".join(page("logs", width=width).split())
    for action in ACTIONS:
        if action.pane in ("", "logs"):
            assert action.help in text, action.id


def test_help_leaves_out_what_belongs_to_another_pane_and_says_marks_and_how_to_leave() -> None:
    text = page("matrix")
    assert "Follow the end of the logs" not in text
    for mark, word, meaning in MARKS:
        assert f"{mark} {word}" in text
        assert meaning in text
    assert {mark for mark, _, _ in MARKS} == set(Mark)
    assert "Leaves the control room" in text


def test_help_shows_the_operator_s_keys_and_what_is_refused() -> None:
    assert "f5" in page("matrix", Keymap({"refresh": ("f5",)}))
    assert "read-only" not in page("matrix")
    assert "this session is read-only" in page("matrix", standing=READER)


def test_the_palette_finds_by_name_then_by_what_it_does() -> None:
    every = entries("matrix", DEFAULT, lambda _: "")
    ids = {entry.action.id for entry in every}
    assert {"rollback", "deploy", "help", "look", "quit"} <= ids
    assert "follow" not in ids  # a pane that has not the keys
    assert next(e.action.id for e in found(every, "roll")) == "rollback"
    assert [e.action.id for e in found(every, "worker died")] == ["resume"]
    assert found(every, "rlbk")[0].action.id == "rollback"
    assert found(every, "xyzzy") == []
    for width in (60, 80, 200):
        assert max(width_of(line) for line in entry_rows(every, "rollback", width)) <= width


def test_the_palette_says_why_something_is_refused() -> None:
    every = entries("matrix", DEFAULT, lambda action: refusal(action, READER, (80, 24)))
    text = "\n".join(plain(line) for line in entry_rows(every, "", 120))
    assert "this session is read-only" in next(line for line in text.splitlines() if "rollback" in line)
    assert "read-only" not in next(line for line in text.splitlines() if " zoom " in line)


async def test_help_is_a_page_to_scroll_and_keys_under_it_do_nothing(make_room: MakeRoom) -> None:
    room = make_room()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(room.screen, Reader), "the help")
        sheet = room.screen
        assert isinstance(sheet, Reader)
        await until(pilot, lambda: bool(sheet.page._rows), "its text")
        top = plain(sheet.page._rows[1])
        await pilot.press("z", "3")
        assert room.place.zoom is None
        assert room.place.view == "overview"
        await pilot.press("G")
        await until(pilot, lambda: "Leaves the control room" in "".join(plain(r) for r in sheet.page._rows), "its end")
        await pilot.press("g")
        await until(pilot, lambda: plain(sheet.page._rows[1]) == top, "its beginning")
        await pilot.press("escape")
        assert not isinstance(room.screen, Reader)


async def test_the_palette_does_what_is_chosen(make_room: MakeRoom) -> None:
    room = make_room()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(room.screen, Palette), "the palette")
        await pilot.press(*"zoom", "enter")
        await until(pilot, lambda: room.place.zoom == "matrix", "the zoomed matrix")


async def test_a_refused_action_is_refused_through_the_palette_too(make_room: MakeRoom) -> None:
    room = make_room(read_only=True, settings=DEFAULTS)
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        await pilot.press("ctrl+p", *"rollback", "enter")
        await until(pilot, lambda: "read-only" in room.said, "the refusal")


def test_nothing_of_textual_s_own_is_reachable(filled: Qd) -> None:
    """No command palette, no quit by ctrl-c, no screenshot, no focus by Tab outside the registry."""
    with Terminal(filled.command("--fleet", str(filled.fleet_file)), environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.send("\x03")
        terminal.wait_for("Q leaves the control room")
        terminal.send("\x10")
        terminal.wait_for("palette: type to find")
        terminal.send("screenshot")
        terminal.wait_for("nothing of that name")
        terminal.send("\x1b")
        terminal.wait_for(">api")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
