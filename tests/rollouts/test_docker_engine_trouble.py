"""Rollouts on Docker engines while something breaks: an engine that dies or freezes, a socket that is gone, a connection that is cut, a
registry that is down, an image that was pruned, a full disk. The end is told in words, is never called success where it is none, and the
next rollout puts it right."""

import contextlib
import getpass
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.records import ENDED, Rollout, RolloutState, StepState
from quarterdeck.rollouts.plans.plan import Action
from tests.docker_fleet import HEALTH, VERSIONS, DockerField, docker_field_in, push, stocked_registry
from tests.driver import TARGET
from tests.engine import DockerEngine, need_docker, short_directory, start_engine
from tests.requirements_here import need
from tests.sshd import SshdFleet, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]
AT_ONCE: dict[str, Any] = {"rolling": {"max_unavailable": "100%"}}
IN_BATCHES: dict[str, Any] = {"rolling": {"batches": [1, "100%"], "pause": "2s"}}
WITH_TIME: dict[str, Any] = {"rolling": {"batches": [1, "100%"], "pause": "4s"}}
"""To break something before the second one is switched, on a busy machine as well."""


def has_begun(docks: DockerField, rollout: int, version: str = "2") -> None:
    """The first engine has changed, the second one not yet."""
    wait_for(lambda: docks.running_on(docks.engines[0]) == version, "the first engine has changed", 90)
    docks.in_state(rollout, RolloutState.RUNNING)


def switches(docks: DockerField, rollout: int) -> bool:
    """Whether a switch is under way."""
    with docks.journal(read_only=True) as journal:
        return any(step.action == Action.SWITCH and step.state is StepState.STARTED for step in journal.steps(rollout))


def honest(docks: DockerField, ended: Rollout) -> None:
    """Success where it runs everywhere, and nowhere else; what has failed says which host and why."""
    if ended.state is RolloutState.SUCCEEDED:
        assert docks.running() == docks.everywhere("2")
    else:
        assert ended.state in (RolloutState.ROLLED_BACK, RolloutState.FAILED), ended
        assert "box-" in ended.outcome
    if ended.state is RolloutState.ROLLED_BACK:
        assert docks.running() == docks.everywhere("1")


def put_right(docks: DockerField) -> None:
    for key in ("health", "progress_deadline"):
        docks.service.pop(key, None)
    docks.write(strategy=AT_ONCE)
    docks.deploy("3")
    assert docks.running() == docks.everywhere("3")
    assert docks.strays() == []


def test_an_engine_that_is_killed_and_comes_back_between_two_steps_is_survived(docks: DockerField) -> None:
    docks.deploy("1")
    docks.write(strategy=IN_BATCHES)
    rollout = docks.begin("deploy", "2")
    has_begun(docks, rollout)
    docks.engines[1].kill()
    docks.engines[1].start()
    ended = docks.ended(rollout)
    honest(docks, ended)
    put_right(docks)


def test_an_engine_that_is_killed_and_stays_away_is_named_and_put_right_later(docks: DockerField) -> None:
    """Killed while it stops a container that takes its time."""
    docks.container = {"stop_grace_period": "5s", "ports": ["8080"]}
    docks.write(strategy="recreate")
    docks.deploy("stubborn")
    rollout = docks.begin("deploy", "2")
    victim = docks.engines[1]
    wait_for(lambda: _is_being_stopped(docks, rollout, "box-2"), "its old one is being stopped", 90)
    victim.kill()
    try:
        ended = docks.ended(rollout)
        assert ended.state is RolloutState.FAILED, ended.outcome
        assert "box-2" in ended.outcome
        assert docks.running_on(docks.engines[0]) == "stubborn", "the other one is taken back meanwhile"
        seen = {host["host"]: host for host in docks.status()["hosts"]}
        assert "box-2" in (seen["box-2"]["error"] or "")
    finally:
        victim.start()
    put_right(docks)


def _waits_for(docks: DockerField, rollout: int, host: str) -> bool:
    with docks.journal(read_only=True) as journal:
        return [event.host for event in journal.events(rollout=rollout, kind="host.away")] == [host]


def _is_over(docks: DockerField, rollout: int) -> bool:
    with docks.journal(read_only=True) as journal:
        return journal.rollout(rollout).state in ENDED


def _is_being_stopped(docks: DockerField, rollout: int, host: str) -> bool:
    with docks.journal(read_only=True) as journal:
        steps = [step for step in journal.steps(rollout) if (step.action, step.host) == (Action.STOP, host)]
    return any(step.state is StepState.STARTED for step in steps)


