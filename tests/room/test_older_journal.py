"""A room on a journal that an earlier program made: brought up as any command that writes does it, or said how."""

import os
from pathlib import Path

import pytest

from quarterdeck.history import migrate
from quarterdeck.history.journal import Journal
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until


@pytest.fixture
def newer_program(filled: Qd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This program knows one format more than the journal of ``filled`` has; its state directory."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    for file in migrate.DIRECTORY.glob("*.sql"):
        (directory / file.name).write_text(file.read_text())
    (directory / f"{migrate.LATEST + 1:04}_shade.sql").write_text("CREATE TABLE shade (name TEXT);\n")
    monkeypatch.setattr(migrate, "DIRECTORY", directory)
    monkeypatch.setattr(migrate, "LATEST", migrate.LATEST + 1)
    monkeypatch.setattr("quarterdeck.history.journal.LATEST", migrate.LATEST)
    return filled.state


async def test_who_may_write_has_it_brought_up_with_a_backup(make_room: MakeRoom, newer_program: Path) -> None:
    room = make_room(target="production/api")
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture")
        assert room.fault == ""
    assert [name for name in os.listdir(newer_program) if name.startswith("backup-format-")]


async def test_who_only_reads_is_told_what_brings_it_up(make_room: MakeRoom, newer_program: Path) -> None:
    room = make_room(target="production/api", read_only=True)
    async with room.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "older format" in pane_text(room, "alert"), "the fault")
        assert "qd note" in pane_text(room, "alert")
        assert "JOURNAL" in pane_text(room, "header")
        Journal.open(newer_program).close()  # as somebody's command does
        await until(pilot, lambda: "v2" in pane_text(room, "matrix"), "the picture, by itself")
        assert "older format" not in pane_text(room, "alert")
