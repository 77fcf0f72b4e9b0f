"""A playground starts, survives, is found again, and leaves nothing behind, whatever was killed before."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncssh
import pytest

from quarterdeck.backends.playground import (
    Playground,
    PlaygroundError,
    default_directory,
    describe,
    is_running,
    start,
    stop,
)
from tests.playground.by_hand import DEADLINE, ServiceByHand, alive, connected, marked, processes_with, wait_for

pytestmark = pytest.mark.timeout(240)

START = "import sys, pathlib, quarterdeck.backends.playground as p; p.start(pathlib.Path(sys.argv[1]))"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "own"
    yield place
    marker = place / ".quarterdeck-playground"
    if marker.exists():
        stop(place)


def supervisor_of(playground: Playground) -> int:
    return int((playground.directory / "run" / "supervisor.pid").read_text().split()[0])


def gone(directory: Path) -> bool:
    return not directory.exists()


def nobody_listens(playground: Playground) -> bool:
    for host in playground.hosts:
        with socket.socket() as probe:
            if probe.connect_ex((host.address, host.port)) == 0:
                return False
    return True


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that has nothing to do with any playground."""
    with subprocess.Popen(["sleep", "300"]) as process:
        yield process.pid
        process.kill()


async def run(playground: Playground, host: str, command: str) -> str:
    async with connected(playground, host) as connection:
        ended = await connection.run(command, check=True, timeout=DEADLINE)
        return str(ended.stdout).strip()


async def test_start_find_start_again_stop(directory: Path) -> None:
    assert not is_running(directory)
    with pytest.raises(PlaygroundError, match="none runs"):
        describe(directory)
    playground = start(directory)
    assert is_running(directory)
    assert describe(directory) == playground
    supervisor = supervisor_of(playground)
    assert start(directory) == playground
    assert supervisor_of(playground) == supervisor
    assert {host.environment: len(playground.hosts_of(host.environment)) for host in playground.hosts} == {
        "dev": 1,
        "staging": 2,
        "production": 3,
    }
    for host in playground.hosts:
        assert await run(playground, host.name, "cat .hostname") == host.name
    assert len(marked(playground)) == 1 + len(playground.hosts)
    mark = f"QD_PLAYGROUND={(directory / '.quarterdeck-playground').read_text().strip()}"
    assert stop(directory)
    assert gone(directory)
    assert not processes_with(mark)
    assert nobody_listens(playground)
    assert not stop(directory)  # again: there is none


async def test_two_playgrounds_live_side_by_side(playground: Playground, directory: Path) -> None:
    other = start(directory)
    assert not {host.address for host in other.hosts} & {host.address for host in playground.hosts}
    host = other.host("dev-1")
    with pytest.raises(asyncssh.PermissionDenied):  # the key of one is worth nothing to the other
        await asyncssh.connect(
            host.address,
            host.port,
            username=other.user,
            client_keys=[playground.identity],
            known_hosts=str(other.known_hosts),
            config=None,
            agent_path=None,
        )
    stop(directory)
    assert await run(playground, "dev-1", "echo untouched") == "untouched"


async def test_stop_ends_services_and_strays(directory: Path) -> None:
    playground = start(directory)
    service = ServiceByHand(playground, "stg-1", "web", "web")
    async with connected(playground, "stg-1") as connection:
        await service.unpack(connection, "v1")
        await service.run(connection, "v1", "start")
        strays = [
            service.pid,
            int(await run(playground, "stg-1", "sleep 300 </dev/null >/dev/null 2>&1 & echo $!")),
            int(await run(playground, "stg-1", "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!")),
            # Without the mark it is found below its host all the same.
            int(await run(playground, "prod-1", "env -i setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!")),
        ]
        running = await connection.create_process("sleep 300 & echo $!; trap '' TERM HUP; wait; wait")
        strays.append(int(await asyncio.wait_for(running.stdout.readline(), DEADLINE)))
        assert all(alive(pid) for pid in strays)
        assert stop(directory)
        assert [pid for pid in strays if alive(pid)] == []
        connection.abort()
    assert gone(directory)


@pytest.mark.parametrize("victim", ["supervisor", "everything"])
async def test_stop_and_start_after_a_kill(directory: Path, victim: str) -> None:
    playground = start(directory)
    stray = int(await run(playground, "prod-3", "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!"))
    supervisor = supervisor_of(playground)
    victims = [supervisor] if victim == "supervisor" else [supervisor, *hosts_of(playground)]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_running(directory), "the playground is known to be broken")
    with pytest.raises(PlaygroundError, match="none runs"):
        describe(directory)
    again = start(directory)
    assert not alive(stray)
    assert await run(again, "prod-3", "echo back") == "back"
    os.kill(supervisor_of(again), signal.SIGKILL)
    wait_for(lambda: not alive(supervisor_of(again)), "the supervisor is gone")
    left = marked(again)
    assert len(left) == len(again.hosts)
    assert stop(directory)
    assert not any(alive(pid) for pid in left)
    assert gone(directory)


def hosts_of(playground: Playground) -> list[int]:
    return [pid for host in playground.hosts if (pid := playground.host_pid(host.name)) is not None]


async def test_a_killed_host_stays_dead_until_it_is_brought_back(directory: Path) -> None:
    playground = start(directory)
    daemon = int(await run(playground, "prod-2", "setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $!"))
    await run(playground, "prod-2", "echo kept > file")
    pid = playground.host_pid("prod-2")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: playground.host_pid("prod-2") is None, "the host is dead")
    with pytest.raises(ConnectionError):  # refused, or cut off by an end that is still going on
        await run(playground, "prod-2", "true")
    assert await run(playground, "prod-1", "echo alive") == "alive"
    assert is_running(directory)
    assert start(directory) == playground
    assert await run(playground, "prod-2", "cat file") == "kept"  # with the same key and address
    assert alive(daemon)
    stop(directory)
    assert not alive(daemon)


