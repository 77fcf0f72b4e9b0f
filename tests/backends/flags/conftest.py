"""A real flag of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.flags.kinds import KINDS, Kind, a_flag
from tests.sshd import SshdFleet


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path, sshd_fleet: SshdFleet) -> Iterator[Kind]:
    with a_flag(request.param, tmp_path, sshd_fleet) as made:
        yield made