def test_an_engine_that_freezes_is_given_up_at_the_deadline_and_taken_back(docks: DockerField) -> None:
    docks.deploy("1")
    docks.write(strategy=WITH_TIME, health={**HEALTH, "healthy_deadline": "9s"}, progress_deadline="10s")
    rollout = docks.begin("deploy", "2")
    has_begun(docks, rollout)
    docks.engines[1].freeze()
    try:
        going_back = docks.until(rollout, lambda now: now.state is RolloutState.ROLLING_BACK)
        assert "no step was done within 10 s" in going_back.outcome
    finally:
        docks.engines[1].thaw()
    ended = docks.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert docks.running() == docks.everywhere("1")
    put_right(docks)


def test_a_socket_that_is_gone_is_named(docks: DockerField) -> None:
    docks.deploy("1")
    docks.write(strategy=IN_BATCHES)
    rollout = docks.begin("deploy", "2")
    has_begun(docks, rollout)
    socket = docks.engines[1].socket
    hidden = socket.with_name("hidden.sock")
    socket.rename(hidden)
    try:
        # Connections that are open lead to the engine all the same: where they are enough, it is done before it needs another one.
        wait_for(lambda: _waits_for(docks, rollout, "box-2") or _is_over(docks, rollout), "it waits for the engine", 90)
    finally:
        hidden.rename(socket)
    ended = docks.ended(rollout)
    assert ended.state in (RolloutState.ROLLED_BACK, RolloutState.SUCCEEDED), ended.outcome
    honest(docks, ended)
    put_right(docks)
    socket.rename(hidden)  # nobody waits for it now, whose patience would be over while a command looks
    try:
        refused = docks.qd("rollback", TARGET, "--to", "1", "--plan", "--json")
        assert "box-2" in refused.stdout + refused.stderr
    finally:
        hidden.rename(socket)


def test_an_engine_behind_ssh_whose_connection_is_cut(docks: DockerField, start_sshd_fleet: Any) -> None:
    """Cut between two steps: it is opened again. Gone for good: named, and the engines that are there are taken back."""
    ssh: SshdFleet = start_sshd_fleet(1)
    host = ssh[0]
    docks.ssh = ssh
    place = f"ssh://{getpass.getuser()}@{host.address}:{host.port}{docks.engines[1].socket}"
    docks.hosts = {"box-2": {"docker": place}}
    assert docks.ended(docks.begin("deploy", "1")).state is RolloutState.SUCCEEDED
    docks.write(strategy=IN_BATCHES)
    rollout = docks.begin("deploy", "2")
    has_begun(docks, rollout)
    host.restart()
    assert docks.ended(rollout).state is RolloutState.SUCCEEDED
    assert docks.running() == docks.everywhere("2")
    docks.write(strategy=WITH_TIME)
    again = docks.begin("deploy", "3")
    has_begun(docks, again, "3")
    host.stop()
    try:
        wait_for(lambda: _waits_for(docks, again, "box-2"), "it waits for the host to come back", 90)
        # Meanwhile the other one is taken back; where that takes long, the host is there again before it is given up.
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: docks.running_on(docks.engines[0]) == "2", "the other one is taken back", 8)
    finally:
        host.start()
    ended = docks.ended(again)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert "box-2" in ended.outcome
    assert docks.running() == docks.everywhere("2")
    put_right(docks)


@pytest.mark.timeout(600)
def test_a_host_that_stays_away_in_the_middle_of_a_switch_is_told_of_once(
    docks: DockerField, start_sshd_fleet: Any
) -> None:
    """And not a second time, where it can't be taken back for the same reason."""
    ssh: SshdFleet = start_sshd_fleet(1)
    host = ssh[0]
    docks.ssh = ssh
    place = f"ssh://{getpass.getuser()}@{host.address}:{host.port}{docks.engines[1].socket}"
    docks.hosts = {"box-2": {"docker": place}}
    docks.container = {"volumes": ["data:/var/data"]}  # one after the other
    docks.write(strategy=AT_ONCE)
    assert docks.ended(docks.begin("deploy", "1")).state is RolloutState.SUCCEEDED
    docks.write(strategy={"rolling": {"batches": [1, "100%"]}}, health={**HEALTH, "min_healthy_time": "8s"})
    rollout = docks.begin("deploy", "2")
    wait_for(lambda: docks.running_on(docks.engines[1]) == "2", "the second engine is being switched", 90)
    # It is read back and recorded, and then held: what is lost in the middle of that is asked for much longer.
    time.sleep(2.0)
    host.stop()
    ended = docks.ended(rollout, 400)
    host.start()
    assert ended.state is RolloutState.FAILED
    # Where the step had begun long before, the first words are those of a lost connection, which is not waited for.
    told = r"; not taken back on box-2(, as before|: [^;]*refused the connection[^;]*)\. now: box-1 1, box-2 unknown\. "
    assert re.search(told, ended.outcome), ended.outcome
    assert ended.outcome.count("refused the connection") == 1
    docks.rollback()
    assert docks.running() == docks.everywhere("1")
    assert docks.strays() == []


