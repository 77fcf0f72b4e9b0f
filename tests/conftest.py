"""Fixtures that every folder of tests may use: real SSH hosts."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that tests can share modules as ``tests.<name>``

from tests.requirements_here import need
from tests.sshd import SshdFleet, sshd_program, start_fleet

StartFleet = Callable[..., SshdFleet]


@pytest.fixture(scope="session")
def sshd_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdFleet]:
    """Five real sshd hosts for the whole run. Leave them as they were found: another test uses them next."""
    need(sshd_program() is not None, "OpenSSH's server (package openssh-server)")
    fleet = start_fleet(tmp_path_factory.mktemp("fleet"), 5)
    yield fleet
    fleet.close()


@pytest.fixture
def start_sshd_fleet(tmp_path: Path) -> Iterator[StartFleet]:
    """Starts a fleet of the test's own: ``start_sshd_fleet(count, options=[…])``. Ended after the test."""
    need(sshd_program() is not None, "OpenSSH's server (package openssh-server)")
    started: list[SshdFleet] = []

    def start(count: int = 1, **arguments: Any) -> SshdFleet:
        fleet = start_fleet(tmp_path / f"fleet-{len(started)}", count, **arguments)
        started.append(fleet)
        return fleet

    yield start
    for fleet in started:
        fleet.close()
