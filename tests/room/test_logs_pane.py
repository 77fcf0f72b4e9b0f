"""The logs pane: what its keys do, and that they do it only there."""

import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.actions import ACTIONS, Group
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import all_handlers
from quarterdeck.tui.room.deeds.logs import since_from
from quarterdeck.tui.room.panes.logs import Logs
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.room.spools import Filled
from tests.sshd import wait_for

TARGET = "production/api"


@pytest.fixture
def lines() -> Iterator[Filled]:
    made = Filled(lines=1 << 16, text=1 << 24)
    made.add("INFO ready", "ERROR KeyError: 'tax_rate' req=9e11", "WARN slow query 812ms", "INFO GET /orders 200")
    made.add("DEBUG a detail", host=1)
    yield made
    made.writer.close()


@asynccontextmanager
async def logs(
    make_room: MakeRoom, lines: Filled, size: tuple[int, int] = (100, 24)
) -> AsyncIterator[tuple[Room, Logs, Pilot[Any]]]:
    """The room on its third view, with these lines instead of a host's."""
    room = make_room(target=TARGET)
    async with room.run_test(size=size) as pilot:
        pane = room.pane("logs")
        assert isinstance(pane, Logs)
        await until(pilot, lambda: room.picture.head > 0, "the journal to be read")
        await pilot.press("3")
        pane.begin(TARGET, lines.spool)
        pane._unplaced.clear()  # what the journal of the fixture tells
        await until(pilot, lambda: room.focused_pane is pane, "the pane to have the keys")
        yield room, pane, pilot


def test_every_log_action_is_carried_out() -> None:
    handlers = all_handlers()
    assert [action.id for action in ACTIONS if action.group is Group.LOGS and action.id not in handlers] == []


async def test_keys_change_how_lines_are_shown(make_room: MakeRoom, lines: Filled) -> None:
    async with logs(make_room, lines) as (room, _pane, pilot):
        assert "14:32:08 web-1 INFO ready" in pane_text(room, "logs")
        assert "logs api @ PRODUCTION  FOLLOW  since -  level all" in pane_text(room, "logs")
        await pilot.press("t")
        assert " web-1 INFO ready" in pane_text(room, "logs")
        assert "14:32:08" not in pane_text(room, "logs")
        await pilot.press("v")
        assert "DEBUG" not in pane_text(room, "logs")
        assert "level>=INFO" in pane_text(room, "logs")
        await pilot.press("v", "v")
        assert [line.split(maxsplit=1)[1][:5] for line in pane_text(room, "logs").splitlines()[1:2]] == ["ERROR"]
        await pilot.press("v")
        await pilot.press("s")
        assert "since 1m" in pane_text(room, "logs")
        assert "none of 5 lines passes" in pane_text(room, "logs")  # they are of last year
        await pilot.press("s", "s", "s", "s")
        await pilot.press("m")
        assert "set by alice ====" in pane_text(room, "logs")


async def test_long_lines_are_cut_scrolled_or_broken(make_room: MakeRoom, lines: Filled) -> None:
    lines.add("INFO " + " ".join(str(n) for n in range(200)) + " the end")
    async with logs(make_room, lines) as (room, pane, pilot):
        assert "the end" not in pane_text(room, "logs")
        await pilot.press("w")
        assert "the end" in pane_text(room, "logs")
        await pilot.press("w")
        await pilot.press(*["right"] * 42)
        assert "the end" in pane_text(room, "logs")
        await pilot.press(*["left"] * 60)
        assert pane.shift == 0


async def test_scrolling_up_stands_still_and_G_follows_again(make_room: MakeRoom, lines: Filled) -> None:  # noqa: N802 - the key
    lines.add(*(f"INFO {chr(97 + n)}{chr(97 + m)}" for n in range(10) for m in range(10)))
    async with logs(make_room, lines) as (room, pane, pilot):
        assert pane_text(room, "logs").endswith("jj")
        await pilot.press("k", "k")
        assert pane_text(room, "logs").endswith("jh")
        lines.add("INFO new one", "INFO new two")
        pane.take_in()
        assert pane_text(room, "logs").endswith("jh")
        assert "STILL" in pane_text(room, "logs")
        assert "4 new below (G)" in pane_text(room, "logs")
        await pilot.press("g")
        assert "INFO ready" in pane_text(room, "logs").splitlines()[1]
        await pilot.press("G")
        assert pane_text(room, "logs").endswith("new two")
        await pilot.press("f")
        assert "STILL" in pane_text(room, "logs")


