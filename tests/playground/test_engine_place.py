"""Which engine of this machine a playground takes, and that one which is not there, not permitted or silent costs it nothing but a line."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.playground import engine_images, start, stop
from quarterdeck.backends.playground.engine import Preparing
from quarterdeck.backends.playground.engine_place import NoEngine, engine_socket
from tests.engine import short_directory

VARIABLES = ("QD_PLAYGROUND_ENGINE", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH")


@pytest.fixture(autouse=True)
def docker_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Docker's own directory, empty: nothing of whoever runs the tests."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker"


@pytest.fixture
def listening() -> Iterator[Path]:
    """A socket at which connections are taken and nothing is ever answered."""
    directory = short_directory()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "engine.sock"))
        listener.listen(8)
        yield directory / "engine.sock"
    shutil.rmtree(directory)


def reason() -> str:
    with pytest.raises(NoEngine) as told:
        engine_socket()
    return str(told.value)


def make_context(settings: Path, name: str, address: str) -> None:
    place = settings / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    place.mkdir(parents=True)
    (place / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": address}}}))


def test_docker_host_is_taken(monkeypatch: pytest.MonkeyPatch, listening: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{listening}")
    assert engine_socket() == str(listening)


@pytest.mark.parametrize("by", ["variable", "configuration"])
def test_the_context_that_docker_would_take(
    monkeypatch: pytest.MonkeyPatch, docker_settings: Path, listening: Path, by: str
) -> None:
    make_context(docker_settings, "rootless", f"unix://{listening}")
    if by == "variable":
        monkeypatch.setenv("DOCKER_CONTEXT", "rootless")
    else:
        (docker_settings / "config.json").write_text('{"currentContext": "rootless"}')
    assert engine_socket() == str(listening)


@pytest.mark.parametrize("host", ["ssh://deploy@prod", "tcp://127.0.0.1:2375", "tcp://10.0.0.1:2376"])
def test_an_engine_elsewhere_is_never_taken(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert reason() == "DOCKER_HOST leads to an engine elsewhere"


def test_a_context_that_leads_elsewhere_is_not_taken(docker_settings: Path) -> None:
    make_context(docker_settings, "prod", "ssh://deploy@prod")
    (docker_settings / "config.json").write_text('{"currentContext": "prod"}')
    assert reason() == "Docker's own settings lead to an engine elsewhere"


@pytest.mark.parametrize("configuration", ["{", "[]", '{"currentContext": 7}', '{"currentContext": "none"}'])
def test_settings_that_make_no_sense_are_no_fault(
    monkeypatch: pytest.MonkeyPatch, docker_settings: Path, configuration: str
) -> None:
    (docker_settings / "config.json").write_text(configuration)
    with contextlib.suppress(NoEngine):
        engine_socket()


def test_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, listening: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
    assert reason() == "there is no Docker engine here (/nowhere/engine.sock)"
    left = listening.with_name("left.sock")
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(left))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{left}")
    assert reason() == f"nothing listens at {left}"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/{'x' * 120}")
    assert "too long" in reason()


@pytest.mark.parametrize("word", ["no", "off", "0", "False"])
def test_the_switch_comes_before_everything(monkeypatch: pytest.MonkeyPatch, listening: Path, word: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{listening}")
    monkeypatch.setenv("QD_PLAYGROUND_ENGINE", word)
    assert reason() == "QD_PLAYGROUND_ENGINE says so"


@pytest.mark.root
def test_a_user_who_may_not_use_the_socket_is_told_so(listening: Path) -> None:
    script = """
import os
from quarterdeck.backends.playground.engine_place import NoEngine, engine_socket
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    print(engine_socket())
except NoEngine as reason:
    print(reason)
"""
    listening.parent.chmod(0o755)
    listening.chmod(0o660)
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "DOCKER_HOST": f"unix://{listening}"},
    )  # fmt: skip
    assert told.stdout == f"this user may not use {listening}\n"


@pytest.mark.parametrize(("word", "seconds"), [("yes", 12.0), (" On", 12.0), ("", 2.0)])
def test_an_engine_that_is_wanted_has_six_times_as_long_to_answer(
    monkeypatch: pytest.MonkeyPatch, listening: Path, tmp_path: Path, word: str, seconds: float
) -> None:
    """Seen to fail with a patience that is the same for all."""
    given = []

    async def asked(_socket: str, deadline: float) -> None:
        given.append(deadline)
        raise NoEngine("asked")

    monkeypatch.setattr(engine_images, "open_engine", asked)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{listening}")
    monkeypatch.setenv("QD_PLAYGROUND_ENGINE", word)
    with Preparing(tmp_path, "mark") as preparing:
        assert preparing.outcome() == (None, "asked")
    assert given == [seconds]


def test_a_playground_starts_beside_an_engine_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, listening: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{listening}")
    try:
        playground = start(tmp_path / "own")
        assert len(playground.hosts) == 6
        assert playground.engine is None
        assert str(listening) in playground.without_engine
        assert "docker" not in playground.fleet_file.read_text()
    finally:
        assert stop(tmp_path / "own")  # nothing was made there, so nothing is owed
    assert not (tmp_path / "own").exists()
