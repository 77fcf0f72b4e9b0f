"""A playground on a real Docker engine: its container is deployed, broken and taken back like everything else, and what is somebody else's
on that engine is never touched."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.playground import (
    Playground,
    PlaygroundError,
    container_image,
    describe,
    is_running,
    start,
    stop,
)
from quarterdeck.backends.playground.container_image import IMAGE_LABEL, LABEL
from quarterdeck.backends.playground.layout import EngineHost
from tests.cli.qd_command import Qd
from tests.conftest import StartDockerEngine
from tests.engine import DockerEngine
from tests.playground.by_hand import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.root]
LONG = 150.0  # seconds: the machine may be busy with other things
START = "import sys, pathlib, quarterdeck.backends.playground as p; p.start(pathlib.Path(sys.argv[1]))"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "own"
    yield place
    if (place / ".quarterdeck-playground").exists():
        stop(place)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, docker_engine: DockerEngine) -> DockerEngine:
    """The engine that playgrounds of this test find; nothing of any playground is on it."""
    use(monkeypatch, docker_engine)
    assert left_on(docker_engine) == set()
    return docker_engine


def use(monkeypatch: pytest.MonkeyPatch, engine: DockerEngine) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine.socket}")
    monkeypatch.setenv("QD_PLAYGROUND_ENGINE", "yes")


def of(engine: DockerEngine) -> dict[str, str]:
    """The same for a command."""
    return {"DOCKER_HOST": f"unix://{engine.socket}", "QD_PLAYGROUND_ENGINE": "yes"}


def left_on(engine: DockerEngine, word: str = "") -> set[str]:
    """All that tells by a label whose it is: the playground's with that word, or any playground's."""
    client = engine.client
    listed = {
        "container": [(one["Names"][0], one["Labels"]) for one in client.containers(all=True)],
        "image": [(str(one["RepoTags"] or one["Id"]), one["Labels"]) for one in client.images(all=True)],
        # What qd remembers of a target has a number at the end, which goes up.
        "volume": [(one["Name"].rpartition(".")[0], one["Labels"]) for one in client.volumes()["Volumes"] or []],
        "network": [(one["Name"], one["Labels"]) for one in client.networks()],
    }
    return {f"{kind} {name}" for kind, things in listed.items() for name, labels in things if whose(kind, labels, word)}


def whose(kind: str, labels: dict[str, str] | None, word: str) -> bool:
    held = labels or {}
    # A container inherits what its image has: it is whoever's made it.
    of_image = held.get(IMAGE_LABEL, "") if kind == "image" else ""
    words = {held.get(LABEL, ""), of_image, held.get(names.TARGET, "").removeprefix("dev/shop-")} - {""}
    return word in words if word else bool(words)


def engine_of(playground: Playground) -> EngineHost:
    assert playground.engine is not None, playground.without_engine
    return playground.engine


def status(qd: Qd, target: str) -> dict[str, Any]:
    document = json.loads(qd("status", target, "--json", timeout=LONG).stdout)
    found: dict[str, Any] = document["targets"][0]
    return found


def playground_of(qd: Qd) -> Path:
    return qd.directory / "xdg" / "quarterdeck" / "playground"


@pytest.fixture
def two_of_them(tmp_path: Path, docker_engine: DockerEngine) -> Iterator[tuple[Qd, Qd]]:
    """Commands of two users, each with a home, on one engine."""
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
    both = Qd(tmp_path / "one", of(docker_engine)), Qd(tmp_path / "another", of(docker_engine))
    yield both
    for qd in both:
        stop(playground_of(qd))


class Foreign:
    """What somebody else has on the engine, with names and labels that look as if they were a playground's."""

    def __init__(self, engine: DockerEngine) -> None:
        self._client = engine.client
        self._image = engine.image("playground-mine/shop:v1", changes=(f"LABEL {IMAGE_LABEL}=another",))
        self._container = engine.run(
            "playground-mine/shop:v1", "playground-mine-shop", labels={LABEL: "another", names.TARGET: "dev/shop"}
        )
        self._volume = self._client.create_volume("playground-mine", labels={names.TARGET: "dev/shop-another"})["Name"]
        self._network = self._client.create_network("playground-dev_default")["Id"]

    def assert_untouched(self) -> None:
        assert self._client.inspect_image(self._image)["RepoTags"] == ["playground-mine/shop:v1"]
        container = self._client.inspect_container(self._container)
        assert (container["State"]["Running"], container["RestartCount"]) == (True, 0)
        assert container["Name"] == "/playground-mine-shop"
        assert self._client.inspect_volume(self._volume)
        assert self._client.inspect_network(self._network)

    def remove(self) -> None:
        self._client.remove_container(self._container, force=True, v=True)
        self._client.remove_image(self._image, force=True)
        self._client.remove_volume(self._volume)
        self._client.remove_network(self._network)


@pytest.fixture
def foreign(docker_engine: DockerEngine) -> Iterator[Foreign]:
    made = Foreign(docker_engine)
    yield made
    made.remove()


