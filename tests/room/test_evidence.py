"""The post-mortem and the figures of a team, from the control room."""

from pathlib import Path

import pytest

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.card import Card
from quarterdeck.tui.room.cards.stats import StatsCard
from quarterdeck.tui.room.rows import plain
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until


def assert_report(path: Path) -> None:
    assert path.read_text().startswith("# Rollout 3: deploy of production/api\n")
    assert path.stat().st_mode & 0o077 == 0


def screen_text(room: Room) -> str:
    """The card's rows; empty where there is none."""
    card = room.screen
    return "\n".join(plain(row).rstrip() for row in card._face._rows) if isinstance(card, Card) else ""


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_the_figures_fit_and_are_grouped_by_keys(make_room: MakeRoom, size: tuple[int, int]) -> None:
    room = make_room()
    async with room.run_test(size=size) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("colon", *"stats", "enter")
        await until(pilot, lambda: "1 of 3" in screen_text(room), "the figures")
        shown = screen_text(room)
        assert "change failure rate" in shown
        assert "90 days, by week" in shown
        assert ("P90" in shown) == (size[0] > 80)
        await pilot.press("e")
        await until(pilot, lambda: "by environment" in screen_text(room), "another group")
        assert "production" in screen_text(room)
        await pilot.press("t")
        await until(pilot, lambda: "365 days" in screen_text(room), "a longer time")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(room.screen, StatsCard), "the room again")


async def test_figures_of_a_part_and_of_what_is_not_there(make_room: MakeRoom) -> None:
    room = make_room()
    async with room.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("colon", *"stats staging", "enter")
        await until(pilot, lambda: "nothing to count" in screen_text(room), "that nothing was deployed there")
        await pilot.press("escape")
        await pilot.press("colon", *"stats nowhere", "enter")
        await until(
            pilot,
            lambda: "there is no part 'nowhere'" in pane_text(room, "alert") or "nowhere" in room.said,
            "that there is none",
        )


async def test_a_report_is_written_where_the_operator_is_and_said(
    make_room: MakeRoom, filled: Qd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(filled.directory)
    for name, value in filled.environ().items():
        monkeypatch.setenv(name, value)
    room = make_room(target="production/api")
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        await pilot.press("colon", *"report 3", "enter")
        await until(pilot, lambda: "report of rollout 3 written to" in room.said, "where it is", deadline=60)
        path = Path(room.said.rpartition(" written to ")[2])
        assert path.parent == filled.directory
        await pilot.press("colon", *f"report 3 {path.name}", "enter")
        await until(pilot, lambda: "exists already" in room.said, "that it is left as it is", deadline=60)
        await pilot.press("colon", *"report 99", "enter")
        await until(pilot, lambda: "99" in room.said and "exists" not in room.said, "that there is no such rollout")
    assert_report(path)
