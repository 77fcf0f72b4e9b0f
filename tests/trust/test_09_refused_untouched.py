"""Promise 9, seen from the command line: what a host refused before anything was changed there is not called half done.

Seen to fail without the host's own word that it changed nothing (all four), and with its word about the last attempt taken for all of them
(the second try).
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.records import RolloutState, Step, StepState
from tests.field import TARGET, Field
from tests.requirements_here import need
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises
from tests.trust.test_09_host_disk_full import _fill, _remount

pytestmark = [pytest.mark.trust(9), pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]

FULL = 1  # which of the hosts


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet) -> Iterator[Field]:
    """Five hosts, v2 on all of them and v1 kept; the target's path of one of them is a file system of its own, of 2 MiB."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    made = Field(tmp_path, sshd_fleet)
    made.clear_hosts()
    place = made.home(made.hosts[FULL])
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True)
    need(done.returncode == 0, f"the right to mount: {done.stderr.decode()}")
    try:
        made.deploy("v1")
        made.deploy("v2")
        yield made
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(field: Field) -> Path:
    _fill(field.home(field.hosts[FULL]))
    return field.home(field.hosts[FULL]) / "filler"


def of_full_host(field: Field, result: dict[str, Any]) -> dict[str, Any]:
    return next(host for host in result["hosts"] if host["host"] == field.hosts[FULL].name)


def test_a_deploy_that_one_host_refused_is_taken_back_where_it_was_done(field: Field, promise: Promises) -> None:
    before = field.starts(field.hosts[FULL])
    fill(field)
    result = field.deploy("v1", status=3)
    assert result["status"] == "rolled_back"
    assert "the disk is full" in result["reason"]
    assert field.running() == ["v2"] * len(field.hosts)
    assert field.starts(field.hosts[FULL]) == before, "it was not started again"
    told = of_full_host(field, result)
    assert (told["state"], told["version"]) == ("unchanged", "v2")
    assert "Nothing was changed there" in told["error"]
    with field.journal(read_only=True) as journal:
        verdicts = {row.release.version: row.verdict for row in journal.releases(TARGET)}
    assert verdicts == {"v1": "good", "v2": "good"}, "a full disk is no word against a release"
    promise(9).count("broken hosts")


def test_a_rollback_that_every_host_refused_has_changed_nothing(field: Field, promise: Promises) -> None:
    filler = fill(field)
    result = field.rollback(status=1, arguments=["--only", field.hosts[FULL].name])
    assert result["status"] == "failed"
    assert "No host was changed" in result["reason"]
    assert of_full_host(field, result)["state"] == "unchanged"
    assert field.running() == ["v2"] * len(field.hosts)
    filler.unlink()
    field.qd("retry", str(result["rollout"]), "--wait", status=0)
    assert field.running()[FULL] == "v1"
    promise(9).count("broken hosts")


def test_a_rollback_that_one_host_refused_is_not_wholly_done(field: Field, promise: Promises) -> None:
    fill(field)
    result = field.rollback(status=4)
    assert field.running() == ["v2" if index == FULL else "v1" for index in range(len(field.hosts))]
    assert of_full_host(field, result)["state"] == "unchanged"
    promise(9).count("broken hosts")


def test_a_second_try_that_is_refused_does_not_undo_what_the_first_one_did(field: Field, promise: Promises) -> None:
    """The first attempt has switched that host, the second finds its disk read-only: the host must go back all the same."""
    place = field.home(field.hosts[FULL])
    (place / "small").touch()
    field.make_version("v3", start='[ -e ../../small ] || echo "$QD_RELEASE" >../../running')
    field.write(rollback={"automatic": False})
    rollout = field.begin("deploy", "v3")
    field.in_state(rollout, RolloutState.PAUSED)
    _remount(place, "ro")
    field.qd("retry", str(rollout), "--detach")

    def second_try() -> Step:
        with field.journal(read_only=True) as journal:
            return max(
                (s for s in journal.steps(rollout) if s.host == field.hosts[FULL].name), key=lambda step: step.attempt
            )

    wait_for(lambda: second_try().attempt > 1 and second_try().state is StepState.FAILED, "it has failed again", 180)
    field.in_state(rollout, RolloutState.PAUSED)
    assert "Nothing was changed there" in second_try().outcome["error"]
    _remount(place, "rw")
    field.qd("abort", str(rollout))
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert field.running() == ["v2"] * len(field.hosts)
    promise(9).count("broken hosts")