def test_stop_ends_a_host_that_hangs(directory: Path) -> None:
    playground = start(directory)
    hosts = hosts_of(playground)
    os.kill(hosts[0], signal.SIGSTOP)
    os.kill(supervisor_of(playground), signal.SIGSTOP)
    assert stop(directory)
    assert not any(alive(pid) for pid in hosts)


async def test_one_host_can_hang_alone(directory: Path) -> None:
    playground = start(directory)
    pid = playground.host_pid("stg-1")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await run(playground, "stg-2", "echo works") == "works"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await run(playground, "stg-1", "true")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await run(playground, "stg-1", "echo works again") == "works again"


def test_it_outlives_the_terminal_it_was_started_in(directory: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", START, str(directory)], start_new_session=True) as starter:
        assert starter.wait(DEADLINE) == 0
    playground = describe(directory)
    for pid in (supervisor_of(playground), *hosts_of(playground)):
        assert os.getsid(pid) != starter.pid
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4] == "0"  # no terminal
        # What the starter's terminal or pipe was is not held open either.
        for descriptor in (0, 1, 2):
            opened = os.readlink(f"/proc/{pid}/fd/{descriptor}")
            assert opened == "/dev/null" or opened.startswith(str(directory))


def test_two_starts_at_once_make_one_playground(directory: Path) -> None:
    starters = [subprocess.Popen([sys.executable, "-c", START, str(directory)]) for _ in range(2)]
    assert [starter.wait(DEADLINE) for starter in starters] == [0, 0]
    playground = describe(directory)
    assert len(marked(playground)) == 1 + len(playground.hosts)


def test_a_start_that_is_killed_half_way_leaves_nothing_that_stop_does_not_find(directory: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", START, str(directory)])
    wait_for((directory / "run" / "supervisor.pid").exists, "the start has begun")
    starter.kill()
    starter.wait(DEADLINE)
    mark = f"QD_PLAYGROUND={(directory / '.quarterdeck-playground').read_text().strip()}"
    assert stop(directory)
    assert not processes_with(mark)
    assert not directory.exists()


async def test_when_its_directory_is_removed_by_hand_everything_ends(directory: Path) -> None:
    playground = start(directory)
    await run(playground, "prod-1", "setsid sleep 300 </dev/null >/dev/null 2>&1 &")
    processes = marked(playground)
    assert len(processes) == 2 + len(playground.hosts)
    shutil.rmtree(directory)
    wait_for(lambda: not any(alive(pid) for pid in processes), "all of it has ended")


def half_started(directory: Path) -> None:
    directory.mkdir()
    (directory / ".quarterdeck-playground").write_text("0123456789abcdef" * 2 + "\n")
    (directory / "run").mkdir()


def test_a_half_started_one_is_removed_and_started_anew(directory: Path) -> None:
    half_started(directory)
    assert stop(directory)
    assert not directory.exists()
    half_started(directory)
    assert is_running(directory) is False
    assert start(directory).hosts
    stop(directory)


def test_a_recycled_process_id_is_never_killed(playground: Playground, directory: Path, sleeper: int) -> None:
    half_started(directory)
    (directory / "run" / "supervisor.pid").write_text(f"{sleeper} 1\n")  # the right id, another start
    (directory / "playground.json").write_bytes((playground.directory / "playground.json").read_bytes())
    assert not is_running(directory)
    assert stop(directory)
    assert alive(sleeper)


@pytest.mark.parametrize("act", [start, stop])
def test_somebody_else_s_directory_is_never_touched(directory: Path, act: Callable[[Path], object]) -> None:
    (directory / "run").mkdir(parents=True)
    (directory / "fleet.yml").write_text("mine")
    for content in (None, "", "not the marker's word\n"):
        if content is not None:
            (directory / ".quarterdeck-playground").write_text(content)
        with pytest.raises(PlaygroundError, match="Nothing was changed"):
            act(directory)
    assert (directory / "fleet.yml").read_text() == "mine"
    assert (directory / "run").is_dir()
    (directory / ".quarterdeck-playground").unlink()


def test_links_out_of_the_playground_are_not_followed(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    half_started(directory)
    (directory / "hosts").symlink_to(tmp_path / "precious")
    (directory / "run" / "link").symlink_to(tmp_path / "precious")
    assert stop(directory)
    assert (tmp_path / "precious" / "file").read_text() == "kept"


async def test_a_directory_that_a_host_made_unreadable_is_removed(directory: Path) -> None:
    playground = start(directory)
    await run(playground, "dev-1", "mkdir -p closed/inner && touch closed/inner/file && chmod 0 closed/inner closed")
    assert stop(directory)
    assert gone(directory)


def test_the_private_files_are_private(playground: Playground) -> None:
    assert playground.directory.stat().st_mode & 0o077 == 0
    for private in (playground.identity, *(host.home.parent / "host_key" for host in playground.hosts)):
        assert private.stat().st_mode & 0o077 == 0
        assert "PRIVATE KEY" in private.read_text()


def test_the_default_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "quarterdeck" / "playground"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".local" / "state" / "quarterdeck" / "playground"


def test_the_default_directory_leaves_no_trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert start().directory == tmp_path / "quarterdeck" / "playground"
    assert stop()
    assert list(tmp_path.iterdir()) == []


def test_nothing_heavy_is_imported_by_the_one_who_starts_it() -> None:
    """`qd demo` is as quick as its imports."""
    code = "import sys, quarterdeck.backends.playground; print(sorted({'asyncssh', 'asyncio', 'httpx'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert ended.stdout.strip() == "[]"
