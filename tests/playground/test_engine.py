"""A playground on a real Docker engine: its container is deployed, broken and taken back like everything else, and what is somebody else's
on that engine is never touched."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.playground import describe, start, stop
from tests.cli.qd_command import Qd
from tests.conftest import StartDockerEngine
from tests.engine import DockerEngine
from tests.playground.on_engine import Foreign, engine_of, left_on, of, use

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]
LONG = 150.0  # seconds: the machine may be busy with other things


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
