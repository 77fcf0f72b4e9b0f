"""Deploy and rollback of one service on Docker engines, beside the engine's own time for it, in turn in each round.

What the engine is asked for alone: to make a container, to start it, and to answer once it does; for a rollback, to start one that is kept.
"""

import http.client
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import docker

from benchmarks.docker_fleet import Engines
from benchmarks.processes import cost_of
from tests.engine import DockerEngine
from tests.engine_field import ANSWERS, ENVIRONMENT, write_fleet
from tests.sshd import free_port

ALONE: Final = "the engine alone"
ARMED: Final = "qd, armed"
COLD: Final = "qd, cold"
GAP: Final = "nobody answers, rollback"
TARGET: Final = f"{ENVIRONMENT}/app"
_ANSWERS: Final = 60.0  # seconds for a service to answer
BASE: Final = "v000"


@dataclass
class RolloutFigures:
    """Seconds by (engines, action, what); ``drains``: of what was stopped after the new one had become healthy, in the same order."""

    seconds: dict[tuple[int, str, str], list[float]] = field(default_factory=dict)
    drains: dict[tuple[int, str, str], list[float]] = field(default_factory=dict)

    def add(self, engines: int, action: str, what: str, seconds: float, drain: float = 0.0) -> None:
        self.seconds.setdefault((engines, action, what), []).append(seconds)
        self.drains.setdefault((engines, action, what), []).append(drain)

    def median(self, engines: int, action: str, what: str, *, drained: bool = True) -> float:
        """With ``drained`` False: until the last service was healthy, without the drain of what ran before."""
        key = engines, action, what
        drains = self.drains[key] if not drained else [0.0] * len(self.seconds[key])
        return statistics.median(one - drain for one, drain in zip(self.seconds[key], drains, strict=True))


def versions(rounds: int, sizes: int) -> list[str]:
    """All that ``measure_rollouts`` deploys."""
    return [BASE, *(f"v{number:03d}" for number in range(1, 2 * rounds * sizes + 1))]


def measure_rollouts(
    figures: RolloutFigures,
    engines: Engines,
    place: Path,
    sizes: Sequence[int],
    rounds: int,
    program: str,
    say: Callable[[str], None],
) -> None:
    """Images are on the engines before: what a registry takes is nobody's overhead here."""
    wanted = versions(rounds, len(sizes))
    for name, engine in engines.hosts.items():
        say(f"{name} fetches {len(wanted)} images")
        for version in wanted:
            repository, _, digest = engines.location(version).partition("@")
            engine.client.pull(repository, tag=digest)
    number = 0
    for size in sizes:
        hosts = dict(list(engines.hosts.items())[:size])
        chosen = list(hosts.values())
        fleet = write_fleet(place / f"on-{size}" / "fleet.json", engines.registry, hosts, {"app": {"health": ANSWERS}})
        environment = {"QD_FLEET": str(fleet.file)}
        output = place / f"on-{size}" / "output"
        cost_of([program, "deploy", TARGET, BASE, "--wait"], output, environment)
        for round_ in range(1, rounds + 1):
            say(f"{size} engine(s), round {round_} of {rounds}")
            number += 2
            _alone(figures, chosen, size, engines.location(f"v{number:03d}"))
            for action, words in (
                ("deploy", ["deploy", TARGET, f"v{number - 1:03d}", "--wait"]),
                ("rollback", ["rollback", TARGET, "--yes", "--wait"]),
            ):
                os.sync()
                figures.add(size, action, COLD, cost_of([program, *words], output, environment).seconds)
            for action, more in (("deploy", [f"v{number:03d}"]), ("rollback", [])):
                os.sync()
                command = [sys.executable, "-m", "benchmarks.armed", str(fleet.file), TARGET, *more]
                told: dict[str, Any] = json.loads(cost_of(command, output).output.splitlines()[-1])
                figures.add(size, action, ARMED, told["seconds"], told["drain"])
        for engine in chosen:
            engine.remove_containers()
    _gaps(figures, engines, place, rounds, program, say)


