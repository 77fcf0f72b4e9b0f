"""The bastion is lost after a release was taken back: a new one must not offer that release as the way back."""

import shutil

import pytest

from quarterdeck.history.lease import lock_is_held
from tests.field import TARGET, Field
from tests.sshd import wait_for

pytestmark = pytest.mark.sshd


def let_go(field: Field, rollout: int) -> None:
    wait_for(lambda: not lock_is_held(field.state, rollout), f"the worker of rollout {rollout} has cleaned up")


def test_a_release_that_was_rolled_back_is_not_offered_by_a_new_journal(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    field.deploy("v3")
    field.rollback()  # v3 was bad
    assert field.running() == ["v2"] * len(field.hosts)
    shutil.rmtree(field.state)
    field.qd("adopt", status=0)
    with field.journal(read_only=True) as journal:
        assert {row.release.version: row.verdict for row in journal.releases(TARGET)} == {
            "v1": "good",
            "v2": "good",
            "v3": "bad",
        }
    back = field.rollback()
    assert back["to"].startswith("v1-")
    let_go(field, back["rollout"])


def lists(field: Field, name: str) -> list[str]:
    """What every host says is ``good``, or ``bad``."""
    files = [field.home(host) / ".quarterdeck" / name for host in field.hosts.hosts]
    return [file.read_text() if file.exists() else "" for file in files]


def test_what_a_dead_worker_did_not_tell_the_hosts_the_next_rollout_tells_even_when_it_fails(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    let_go(field, field.deploy("v3")["rollout"])
    good, bad = lists(field, "good"), lists(field, "bad")
    assert all("v3-" in one for one in good)
    assert not any("v3-" in one for one in bad)
    let_go(field, field.rollback()["rollout"])  # v3 was bad
    for host, was_good, was_bad in zip(
        field.hosts.hosts, good, bad, strict=True
    ):  # as if it had died before it told them
        (field.home(host) / ".quarterdeck" / "good").write_text(was_good)
        (field.home(host) / ".quarterdeck" / "bad").write_text(was_bad)
    let_go(field, field.deploy("bad", status=3)["rollout"])
    assert all("v3-" in one for one in lists(field, "bad"))
    assert not any("v3-" in one for one in lists(field, "good"))
    shutil.rmtree(field.state)
    field.qd("adopt", status=0)
    with field.journal(read_only=True) as journal:
        assert {row.release.version: row.verdict for row in journal.releases(TARGET)}["v3"] == "bad"
