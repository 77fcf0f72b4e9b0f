"""The playground as a fixture. A conftest that wants it says ``from tests.playground_fixture import playground``."""

from collections.abc import Iterator

import pytest

from quarterdeck.backends.playground import Playground, start, stop


@pytest.fixture(scope="session")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """A running playground for the whole run, nothing deployed by the fixture. Leave its hosts as they were found."""
    directory = tmp_path_factory.mktemp("play ground") / "fleet"  # a space: paths must survive it
    try:
        yield start(directory)
    finally:
        stop(directory)
