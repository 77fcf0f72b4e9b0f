"""A terminal that is too small says so, changes nothing, and is itself again when it has grown; no size breaks the room."""

import pytest

from quarterdeck.tui.room.boxes import too_small
from quarterdeck.tui.room.cards.under_way import AbortCard
from quarterdeck.tui.room.rows import plain
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal


def test_the_limit_is_said_with_both_sizes() -> None:
    assert too_small(60, 16) == ""
    assert "59x16 is too small" in too_small(59, 16)
    assert "below 60x16" in too_small(60, 15)


async def test_too_small_a_terminal_changes_nothing_and_says_so(make_room: MakeRoom) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        await pilot.resize_terminal(50, 12)
        await until(pilot, lambda: "too small" in pane_text(room, "alert"), "the sentence")
        assert "R rollback" not in pane_text(room, "footer")
        await pilot.press("R")
        assert "too small" in room.said
        assert len(room.screen_stack) == 1
        await pilot.press("j")
        await pilot.resize_terminal(100, 24)
        await until(pilot, lambda: "R rollback" in pane_text(room, "footer"), "the footer")
        assert "too small" not in pane_text(room, "alert")


async def test_a_card_in_a_terminal_that_became_too_small_changes_nothing(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its key would do can't be read there any more."""
    room = make_room(target="production/web")
    begun: list[str] = []

    def shown() -> str:
        return "\n".join(plain(line) for line in card.whole(60).foot)

    async with room.run_test(size=(100, 24)) as pilot:
        card = AbortCard(4, "production/web")
        await room.push_screen(card)
        await until(pilot, lambda: card.useful and card.guard.open, "its key to work")
        monkeypatch.setattr(card, "begin", lambda _work, group: begun.append(group))
        with monkeypatch.context() as still:
            still.setattr(card.guard, "tick", lambda: False)  # the dead time does not end meanwhile
            await pilot.resize_terminal(50, 14)
            await until(pilot, lambda: "50x14 is too small" in shown(), "the sentence")
            assert not card.guard.open
        await until(pilot, lambda: card.guard.open, "the dead time to be over")
        await pilot.press("y")
        assert begun == []
        await pilot.resize_terminal(100, 24)
        await until(pilot, lambda: card.guard.open and "too small" not in shown(), "its key to work again")
        await pilot.press("y")
        assert begun == ["abort"]


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (20, 3), (59, 15), (300, 100)])
async def test_no_size_breaks_it(make_room: MakeRoom, size: tuple[int, int]) -> None:
    room = make_room()
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        await pilot.resize_terminal(*size)
        for key in (
            "2",
            "5",
            "question_mark",
            "escape",
            "ctrl+p",
            "escape",
            "slash",
            "x",
            "escape",
            "colon",
            "tab",
            "escape",
            "1",
        ):
            await pilot.press(key)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix again")


def test_a_real_terminal_that_shrinks_and_grows(filled: Qd) -> None:
    with Terminal(filled.command("--fleet", str(filled.fleet_file)), environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.resize(50, 10)
        terminal.wait_for("50x10 is too small")
        terminal.resize(100, 30)
        terminal.wait_for(">api")
        terminal.wait_gone("too small")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer on the last line")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
