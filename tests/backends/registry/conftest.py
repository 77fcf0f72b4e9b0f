"""Registries for these tests: one that is open, one with passwords; settings of the developer's own are out of the way."""

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.artifacts.registry import challenges
from tests.backends.registry.real_registry import HASH, PASSWORD, RealRegistry, registry_program, start_registry
from tests.requirements_here import need

WriteConfig = Callable[[Mapping[str, Any]], Path]


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(challenges.TOKENS, "_tokens", {})


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Writes Docker's config.json."""

    def write(config: Mapping[str, Any]) -> Path:
        path = tmp_path / "docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(config))
        return path

    return write


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """Open to everybody. Tests take repositories of their own in it."""
    need(registry_program() is not None, "a registry (package docker-registry)")
    started = start_registry(tmp_path_factory.mktemp("registry"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def registry_with_passwords(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """The user ``ci`` may pull and push, nobody else anything."""
    need(registry_program() is not None, "a registry (package docker-registry)")
    started = start_registry(tmp_path_factory.mktemp("registry"), users={"ci": HASH})
    started.authorize = lambda repository: f"Basic {basic('ci', PASSWORD)}"
    yield started
    started.close()
