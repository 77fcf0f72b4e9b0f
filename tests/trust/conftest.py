"""Counts and hosts of the promises' tests: see ``tests.counts`` for how often one is put to the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.counts import counts_are_full
from tests.field import Field
from tests.sshd import SshdFleet
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in

FULL_SECONDS = 900.0
"""The limit of one test at full counts. It ends a test that hangs; the limits in the files are those of the small counts."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not counts_are_full():
        return
    for item in items:
        if item.get_closest_marker("trust"):
            item.add_marker(
                pytest.mark.timeout(FULL_SECONDS), append=False
            )  # before the file's own: the first one counts


@pytest.fixture(scope="session")
def full() -> bool:
    return counts_are_full()


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet, patient_journal: None) -> Field:
    """Five hosts on which nothing runs yet, a fleet file and a journal of the test's own."""
    made = Field(tmp_path, sshd_fleet)
    made.clear_hosts()
    return made


@pytest.fixture
def harbour(swarm: Swarm, tmp_path: Path, patient_journal: None) -> Iterator[SwarmFleet]:
    """A Swarm of three managers on which nothing runs yet, a fleet file and a journal of the test's own. Three tasks, two at once."""
    with swarm_fleet_in(tmp_path, swarm, placed={"update_config": {"parallelism": 2}}) as made:
        yield made
