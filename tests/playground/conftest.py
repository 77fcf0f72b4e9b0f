"""Gives the tests of this folder the playground, and an engine on which nothing of any playground is."""

from collections.abc import Iterator

import pytest

from tests.engine import DockerEngine
from tests.playground.on_engine import Foreign, left_on, use
from tests.playground_fixture import playground

__all__ = ["playground"]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, docker_engine: DockerEngine) -> DockerEngine:
    """The engine that playgrounds of this test find; nothing of any playground is on it."""
    use(monkeypatch, docker_engine)
    assert left_on(docker_engine) == set()
    return docker_engine


@pytest.fixture
def foreign(docker_engine: DockerEngine) -> Iterator[Foreign]:
    made = Foreign(docker_engine)
    yield made
    made.remove()
