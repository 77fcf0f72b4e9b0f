"""The engines that tests start leave nothing behind, however the tests end."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import StartDockerEngine
from tests.engine import need_docker
from tests.sshd import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.root]
_STARTS = """
import time
from tests.engine import short_directory, start_engine
engine = start_engine(short_directory())
engine.image("app:1")
engine.run("app:1", host={"port_bindings": {8080: ("127.0.0.1", None)}})
engine.client.create_network("another")
print(engine.directory, engine.net, flush=True)
time.sleep(600)
"""


def left_of(directory: Path, net: int) -> list[str]:
    found = [str(directory)] if directory.exists() else []
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {directory}/" in line]
    addresses = subprocess.run(
        ["ip", "-o", "-4", "addr"], capture_output=True, text=True, timeout=20, check=True
    ).stdout
    found += [line for line in addresses.splitlines() if f" 10.{net}." in line]
    found += [str(group) for group in Path("/sys/fs/cgroup").glob(f"*/qdt{net}")]
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if f"{directory}/".encode() in words:
            found.append(words.decode(errors="replace"))
    return found


def test_tests_that_are_killed_leave_no_engine() -> None:
    need_docker()
    root = Path(__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", _STARTS], stdout=subprocess.PIPE, text=True, cwd=root) as tests:
        assert tests.stdout is not None
        directory, net = tests.stdout.readline().split()
        assert len(left_of(Path(directory), int(net))) > 4
        tests.kill()
    wait_for(lambda: not left_of(Path(directory), int(net)), "all of it is gone", 30)


def test_two_engines_share_nothing(start_docker_engine: StartDockerEngine) -> None:
    one, two = start_docker_engine(), start_docker_engine()
    assert one.net != two.net
    for engine in (one, two):
        engine.image("app:1")
        engine.client.create_network("another")
        container = engine.run("app:1", "one", host={"network_mode": "another"})
        address = engine.client.inspect_container(container)["NetworkSettings"]["Networks"]["another"]["IPAddress"]
        assert address.startswith(f"10.{engine.net}.")
    one.kill()
    one.close()
    assert not left_of(one.directory, one.net)
    assert two.client.inspect_container("one")["State"]["Running"]
    two.freeze()
    two.close()
    assert not left_of(two.directory, two.net)
