"""Hosts for whole rollouts."""

from pathlib import Path

import pytest

from tests.field import Field
from tests.sshd import SshdFleet


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet) -> Field:
    """Five hosts on which nothing runs yet, a fleet file and a journal of the test's own."""
    made = Field(tmp_path, sshd_fleet)
    made.clear_hosts()
    return made
