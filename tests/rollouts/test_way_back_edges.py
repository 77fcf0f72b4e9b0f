"""The way back at its edges: beside a host that somebody changed, without a secret, over a hook whose connection was cut, while others
hold the journal, after a worker that died before it had planned anything."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.history.records import RolloutKind, RolloutState
from tests.driver import TARGET
from tests.field import Field
from tests.sshd import SshHost, wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(240)]


def copy_on(field: Field, host: SshHost, version: str) -> Path:
    (found,) = (field.home(host) / "releases").glob(f"{version}-*")
    return found


def test_putting_right_what_somebody_changed_is_no_word_against_what_stood_there(field: Field) -> None:
    """A host was put back to v1 by hand. Seen to fail, with v1 bad and its hook reversed, where what stands there counts as left."""
    note = field.directory / "reversed"
    field.write(hooks={"before": [{"run": "true", "where": "here", "on_rollback": f"touch {note}"}]})
    field.make_version("v0")
    field.deploy("v0")
    field.deploy("v1")
    field.write(hooks={})
    field.deploy("v2")
    host = field.hosts[4]
    old, home = copy_on(field, host, "v1"), field.home(host)
    (home / "current").unlink()
    (home / "current").symlink_to(f"releases/{old.name}")
    (home / "running").write_text(f"{old.name}\n")
    ended = field.ended(field.begin("rollback", "v2"))
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert field.running() == ["v2"] * len(field.hosts)
    assert field.verdict("v1") == "good"
    assert not note.exists()
    assert field.rollback()["to"].startswith("v1-")


def test_no_copy_is_made_without_its_secret(field: Field) -> None:
    """Seen to fail, with a copy whose secrets are empty and success told, where what is known is written."""
    secret = field.directory / "password"
    secret.write_text("the-value\n")
    field.write(secrets={"PASSWORD": {"file": str(secret)}})
    field.deploy("v1")
    field.deploy("v2")
    secret.unlink()
    shutil.rmtree(copy_on(field, field.hosts[4], "v1"))
    result = field.rollback(status=4)
    assert (
        f"{field.hosts[4].name}: PASSWORD can't be read now, and v1 has no copy there that has it" in result["reason"]
    )
    assert field.running() == ["v1"] * 4 + ["v2"]
    assert field.verdict("v1") == "good"


def test_a_hook_whose_connection_was_cut_is_waited_for(field: Field) -> None:
    """It runs longer than a host's lock is waited for. Seen to fail where the lock's answer ends the second try."""
    field.deploy("v1")
    runs = "echo up >> ../../hooks; sleep 38; echo done >> ../../hooks"
    field.write(hooks={"before": [{"run": runs, "where": "one", "timeout": "120s"}]})
    rollout = field.begin("deploy", "v2")

    def hooked() -> list[SshHost]:
        return [host for host in field.hosts.hosts if (field.home(host) / "hooks").exists()]

    wait_for(hooked, "the hook runs", 30)
    (host,) = hooked()
    host.restart()
    ended = field.ended(rollout, 120)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert (field.home(host) / "hooks").read_text().split() == ["up", "done"]


HOLDS = """
import sqlite3, sys, time
holder = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60.0)
holder.execute("BEGIN IMMEDIATE")
time.sleep(12)
holder.execute("ROLLBACK")
"""


def test_a_journal_that_others_hold_ends_no_way_back(field: Field) -> None:
    """It is held for longer than a write waits. Seen to fail, with a dead worker and hosts of two releases, where that ends it."""
    field.write(rollback={"max_unavailable": 1})
    field.make_version("v1", start='sleep 2; echo "$QD_RELEASE" > ../../running')
    field.deploy("v1")
    field.deploy("v2")
    rollout = field.begin("rollback")
    wait_for(lambda: "v1" in field.running(), "the first host is back")
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(field.state / "history.db")]) as holder:
        ended = field.ended(rollout, 90)
    assert holder.returncode == 0
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert field.running() == ["v1"] * len(field.hosts)
    with field.journal(read_only=True) as journal:
        assert not journal.events(rollout=rollout, kind="takeover")


def test_what_it_superseded_is_told_of_by_who_comes_after_a_worker_that_had_planned_nothing(field: Field) -> None:
    """A host is lost meanwhile, so nothing can begin. Seen to fail, with nothing said of what stands half-way and a way back to the wrong
    release, where it is cancelled."""
    field.make_version("v0")
    field.deploy("v0")
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "60s"}})
    first = field.begin("deploy", "v2")
    wait_for(lambda: "v2" in field.running(), "the first host has changed")
    with field.journal() as journal:
        before = journal.rollout(first)
        second = journal.arm(
            TARGET,
            RolloutKind.DEPLOY,
            from_release=before.from_release,
            to_release=before.to_release,
            options={**before.options, "supersede": True},
        ).id
        journal.set_plan(second, before.plan, "", to_release=before.to_release, from_release=before.from_release)
        journal.begin(second, preempt="deploys")  # its worker died here
    field.ended(first)
    field.hosts[4].stop()
    try:
        field.qd("resume", str(second), "--wait")
        ended = field.ended(second)
        assert ended.state is RolloutState.FAILED
        assert "what it superseded stands half-way on" in (ended.outcome or "")
        assert field.hosts[0].name in (ended.outcome or "")
    finally:
        field.hosts[4].start()
    assert field.rollback()["to"].startswith("v1-")
    assert field.running() == ["v1"] * len(field.hosts)
