"""Hosts for whole rollouts."""

from pathlib import Path

import pytest

from tests.field import Field
from tests.flagged import Flagged
from tests.sshd import SshdFleet


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet, patient_journal: None) -> Field:
    """Five hosts on which nothing runs yet, a fleet file and a journal of the test's own."""
    made = Field(tmp_path, sshd_fleet)
    made.clear_hosts()
    return made


@pytest.fixture
def flagged(field: Field) -> Flagged:
    """v1 runs on all of them, and there is a flag `checkout`, at 0 %."""
    return Flagged(field)
