"""Fixtures that every folder of tests may use: real SSH hosts, real Docker engines."""

import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that tests can share modules as ``tests.<name>``

os.environ["QD_PLAYGROUND_ENGINE"] = "no"  # many playgrounds at once: only the tests of it touch this machine's engine

import tests.asserting  # noqa: F401 # before any other module of tests
from quarterdeck.backends.hosts.docker import switching
from tests.backends.registry.real_registry import RealRegistry
from tests.boxes import Box, Registry, connect, start_registry
from tests.counts import counts_are_full
from tests.docker_fleet import DockerField, docker_field_in, stocked_registry
from tests.engine import DockerEngine, need_docker, short_directory, start_engine
from tests.requirements_here import need
from tests.sshd import SshdFleet, sshd_program, start_fleet
from tests.swarm import Swarm, need_swarm, start_swarm
from tests.swarm_field import Field
from tests.swarm_field import connect as connect_to_swarm
from tests.trust import recording
from tests.trust.recording import promise as promise

# The programs that are tested start some thousand times: they are compiled once, whatever the environment says of that.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Modules and tests are made by the ten thousand, and stay: a quarter of collecting the tests went into looking for garbage among them.
gc.set_threshold(20_000, 20, 20)

# How long an example takes depends on what else this machine does. The examples are always the same: `make fuzz` looks for others.
settings.register_profile("here", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

StartFleet = Callable[..., SshdFleet]
StartDockerEngine = Callable[..., DockerEngine]

LONGEST_FIRST = (
    "rollouts/test_docker_engine_trouble.py",
    "backends/docker/test_stale_worker.py",
    "rollouts/test_on_real_hosts.py",
    "rollouts/test_on_docker.py",
    "playground/test_engine.py",
    "test_swarm_of_tests.py",
    "rollouts/test_observer.py",
    "rollouts/test_observer_of_engines.py",
    "trust/test_01_killed_worker.py",
    "trust/test_01_killed_while_aborted.py",
    "trust/test_01_killed_at_random.py",
    "room/test_live.py",
    "room/test_rollback_card.py",
    "room/test_resize_storm.py",
    "trust/test_11_clock_while_rolling_out.py",
    "trust/test_16_canary_ssh.py",
    "trust/test_01_killed_worker_swarm.py",
    "trust/test_24_abort_swarm.py",
    "trust/test_26_manager_lost.py",
    "trust/test_24_abort_docker.py",
    "rollouts/test_when_things_go_wrong.py",
    "rollouts/test_previews.py",
    "backends/ssh/test_overtaking.py",
    "room/test_unread_terminal.py",
    "cli/test_playground_end_to_end.py",
    "rollouts/test_analysis_steps.py",
    "trust/test_12_one_host_hangs.py",
    "trust/test_01_killed_worker_docker.py",
    "rollouts/test_canary.py",
    "room/test_snapshots.py",
    "room/test_opening_it.py",
    "room/test_under_way.py",
)
"""Files that take longer than twenty seconds, or are one long test, alone on two cores."""
LONGEST_AT_FULL_COUNTS = (
    "trust/test_01_killed_worker_routed.py",
    "room/test_live.py",
    "trust/test_24_abort_routed.py",
    "backends/docker/test_stale_worker.py",
    "trust/test_03_stale_worker.py",
    "trust/test_01_killed_worker_docker.py",
    "trust/test_06_two_operators.py",
    "trust/test_01_killed_at_random.py",
    "trust/test_01_killed_worker.py",
    "trust/test_26_engine_restarted.py",
    "trust/test_01_killed_worker_swarm.py",
    "trust/test_26_manager_lost.py",
    "trust/test_24_abort_swarm.py",
    "trust/test_24_abort_routed_slots.py",
    "trust/test_25_no_request_fails.py",
    "backends/docker/test_dying_at_every_call.py",
    "trust/test_06_two_operators_docker.py",
    "trust/test_01_killed_while_aborted.py",
    "trust/test_03_stale_worker_docker.py",
    "rollouts/test_on_swarm.py",
    "trust/test_03_stale_worker_swarm.py",
    "backends/swarm/test_trouble.py",
    "trust/test_06_two_operators_swarm.py",
    "trust/test_01_killed_worker_slots.py",
    "trust/test_04_session_dropped.py",
    "trust/test_03_stale_worker_slots.py",
    "trust/test_16_canary_ssh.py",
    "trust/test_24_abort_docker.py",
    "trust/test_11_clock_while_rolling_out.py",
    "trust/test_12_one_host_hangs.py",
    "trust/test_16_canary_docker.py",
    "trust/test_26_sshd_restarted.py",
)
"""The same of ``make trust``."""
MOSTLY_WAIT = ("room/test_unread_terminal.py",)  # beside those with SSH hosts


def pytest_addoption(parser: pytest.Parser) -> None:
    recording.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    recording.register(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that none of it is alone at the end (the files of a run keep their order with
    ``--no-loadscope-reorder``). Files with engines, which want the processors, and those with SSH hosts, which mostly wait, take turns: a
    process has the one while another has the other."""
    here = Path(__file__).parent
    longest = LONGEST_AT_FULL_COUNTS if counts_are_full() else LONGEST_FIRST
    places = {here / name: place for place, name in enumerate(longest)}
    waiting = {here / name for name in MOSTLY_WAIT}
    kinds: dict[Path, int] = {}
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        kind = 0 if marks & {"docker", "swarm"} else 1 if marks & {"trust", "sshd"} or item.path in waiting else 2
        kinds[item.path] = min(kind, kinds.get(item.path, kind))
    turns: dict[Path, tuple[bool, float]] = {}
    for kind in range(3):
        files = [file for file, its in kinds.items() if its == kind]
        files.sort(key=lambda file: places.get(file, len(places)))
        turns |= {file: (kind == 2, (turn + 0.5) / len(files)) for turn, file in enumerate(files)}
    items.sort(key=lambda item: turns[item.path])


def pytest_collection_finish() -> None:
    """What has been made until now stays until the end: nobody looks through it for garbage again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def patient_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process, and those that it forks, wait longer for the journal's lock than an operator does: on a machine that is busy with
    other tests those who race with them may keep it for some seconds."""
    monkeypatch.setattr("quarterdeck.history.engine.BUSY_SECONDS", 30.0)


@pytest.fixture(scope="session")
def sshd_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdFleet]:
    """Five real sshd hosts for the whole run. Leave them as they were found: another test uses them next."""
    need(sshd_program() is not None, "OpenSSH's server (package openssh-server)")
    fleet = start_fleet(tmp_path_factory.mktemp("fleet"), 5)
    yield fleet
    fleet.close()


@pytest.fixture
def start_sshd_fleet(tmp_path: Path) -> Iterator[StartFleet]:
    """Starts a fleet of the test's own: ``start_sshd_fleet(count, options=[…])``. Ended after the test."""
    need(sshd_program() is not None, "OpenSSH's server (package openssh-server)")
    started: list[SshdFleet] = []

    def start(count: int = 1, **arguments: Any) -> SshdFleet:
        fleet = start_fleet(tmp_path / f"fleet-{len(started)}", count, **arguments)
        started.append(fleet)
        return fleet

    yield start
    for fleet in started:
        fleet.close()


@pytest.fixture(scope="session")
def the_docker_engine() -> Iterator[DockerEngine]:
    need_docker()
    engine = start_engine(short_directory())
    yield engine
    engine.close()


@pytest.fixture
def docker_engine(the_docker_engine: DockerEngine) -> Iterator[DockerEngine]:
    """One real Docker engine for the whole run; what a test runs on it is removed after it. Its images stay."""
    yield the_docker_engine
    the_docker_engine.remove_containers()


@pytest.fixture
def start_docker_engine() -> Iterator[StartDockerEngine]:
    """Starts an engine of the test's own, to be stopped, killed, frozen: ``start_docker_engine([arguments of dockerd])``."""
    need_docker()
    started: list[DockerEngine] = []

    def start(arguments: Sequence[str] = ()) -> DockerEngine:
        engine = start_engine(short_directory(), arguments)
        started.append(engine)
        return engine

    yield start
    for engine in started:
        engine.close()


@pytest.fixture(scope="session")
def the_swarm() -> Iterator[Swarm]:
    need_swarm()
    made = start_swarm()
    yield made
    made.close()


@pytest.fixture
def swarm(the_swarm: Swarm) -> Iterator[Swarm]:
    """One real Swarm of three managers for the whole run, on which nothing runs. What a test does to it is undone after it, which takes
    a minute where much was done on a busy machine: give such tests ``pytest.mark.timeout(240)``."""
    yield the_swarm
    the_swarm.clean()


@pytest.fixture
def swarm_ways(the_swarm: Swarm, tmp_path: Path) -> Iterator[SshdFleet]:
    """An sshd for each node of the real Swarm, called as the node is; see ``Node.over_ssh``."""
    need(sshd_program() is not None, "OpenSSH's server (package openssh-server)")
    fleet = start_fleet(tmp_path / "ways", len(the_swarm.nodes), names=[node.hostname for node in the_swarm.nodes])
    yield fleet
    fleet.close()


@pytest.fixture
async def swarm_field(swarm: Swarm) -> AsyncIterator[Field]:
    """The real Swarm as a host, and the names of one target on it."""
    connection = await connect_to_swarm(swarm)
    yield Field(swarm, connection)
    await connection.close()


@pytest.fixture(scope="session")
def docker_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real registry that engines on this machine pull from."""
    registry = start_registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.close()


@pytest.fixture
async def box(docker_engine: DockerEngine, docker_images: Registry) -> AsyncIterator[Box]:
    """A real engine as a host, and the names of one target on it."""
    connection = await connect(docker_engine)
    made = Box(docker_engine, docker_images, connection)
    yield made
    await connection.close()
    made.clear()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody uses the services of a test that asks for this: a switch does not wait for those who were led to the old one."""
    monkeypatch.setattr(switching, "_LED_BY_NOW", 0.0)


@pytest.fixture(scope="session")
def two_docker_engines(the_docker_engine: DockerEngine) -> Iterator[tuple[DockerEngine, DockerEngine]]:
    """For whole rollouts. Whoever ends or freezes one starts it again."""
    another = start_engine(short_directory())
    yield the_docker_engine, another
    another.close()


@pytest.fixture(scope="session")
def stocked(the_docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A real registry with the versions that rollouts are tested with. Leave it as it is."""
    registry = stocked_registry(tmp_path_factory.mktemp("stocked"), the_docker_engine)
    yield registry
    registry.close()


@pytest.fixture
def docks(
    tmp_path: Path,
    two_docker_engines: tuple[DockerEngine, DockerEngine],
    stocked: RealRegistry,
    patient_journal: None,
) -> Iterator[DockerField]:
    """Two engines on which nothing runs yet, a fleet file and a journal of the test's own."""
    with docker_field_in(tmp_path, two_docker_engines, stocked) as made:
        yield made
