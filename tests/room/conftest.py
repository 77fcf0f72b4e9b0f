"""Fixtures for the control room: a filled journal to open it on, without hosts that answer."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.opening import Opening
from tests.cli.qd_command import OPERATOR, Qd, fill
from tests.room.acme import LENA, NOW, fill_acme, fleet_text

MakeRoom = Callable[..., Room]
MakeAcme = Callable[..., Room]


@pytest.fixture(scope="module", autouse=True)
def _own_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where rooms in this process keep what is their own (typed commands, pictures for the next start): in no home of anybody's, and not
    where tests of other processes have theirs. Of a module, not of a test: a room that has ended may still be writing."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
        yield


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

    def make(**options: Any) -> Room:
        options.setdefault("observe", False)  # those hosts can't be reached: a test that wants that said says so
        return Room(Opening(load_fleet(filled.fleet_file), OPERATOR, **options))

    return make


@pytest.fixture(scope="session")
def _acme_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("acme") / "state"
    fill_acme(state)
    return state


@pytest.fixture
def acme(tmp_path: Path, _acme_state: Path) -> Qd:
    """The fleet of tests.room.acme with a journal of its own, whose times never change."""
    qd = Qd(tmp_path)
    shutil.copytree(_acme_state, qd.state)
    qd.fleet_file.write_text(fleet_text(qd.state))
    return qd


@pytest.fixture
def make_acme(acme: Qd) -> MakeAcme:
    """Makes a room on it whose clock stands still, as ``make_room`` does."""

    def make(**options: Any) -> Room:
        options = {"clock": lambda: NOW, "observe": False, **options}
        return Room(Opening(load_fleet(acme.fleet_file), LENA, **options))

    return make