async def test_a_filter_answers_while_it_is_typed(make_room: MakeRoom, lines: Filled) -> None:
    async with logs(make_room, lines) as (room, pane, pilot):
        for typed in ("t", "ta", "tax"):
            pane.set_filter(typed)
        await pilot.pause()
        assert [line[16:21] for line in pane_text(room, "logs").splitlines()[1:] if line] == ["ERROR"]
        assert "/tax/ 1 of 5" in pane_text(room, "logs")
        lines.add("ERROR no tax_rate again")
        pane.take_in()
        assert "/tax/ 2 of 6" in pane_text(room, "logs")
        pane.set_filter("!tax")
        await pilot.pause()
        assert "tax_rate" not in pane_text(room, "logs")
        pane.set_filter("[oops")
        assert pane.matcher.fault
        pane.set_filter("")
        await pilot.pause()
        assert "INFO ready" in pane_text(room, "logs")


async def test_letters_that_come_at_once_are_one_filter(
    make_room: MakeRoom, lines: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with logs(make_room, lines) as (room, pane, pilot):
        sifted: list[str] = []
        sift = pane._sift

        def counted() -> None:
            sifted.append(pane.matcher.words)
            sift()

        monkeypatch.setattr(pane, "_sift", counted)
        for typed in ("t", "ta", "tax"):
            pane.set_filter(typed)
        await pilot.pause()
        assert sifted == ["tax"]
        assert "/tax/ 1 of 5" in pane_text(room, "logs")


async def test_keys_of_the_logs_do_nothing_elsewhere(make_room: MakeRoom, lines: Filled) -> None:
    room = make_room(target=TARGET)
    async with room.run_test(size=(120, 35)) as pilot:
        pane = room.pane("logs")
        assert isinstance(pane, Logs)
        pane.begin(TARGET, lines.spool)
        await pilot.press("v", "w", "t", "x", "f")
        assert (pane.level, pane.wrap, pane.timestamps) == ("all", False, True)
        assert "FOLLOW" in pane_text(room, "logs")


async def test_saved_for_this_user_only_and_never_over_another_file(
    make_room: MakeRoom, lines: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "saved"
    place.mkdir()
    monkeypatch.chdir(place)
    async with logs(make_room, lines) as (room, pane, pilot):
        pane.set_level("warn")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "saved 2 lines" in room.said, "the first file")
        await pilot.press("ctrl+s")
        await until(
            pilot,
            lambda: "saved 2 lines" in room.said and len(list(place.iterdir())) == 2,
            "another file, whole",
        )
        for file in place.iterdir():
            assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
            assert file.read_text() == (
                "2026-11-24T14:32:09.000Z web-1 ERROR KeyError: 'tax_rate' req=9e11\n"
                "2026-11-24T14:32:10.000Z web-1 WARN slow query 812ms\n"
            )
        mine = place / "mine.log"
        mine.write_text("mine")
        await room.action_act("save-logs", (str(mine),))
        await until(pilot, lambda: "exists already" in room.said, "the refusal")
        assert mine.read_text() == "mine"


async def test_what_is_in_sight_is_copied_whole(make_room: MakeRoom, lines: Filled) -> None:
    lines.add("INFO " + "x" * 300)
    async with logs(make_room, lines) as (_room, pane, _pilot):
        assert pane.copy_text().splitlines()[0] == "14:32:08 web-1 INFO ready"
        assert "x" * 300 in pane.copy_text()


def test_lengths_of_time() -> None:
    assert [since_from(word) for word in ("90s", "5m", "5", "2h", "1d", "all")] == [
        90_000,
        300_000,
        300_000,
        7_200_000,
        86_400_000,
        None,
    ]
    for wrong in ("", "0m", "m", "5x", "-5", "\u0665m"):
        with pytest.raises(Refused):
            since_from(wrong)


async def test_a_real_collector_says_that_hosts_are_silent(make_room: MakeRoom, filled: Qd) -> None:
    """No host of this fleet answers: the pane says so by itself, the room goes on, and nothing is left when it closes."""
    text = filled.fleet_file.read_text().replace("path: /srv/api", "path: /srv/api\n    logs: {files: [/srv/api/log]}")
    filled.fleet_file.write_text(text)

    room = make_room(target=TARGET, observe=True)
    async with room.run_test(size=(100, 24)) as pilot:
        pane = room.pane("logs")
        assert isinstance(pane, Logs)
        await pilot.press("3")
        await until(pilot, lambda: pane_text(room, "logs").count("is silent") == 2, "both hosts to be said silent")
        assert pane.collecting is not None
        process = pane.collecting.process
        assert process is not None
    wait_for(lambda: process.poll() is not None, "the collector to end")
