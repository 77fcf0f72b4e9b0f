"""What a playground has on an engine goes with it, however it ends; and an engine that is of no use, or hangs, is no hindrance."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.playground import (
    PlaygroundError,
    container_image,
    describe,
    engine_clearing,
    is_running,
    start,
    stop,
)
from quarterdeck.backends.playground.container_image import LABEL
from tests.conftest import StartDockerEngine
from tests.engine import DockerEngine
from tests.playground.by_hand import wait_for
from tests.playground.on_engine import Foreign, engine_of, left_on, use

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]
START = "import sys, pathlib, quarterdeck.backends.playground as p; p.start(pathlib.Path(sys.argv[1]))"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "own"
    yield place
    if (place / ".quarterdeck-playground").exists():
        stop(place)


def test_what_a_start_that_was_killed_left_is_removed(chosen: DockerEngine, directory: Path, foreign: Foreign) -> None:
    others = left_on(chosen)
    with subprocess.Popen([sys.executable, "-c", START, str(directory)]) as starter:
        wait_for(lambda: left_on(chosen) != others, "something of it is on the engine")
        starter.kill()
    assert stop(directory)
    assert left_on(chosen) == others
    foreign.assert_untouched()


def test_what_a_killed_one_left_is_removed_by_the_next_start(
    chosen: DockerEngine, directory: Path, foreign: Foreign
) -> None:
    playground = start(directory)
    word = engine_of(playground).word
    supervisor = int((directory / "run" / "supervisor.pid").read_text().split()[0])
    for pid in [supervisor, *filter(None, (playground.host_pid(host.name) for host in playground.hosts))]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_running(directory), "the playground is known to be broken")
    chosen.run("playground-mine/shop:v1", f"playground-{word}-shop.stray", labels={LABEL: word})
    again = engine_of(start(directory))
    assert left_on(chosen, word) == set()
    assert len(left_on(chosen, again.word)) >= 4
    assert stop(directory)
    assert left_on(chosen, again.word) == set()
    foreign.assert_untouched()


def test_when_its_directory_is_removed_by_hand_the_engine_is_cleared_too(chosen: DockerEngine, directory: Path) -> None:
    playground = start(directory)
    killed = playground.host_pid("dev-1")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: playground.host_pid("dev-1") is None, "the host is dead")
    start(directory)  # the supervisor brings it back; from then on it knows of the engine
    assert left_on(chosen, engine_of(playground).word)
    shutil.rmtree(directory)
    wait_for(lambda: not left_on(chosen), "the engine is cleared")


def test_an_image_that_somebody_uses_stays(chosen: DockerEngine, directory: Path) -> None:
    host = engine_of(start(directory))
    image = chosen.client.inspect_image(f"{host.repository}:v2")["Id"]
    container = chosen.client.create_container(image, name="mine")["Id"]
    assert stop(directory)
    assert left_on(chosen, host.word) == {f"image {[f'{host.repository}:v2']}"}
    assert chosen.client.inspect_container(container)["Image"] == image
    chosen.client.remove_container(container)
    chosen.client.remove_image(image, force=True)


def test_an_engine_on_which_nothing_of_this_machine_runs_is_not_taken(
    chosen: DockerEngine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the engine's machine is a virtual one: what is mounted from it is not what is here."""
    monkeypatch.setattr(container_image, "mounted_paths", lambda: ("/etc",))
    playground = start(directory)
    assert playground.engine is None
    assert "can't run this machine's Python" in playground.without_engine
    assert left_on(chosen) == set()
    assert not (directory / ".engines").exists()
    assert describe(directory) == playground


def test_the_switch_leaves_an_engine_alone(
    chosen: DockerEngine, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QD_PLAYGROUND_ENGINE", "no")
    playground = start(directory)
    assert (playground.engine, playground.without_engine) == (None, "QD_PLAYGROUND_ENGINE says so")
    assert left_on(chosen) == set()
    assert "docker:" not in playground.fleet_file.read_text()


def test_a_frozen_engine_does_not_keep_the_playground_from_going(
    directory: Path, start_docker_engine: StartDockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_docker_engine()
    use(monkeypatch, engine)
    assert start(directory).engine
    monkeypatch.setenv("QD_PLAYGROUND_ENGINE", "")  # it is not waited for as one that is wanted
    # A frozen engine answers as little after ten seconds as after three, however slow the machine is.
    monkeypatch.setattr(engine_clearing, "_CONNECTING", 3.0)
    engine.freeze()
    try:
        with pytest.raises(PlaygroundError, match="All else of it is gone"):
            stop(directory)
        playground = start(directory)
        assert playground.engine is None
        assert len(playground.hosts) == 6
    finally:
        engine.thaw()
    monkeypatch.undo()
    assert stop(directory)
    assert left_on(engine) == set()
    assert not directory.exists()