def _alone(figures: RolloutFigures, engines: list[DockerEngine], size: int, image: str) -> None:
    """On all engines at the same time, with connections that are open."""
    ids: dict[int, str] = {}

    def make(engine: DockerEngine) -> None:
        client = engine.client
        made = client.create_container(image, host_config=client.create_host_config(network_mode="bridge"))
        ids[id(engine)] = made["Id"]
        _start(client, made["Id"])

    def again(engine: DockerEngine) -> None:
        _start(engine.client, ids[id(engine)])

    with ThreadPoolExecutor(len(engines)) as pool:
        for action, act in (("deploy", make), ("rollback", again)):
            os.sync()
            list(pool.map(lambda engine: engine.client.ping(), engines))
            began = time.monotonic()
            list(pool.map(act, engines))
            figures.add(size, action, ALONE, time.monotonic() - began)
            list(pool.map(lambda engine: engine.client.stop(ids[id(engine)], timeout=3), engines))
        list(pool.map(lambda engine: engine.client.remove_container(ids[id(engine)]), engines))


def _start(client: docker.APIClient, container: str) -> None:
    client.start(container)
    address = client.inspect_container(container)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    until = time.monotonic() + _ANSWERS
    while _says(address, 8080, "/health") != "ok":
        if time.monotonic() > until:
            raise TimeoutError(f"the service at {address} did not answer within {_ANSWERS:g} s")
        time.sleep(0.005)


def _says(address: str, port: int, path: str) -> str:
    """What the service answers; nothing where it does not."""
    connection = http.client.HTTPConnection(address, port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode().strip()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


class _Gap:
    """Asks a service which version it is, again and again, as its users would: how long none answered."""

    def __init__(self, port: int) -> None:
        self.longest = 0.0
        self._port = port
        self._ended = threading.Event()
        self._asking = threading.Thread(target=self._ask)

    def __enter__(self) -> "_Gap":
        self._asking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._asking.join()

    def _ask(self) -> None:
        last = time.monotonic()
        while not self._ended.is_set():
            if _says("127.0.0.1", self._port, "/version"):
                now = time.monotonic()
                self.longest, last = max(self.longest, now - last), now
            time.sleep(0.005)


def _gaps(
    figures: RolloutFigures, engines: Engines, place: Path, rounds: int, program: str, say: Callable[[str], None]
) -> None:
    """A published port, which only one container can have: the old one stops before the new one starts."""
    engine, port = engines.hosts["box-1"], free_port("127.0.0.1")
    ports = {"container": {"network_mode": "bridge", "stop_grace_period": "3s", "ports": [f"127.0.0.1:{port}:8080"]}}
    keys = {"app": {"health": ANSWERS, **ports}}
    fleet = write_fleet(place / "published" / "fleet.json", engines.registry, {"box-1": engine}, keys)
    output = place / "published" / "output"
    for version in (BASE, "v001"):
        cost_of([program, "deploy", TARGET, version, "--wait"], output, {"QD_FLEET": str(fleet.file)})
    for round_ in range(1, rounds + 1):
        say(f"a published port, round {round_} of {rounds}")
        os.sync()
        with _Gap(port) as gap:
            cost_of([sys.executable, "-m", "benchmarks.armed", str(fleet.file), TARGET], output)
        figures.add(1, GAP, ARMED, gap.longest)
        cost_of([program, "deploy", TARGET, f"v{round_ + 1:03d}", "--wait"], output, {"QD_FLEET": str(fleet.file)})
        filters = {"label": [f"dev.quarterdeck.target={TARGET}"]}
        found = engine.client.containers(all=True, filters=filters)
        old = next(one["Id"] for one in found if one["State"] == "running")
        new = next(one["Id"] for one in found if one["State"] != "running")
        os.sync()
        with _Gap(port) as gap:
            engine.client.stop(old, timeout=3)
            engine.client.start(new)
            while _says("127.0.0.1", port, "/health") != "ok":
                time.sleep(0.005)
        figures.add(1, GAP, ALONE, gap.longest)
        engine.client.stop(new, timeout=3)
        engine.client.start(old)
    engine.remove_containers()
