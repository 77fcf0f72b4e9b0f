"""Fixtures for the control room: a filled journal to open it on, without hosts that answer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.tui.room.app import Opening, Room
from tests.cli.qd_command import OPERATOR, Qd, fill

MakeRoom = Callable[..., Room]


@pytest.fixture
def filled(tmp_path: Path) -> Qd:
    """A fleet file whose hosts can't be reached, and a journal with some history; see tests.cli.qd_command.fill."""
    qd = Qd(tmp_path)
    qd.write_fleet()
    with qd.journal() as journal:
        fill(journal)
    return qd


@pytest.fixture
def make_room(filled: Qd) -> MakeRoom:
    """Makes a room on that journal: ``async with make_room(look="dark").run_test(size=(80, 24)) as pilot``."""

    def make(**options: object) -> Room:
        return Room(Opening(load_fleet(filled.fleet_file), OPERATOR, **options))  # type: ignore[arg-type] # passed through

    return make
