"""Promise 23: recorded = running. A host changed behind our back is drift at the next look; success only after reading back.

Seen to fail with one of these taken out: what a host was seen to run is compared with what it should run (no drift), the read-back of all
hosts at the end (``VERIFY``: a release that has died by then succeeds). Not seen: without the wait for health after a switch, since the
read-back at the end asks for it again.
"""

import json
import os
from typing import Any

import pytest

from tests.field import TARGET, Field
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(23), pytest.mark.sshd]


def status(field: Field) -> dict[str, Any]:
    document = json.loads(field.qd("status", TARGET, "--json", status=0).stdout)
    target: dict[str, Any] = document["targets"][0]
    return target


def test_a_host_changed_behind_our_back_is_seen(field: Field, promise: Promises) -> None:
    field.deploy("v1")
    field.deploy("v2")
    assert status(field)["health"] == "healthy"
    changed = field.hosts[1]
    home = field.home(changed)
    old = next(entry for entry in os.listdir(home / "releases") if entry.startswith("v1-"))
    os.unlink(home / "current")
    os.symlink(f"releases/{old}", home / "current")
    hosts = {host["host"]: host for host in status(field)["hosts"]}
    assert hosts[changed.name]["drift"] is True
    assert hosts[changed.name]["version"] == "v1"
    assert not any(host["drift"] for name, host in hosts.items() if name != changed.name)
    promise(23).count("hosts that run something else")


def test_exit_statuses_of_commands_are_not_success(field: Field, promise: Promises) -> None:
    field.deploy("v1")
    result = field.deploy("bad", status=3)
    assert result["status"] == "rolled_back"
    assert field.running() == ["v1"] * len(field.hosts)
    promise(23).count("hosts that run something else")


def test_a_release_that_dies_in_an_early_batch_is_found_before_success(field: Field, promise: Promises) -> None:
    """The first host is healthy when its batch is done, and dead when the last batch is: no success."""
    field.make_version(
        "dies",
        start='echo "$QD_RELEASE" > ../../running; (sleep 1; grep -q "$QD_RELEASE" ../../running && rm ../../running) &',
    )
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "4s"}})
    result = field.deploy("dies", status=3)
    assert field.hosts[0].name in str(result["reason"])
    assert field.running() == ["v1"] * len(field.hosts)
    promise(23).count("hosts that run something else")
