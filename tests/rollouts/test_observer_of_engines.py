"""The observer on a real engine: what happens there is in the journal although nobody would look again for ten minutes."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.model import Fleet
from quarterdeck.history.clock import boottime
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Metric, Observation, Operator
from quarterdeck.history.samples import SECOND
from quarterdeck.rollouts.health import ContainerSeen, containers_of
from tests.boxes import Registry
from tests.conftest import StartDockerEngine
from tests.engine import DockerEngine
from tests.engine_field import ANSWERS, CHECKED, put_everything, write_fleet
from tests.observers import ObservedRooms, observed_rooms
from tests.sshd import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.root]
rooms = pytest.fixture(observed_rooms)
RARELY: dict[str, Any] = {"chosen": 29.0, "shown": 29.0, "rest": 29.0}  # seconds; more, and no connection is kept
EATS_WHEN_TOLD = (
    "trap 'exit 0' TERM; httpd -p 8080 -h /www; until [ -e /tmp/eat ]; do sleep 0.1; done; rm /tmp/eat;"
    " exec tail /dev/zero"
)
SEEN = 15.0  # seconds: far less than until the next regular look


class Watched:
    """Three targets on an engine, and the journal of who looks at them."""

    def __init__(self, engine: DockerEngine, registry: Registry, place: Path, **services: dict[str, Any]) -> None:
        self.engine = engine
        described = {"one": {"health": ANSWERS}, "two": {"health": ANSWERS}, **services}
        self.fleet: Fleet = write_fleet(place / "fleet.json", registry, {"box-1": engine}, described)
        asyncio.run(put_everything(self.fleet, registry, engine, "v1"))
        self.journal = Journal.open(self.fleet.state, operator=Operator("alice", 1000, None, "bastion-2"))

    def seen(self, service: str) -> Observation | None:
        return next(iter(self.journal.observations(f"bench/{service}")), None)

    def until(self, service: str, holds: Callable[[Observation], object], what: str, deadline: float = SEEN) -> None:
        def found() -> bool:
            seen = self.seen(service)
            return seen is not None and bool(holds(seen))

        try:
            wait_for(found, what, deadline)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.seen(service)}") from None

    def all_healthy(self, deadline: float = 90.0) -> None:
        for name in self.fleet.targets:
            self.until(name.partition("/")[2], healthy, f"{name} to be seen healthy", deadline)

    def container(self, service: str) -> str:
        filters = {"label": [f"dev.quarterdeck.target=bench/{service}"]}
        found: str = self.engine.client.containers(all=True, filters=filters)[0]["Id"]
        return found


def healthy(seen: Observation) -> bool:
    return seen.health == "healthy" and seen.error is None and seen.body.get("running") is True


def drifted(words: str) -> Callable[[Observation], bool]:
    return lambda seen: any(words in one for one in seen.body.get("drift", ()))


@pytest.fixture
def watched(docker_engine: DockerEngine, docker_images: Registry, tmp_path: Path) -> Iterator[Watched]:
    checked = {"artifact": {"image": f"{docker_images.name}/{CHECKED}"}}
    made = Watched(docker_engine, docker_images, tmp_path, checked=checked)
    yield made
    made.journal.close()
    clear(docker_engine)


def clear(engine: DockerEngine) -> None:
    engine.remove_containers()
    for volume in engine.client.volumes(filters={"label": ["dev.quarterdeck.state"]})["Volumes"] or []:
        engine.client.remove_volume(volume["Name"])


def test_what_happens_to_a_container_is_seen_at_once(watched: Watched, rooms: ObservedRooms) -> None:
    rooms(watched.fleet.file, view="overview", **RARELY)
    watched.all_healthy()
    client = watched.engine.client

    one = watched.container("one")
    client.kill(one)
    watched.until("one", lambda seen: seen.body.get("running") is False, "the death to be seen")
    assert drifted("ended with status 137")(watched.seen("one") or pytest.fail("it was seen"))
    client.start(one)
    watched.until("one", drifted("was started again"), "the start to be seen")
    client.pause(one)
    watched.until("one", drifted("is paused"), "the pause to be seen")
    client.unpause(one)
    watched.until("one", healthy, "its going on to be seen")

    two = client.inspect_container(watched.container("two"))
    client.remove_container(two["Id"], force=True)
    watched.until("two", drifted("is gone"), "the removal to be seen")
    watched.engine.run(two["Image"], two["Name"].lstrip("/"), labels=two["Config"]["Labels"])
    watched.until("two", drifted("somebody has made it anew"), "the other container to be seen")

    made = client.exec_create(watched.container("checked"), ["rm", "/www/health"])
    client.exec_start(made["Id"])
    watched.until("checked", lambda seen: seen.health == "unhealthy", "the engine's own check to be heard")


def test_an_older_look_that_ends_later_changes_nothing(
    docker_engine: DockerEngine, docker_images: Registry, tmp_path: Path, rooms: ObservedRooms
) -> None:
    """The look that has seen it run hangs in its health check while another one has seen it die."""
    with socket.create_server(("127.0.0.2", 0)) as hangs:
        check = {"host": "127.0.0.2", "port": hangs.getsockname()[1], "path": "/"}
        health = {"http": check, "timeout": "20s", "interval": "21s"}
        watched = Watched(docker_engine, docker_images, tmp_path, slow={"health": health})
        try:
            rooms(watched.fleet.file, view="overview", **RARELY)
            asked, _ = hangs.accept()
            with asked:
                docker_engine.client.kill(watched.container("slow"))
                watched.until("slow", lambda seen: seen.body.get("running") is False, "the death to be seen")
                asked.settimeout(60)
                with contextlib.suppress(ConnectionError):  # it gives up after 20 s, also where this test is late
                    asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    while asked.recv(4096):
                        pass  # until the look has heard that all is well
            watched.until("one", healthy, "the others to be seen")
            docker_engine.client.pause(watched.container("one"))
            watched.until("one", drifted("is paused"), "what was found since to be written down")
            last = watched.seen("slow")
            assert last is not None
            assert last.body["running"] is False
        finally:
            watched.journal.close()
            clear(docker_engine)


def test_what_happened_while_an_engine_was_away_is_seen(
    start_docker_engine: StartDockerEngine, docker_images: Registry, tmp_path: Path, rooms: ObservedRooms
) -> None:
    engine = start_docker_engine()
    watched = Watched(engine, docker_images, tmp_path)
    rooms(watched.fleet.file, view="overview", **RARELY)
    watched.all_healthy()
    running = engine.client.inspect_container(watched.container("one"))["State"]["Pid"]
    engine.kill()
    watched.until("one", lambda seen: seen.error is not None, "the lost engine to be told")
    os.kill(running, signal.SIGKILL)
    engine.start()
    # A lost host is tried again after up to 40 s where it is looked at rarely, as here.
    watched.until("one", lambda seen: seen.body.get("running") is False, "what happened meanwhile to be seen", 90)
    watched.until("two", healthy, "the other one to be seen again", 90)
    engine.client.kill(watched.container("two"))
    watched.until("two", lambda seen: seen.body.get("running") is False, "the engine to be heard again")
    watched.journal.close()


def test_two_rooms_hear_an_engine_once_and_a_dead_leader_is_followed(
    start_docker_engine: StartDockerEngine, docker_images: Registry, tmp_path: Path, rooms: ObservedRooms
) -> None:
    engine = start_docker_engine(["--debug"])
    watched = Watched(engine, docker_images, tmp_path)

    def listeners() -> int:
        return sum("Calling GET" in line and "/events" in line for line in engine.log.splitlines())

    first = rooms(watched.fleet.file, who="alice", **RARELY)
    watched.all_healthy()
    second = rooms(watched.fleet.file, who="lena", **RARELY)
    wait_for(lambda: len(watched.journal.presences()) == 2, "both to be here")
    engine.client.kill(watched.container("one"))
    watched.until("one", lambda seen: seen.body.get("running") is False, "the death to be seen")
    assert listeners() == 1
    first.kill_observer()
    wait_for(lambda: listeners() == 2, "the other one to hear the engine")
    engine.client.kill(watched.container("two"))
    watched.until("two", lambda seen: seen.body.get("running") is False, "the other death to be seen")
    assert second.observer_lives()
    watched.journal.close()


def test_a_container_that_hangs_in_its_check_delays_no_news_of_others(
    docker_engine: DockerEngine, docker_images: Registry, tmp_path: Path, rooms: ObservedRooms
) -> None:
    with socket.create_server(("127.0.0.2", 0)) as hangs:
        held: list[socket.socket] = []

        def hold() -> None:
            while True:
                try:
                    held.append(hangs.accept()[0])
                except OSError:
                    return

        holding = threading.Thread(target=hold)
        holding.start()
        health = {
            "http": {"host": "127.0.0.2", "port": hangs.getsockname()[1], "path": "/"},
            "timeout": "20s",
            "interval": "21s",
        }
        watched = Watched(docker_engine, docker_images, tmp_path, slow={"health": health})
        try:
            rooms(watched.fleet.file, view="overview", **RARELY)
            wait_for(lambda: held, "the slow one to be asked")
            watched.until("one", healthy, "the others to be seen")
            docker_engine.client.kill(watched.container("one"))
            watched.until("one", lambda seen: seen.body.get("running") is False, "the death to be seen meanwhile")
            assert watched.seen("slow") is None
        finally:
            watched.journal.close()
            clear(docker_engine)
            hangs.shutdown(socket.SHUT_RDWR)
            holding.join()
            for one in held:
                one.close()


def test_what_a_container_uses_is_measured_while_somebody_looks_at_it(
    docker_engine: DockerEngine, docker_images: Registry, tmp_path: Path, rooms: ObservedRooms
) -> None:
    """Also over the ends of one that is killed for want of memory: its engine says only of the last one that it was that."""
    container = {
        "network_mode": "bridge",
        "mem_limit": "32m",
        "restart": "unless-stopped",
        "command": ["sh", "-c", EATS_WHEN_TOLD],
    }
    watched = Watched(docker_engine, docker_images, tmp_path, hungry={"container": container, "health": ANSWERS})
    client = docker_engine.client
    target = "bench/hungry"

    def measured(name: str = target) -> ContainerSeen | None:
        samples = watched.journal.samples(name, ["box-1"], 60.0)
        return next(iter(containers_of(name, samples, 0)), None)

    def figure(metric: Metric) -> float:
        seen = measured()
        return seen.figures.get(metric, -1.0) if seen is not None else -1.0

    try:
        room = rooms(watched.fleet.file, target=target, view="health", chosen=1.0, vitals=1.0)
        wait_for(lambda: figure(Metric.CONTAINER_CPU) >= 0, "a second look at it")
        wait_for(lambda: figure(Metric.CONTAINER_RECEIVED) > 0, "its health checks to be counted as traffic")
        seen = measured()
        assert seen is not None
        assert (
            seen.release
            == client.inspect_container(watched.container("hungry"))["Config"]["Labels"]["dev.quarterdeck.release"]
        )
        assert 0 < seen.figures[Metric.CONTAINER_MEMORY] < seen.figures[Metric.CONTAINER_LIMIT] == 32 << 20
        assert figure(Metric.CONTAINER_RESTARTS) == figure(Metric.CONTAINER_OUT_OF_MEMORY) == 0
        assert measured("bench/one") is None, "nobody looks at that one"

        def ends_and_is_started(times: int) -> None:
            eats = client.exec_create(watched.container("hungry"), ["touch", "/tmp/eat"])
            client.exec_start(eats["Id"])
            wait_for(lambda: figure(Metric.CONTAINER_OUT_OF_MEMORY) == times, "its death to be counted", 90)
            wait_for(lambda: figure(Metric.CONTAINER_RESTARTS) == times, "its start by the engine to be counted", 90)
            wait_for(lambda: figure(Metric.CONTAINER_MEMORY) > 0, "it to run again", 90)

        ends_and_is_started(1)
        ends_and_is_started(2)

        client.stop(watched.container("hungry"), timeout=1)
        wait_for(lambda: figure(Metric.CONTAINER_MEMORY) == -1, "that it uses nothing any more")
        assert figure(Metric.CONTAINER_RESTARTS) >= 0
        room.say(target="bench/one")
        wait_for(lambda: measured("bench/one") is not None, "another one to be looked at")
    finally:
        watched.journal.close()
        clear(docker_engine)


def test_an_engine_is_asked_what_a_container_uses_only_while_that_is_on_a_screen(
    start_docker_engine: StartDockerEngine, docker_images: Registry, tmp_path: Path, rooms: ObservedRooms
) -> None:
    """Whose logs are read is looked at as often as before, and of it no figures are asked for; of the others never."""
    engine = start_docker_engine(["--debug"])
    watched = Watched(engine, docker_images, tmp_path)
    one = watched.container("one")

    def asked() -> list[str]:
        return [line for line in engine.log.splitlines() if "Calling GET" in line and "/stats?" in line]

    def looked_at_for(seconds: int) -> None:
        """Until a look that was made so long after now is written down."""
        then = boottime() + seconds * SECOND

        def looked() -> bool:
            seen = watched.journal.samples("bench/one", ["box-1"], 600.0)
            return any(sample.metric == Metric.LATENCY and sample.boottime > then for sample in seen)

        wait_for(looked, f"a look {seconds} s from now", 60)

    room = rooms(watched.fleet.file, target="bench/one", view="logs", chosen=1.0, vitals=1.0)
    looked_at_for(4)
    assert asked() == []
    room.say(view="overview")
    wait_for(lambda: len(asked()) >= 2, "figures to be asked for")
    assert all(f"/containers/{one}/" in line for line in asked())
    room.say(view="logs")
    wait_for(lambda: {here.view for here in watched.journal.presences()} == {"logs"}, "the logs to be open")
    looked_at_for(3)  # until who leads has heard of it: some rounds
    before = len(asked())
    looked_at_for(4)
    assert len(asked()) == before
    watched.journal.close()
