"""Fixtures for the command line: the real program, with and without a filled journal."""

from pathlib import Path

import pytest

from tests.cli.qd_command import Qd, fill


@pytest.fixture
def qd(tmp_path: Path) -> Qd:
    """The program in an empty directory: no fleet file anywhere."""
    return Qd(tmp_path)


@pytest.fixture
def fleet(qd: Qd) -> Qd:
    """A fleet file whose hosts can't be reached, and no journal yet."""
    qd.write_fleet()
    return qd


@pytest.fixture
def filled(fleet: Qd) -> Qd:
    """The same with a journal; see ``fill``."""
    with fleet.journal() as journal:
        fill(journal)
    return fleet
