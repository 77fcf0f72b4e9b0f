"""A journal of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Operator

ALICE = Operator("alice", 1001, None, "bastion-2 from 10.0.0.7")
BOB = Operator("bob", 1002, None, "bastion-2")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def journal(state: Path) -> Iterator[Journal]:
    with Journal.open(state, operator=ALICE) as opened:
        yield opened


@pytest.fixture
def other(journal: Journal, state: Path) -> Iterator[Journal]:
    """A second connection, of another operator."""
    with Journal.open(state, operator=BOB) as opened:
        yield opened