def test_it_is_deployed_broken_and_taken_back_and_leaves_nothing(
    two_of_them: tuple[Qd, Qd], docker_engine: DockerEngine, foreign: Foreign
) -> None:
    qd, _ = two_of_them
    up = json.loads(qd("demo", "up", "--json", timeout=LONG).stdout)
    assert up["failed"] == []
    target, port = up["engine"]["target"], up["engine"]["port"]
    assert up["engine"]["docker"] == f"unix://{docker_engine.socket}"
    (runs,) = docker_engine.client.containers(filters={"label": f"{names.TARGET}={target}"})
    assert runs["Ports"] == [{"IP": "127.0.0.1", "PrivatePort": 8080, "PublicPort": port, "Type": "tcp"}]
    assert status(qd, target)["version"] == "v1"

    qd("deploy", target, "v2", "--wait", timeout=LONG)
    assert (status(qd, target)["version"], status(qd, target)["health"]) == ("v2", "healthy")
    sent = json.loads(qd("demo", "load", target, "--seconds", "1", "--rate", "20", "--json", timeout=LONG).stdout)
    assert sent["failed"] == 0
    assert list(sent["versions"]) == ["v2"]

    broken = json.loads(qd("demo", "break", target, "--json", status=3, timeout=LONG).stdout)
    assert (broken["status"], broken["to"].partition("-")[0]) == ("rolled_back", "v3")
    assert "http 500" in broken["reason"]
    assert status(qd, target)["version"] == "v2"

    qd("rollback", target, "--yes", "--wait", timeout=LONG)
    now = status(qd, target)
    assert (now["version"], now["health"], now["rollout"]) == ("v1", "healthy", None)
    assert [host["host"] for host in now["hosts"]] == ["dev-box"]
    assert "shop v1 started on port 8080" in qd("logs", target, timeout=LONG).stdout

    assert left_on(docker_engine, target.rpartition("-")[2])
    assert json.loads(qd("demo", "down", "--json", timeout=LONG).stdout) == {"removed": True}
    assert left_on(docker_engine, target.rpartition("-")[2]) == set()
    assert not playground_of(qd).exists()
    foreign.assert_untouched()


def test_two_playgrounds_share_an_engine_and_nothing_on_it(
    two_of_them: tuple[Qd, Qd], docker_engine: DockerEngine
) -> None:
    starting = [
        subprocess.Popen(qd.command("demo", "up"), cwd=qd.directory, env=qd.environ(), stdout=subprocess.DEVNULL)
        for qd in two_of_them
    ]
    assert [process.wait(LONG) for process in starting] == [0, 0]
    one, another = (engine_of(describe(playground_of(qd))) for qd in two_of_them)
    assert one.word != another.word
    assert one.port != another.port
    assert status(two_of_them[0], one.target)["version"] == "v1"
    before = left_on(docker_engine, another.word)
    assert {line.partition(" ")[0] for line in before} == {"container", "image", "volume"}
    two_of_them[0]("demo", "down", timeout=LONG)
    assert left_on(docker_engine, one.word) == set()
    assert left_on(docker_engine, another.word) == before
    assert status(two_of_them[1], another.target)["health"] == "healthy"
    two_of_them[1]("demo", "down", timeout=LONG)
    assert left_on(docker_engine) == set()


def test_an_engine_that_dies_leaves_the_ssh_hosts_alone_and_is_cleared_when_it_is_back(
    tmp_path: Path, start_docker_engine: StartDockerEngine
) -> None:
    engine = start_docker_engine()
    qd = Qd(tmp_path, of(engine))
    try:
        qd("demo", "up", timeout=LONG)
        host = engine_of(describe(playground_of(qd)))
        engine.kill()
        qd("deploy", "dev/web", "v2", "--wait", timeout=LONG)
        qd("demo", "up", timeout=LONG)  # the one that runs is given back
        told = qd("demo", "down", status=None, timeout=LONG)
        assert told.returncode != 0
        assert str(engine.socket) in told.stderr
        assert "All else of it is gone" in told.stderr

        again = json.loads(qd("demo", "up", "--json", timeout=LONG).stdout)
        assert (again["engine"], again["failed"]) == (None, [])
        engine.start()
        assert left_on(engine, host.word)
        assert json.loads(qd("demo", "down", "--json", timeout=LONG).stdout) == {"removed": True}
        assert left_on(engine) == set()
        assert not playground_of(qd).exists()
    finally:
        if engine.process is None:
            engine.start()
        stop(playground_of(qd))


def test_a_first_release_that_fails_there_stops_nothing_else(
    tmp_path: Path, docker_engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its image is gone when it is to be deployed, as `docker system prune` would have it."""
    qd = Qd(tmp_path, of(docker_engine))
    use(monkeypatch, docker_engine)
    try:
        host = engine_of(start(playground_of(qd)))
        docker_engine.client.remove_image(f"{host.repository}:v1", force=True)
        done = qd("demo", "up", timeout=LONG)
        assert f"x {host.target}" in done.stderr
        assert status(qd, "production/worker")["version"] == "v1"
    finally:
        stop(playground_of(qd))
    assert left_on(docker_engine) == set()


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
    engine.freeze()
    try:
        with pytest.raises(PlaygroundError, match="All else of it is gone"):
            stop(directory)
        playground = start(directory)
        assert playground.engine is None
        assert len(playground.hosts) == 6
    finally:
        engine.thaw()
    assert stop(directory)
    assert left_on(engine) == set()
    assert not directory.exists()
