"""How often a promise is put to the test: a small number in every run, all of it with QD_TRUST=full (``make trust``)."""

import os
from pathlib import Path

import pytest

from tests.field import Field
from tests.sshd import SshdFleet


@pytest.fixture(scope="session")
def full() -> bool:
    return os.environ.get("QD_TRUST") == "full"


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet) -> Field:
    """Five hosts on which nothing runs yet, a fleet file and a journal of the test's own."""
    made = Field(tmp_path, sshd_fleet)
    made.clear_hosts()
    return made