def test_rollback_needs_no_registry_while_the_images_are_there_and_says_so_before_where_one_is_not(
    tmp_path: Path, docks: DockerField
) -> None:
    """An image that was pruned: status and doctor say it before, a rollback fetches it; with the registry down as well, nothing is called
    success and what is missing is named."""
    own = stocked_registry(tmp_path / "own", docks.engines[0], ("1", "2"))
    try:
        docks.registry = own
        docks.write()
        docks.deploy("1")
        docks.quiet(docks.deploy("2")["rollout"])
        pruned = docks.engines[1]
        docks.forget_image(pruned, "1")
        status = docks.status()
        assert status["ready"]["state"] == "degraded", status["ready"]
        assert "box-2" in " ".join(status["ready"]["reasons"])
        doctor = docks.qd("doctor", TARGET, "--json")
        assert "box-2" in doctor.stdout
        assert "the way back, is not on the engine any more" in doctor.stdout
        assert doctor.stdout.count("not on the engine") == 1, "once, with what to do about it"
        for volume in pruned.client.volumes(filters={"label": ["dev.quarterdeck.state"]})["Volumes"]:
            pruned.client.remove_volume(
                volume["Name"]
            )  # as `docker volume prune` does: the engine remembers no good release
        assert "the way back, is not on the engine any more" in docks.qd("doctor", TARGET, "--json").stdout
        back = docks.rollback()
        assert back["status"] == "succeeded"
        assert docks.running() == docks.everywhere("1")
        docks.quiet(docks.deploy("2", arguments=["--force", "--reason", "again"])["rollout"])
        docks.forget_image(pruned, "1")
        own.close()
        seen = docks.qd("rollback", TARGET, "--plan", "--json", status=0).stdout
        assert "no copy of 1 on box-2, and it can't be fetched now: " in seen, "said before anybody says go"
        partly = docks.rollback(status=4)
        assert partly["status"] == "failed"
        assert "box-2" in partly["reason"]
        assert f"the image {own.name}/shop/app@sha256:" in partly["reason"]
        assert docks.running() == ["1", "2"], "the one that has it is back, the other one runs on as it was"
        docks.qd("rollback", TARGET, "--to", "2", "--yes", "--wait", "--force", "--reason", "as before", status=0)
        assert docks.running() == docks.everywhere("2"), "without a registry: the images are there"
    finally:
        own.close()


@pytest.fixture
def small_engine(tmp_path: Path) -> Iterator[DockerEngine]:
    """An engine whose data lie on an ext4 file system of 48 MB."""
    need_docker()
    need(shutil.which("mkfs.ext4") is not None, "mkfs.ext4 (package e2fsprogs)")
    image, directory = tmp_path / "disk", short_directory()
    with image.open("wb") as file:
        file.truncate(48 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    (directory / "data").mkdir()
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(directory / "data")], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        os.removedirs(directory / "data")
    need(mounted.returncode == 0, f"loop devices: {mounted.stderr.strip()}")
    engine = start_engine(directory)
    yield engine
    engine.close()  # unmounts it


def test_a_disk_that_is_full_is_named_before_anything_is_switched(
    tmp_path: Path, docks: DockerField, small_engine: DockerEngine
) -> None:
    fat = {"files": {"/www/fat": "x" * 60_000_000}}
    push(docks.registry, docks.engines[0], "2", "shop/fat", **fat)
    push(docks.registry, docks.engines[0], "1", "shop/fat", **VERSIONS["1"])
    push(docks.registry, docks.engines[0], "3", "shop/fat", **VERSIONS["3"])
    directory = tmp_path / "small"
    directory.mkdir()
    with docker_field_in(directory, [docks.engines[0], small_engine], docks.registry) as field:
        field.write(artifact={"image": f"{docks.registry.name}/shop/fat"})
        field.deploy("1")
        result = field.deploy("2", status=3)
        assert result["status"] == "rolled_back"
        assert "box-2" in result["reason"]
        assert "no space left" in result["reason"]
        assert "ake room" in result["reason"]
        assert field.running() == field.everywhere("1")
        put_right(field)
        ballast = fill(small_engine.directory / "data")
        partly = field.rollback(status=4)
        assert "box-2" in partly["reason"]
        assert "no space left" in partly["reason"]
        assert "Nothing was changed there. Make room" in partly["reason"]
        assert field.running() == ["1", "3"]
        ballast.unlink()
        field.qd("retry", str(partly["rollout"]), "--wait", status=0)
        assert field.running() == field.everywhere("1")


def fill(directory: Path) -> Path:
    """Leaves nothing free there; gives the file that takes the room."""
    ballast = directory / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return ballast
