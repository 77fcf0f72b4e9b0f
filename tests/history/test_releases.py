"""Releases in the journal: stored once, judged, and found again as the last good one and the current one."""

import msgspec
import pytest

from quarterdeck.config.model import ConfigFile, Health, Hook, Hooks, HttpCheck, Runner, SecretReference
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState

TARGET = "production/api"


def release(version: str, target: str = TARGET) -> Release:
    return Release(
        target=target,
        version=version,
        artifact=ResolvedArtifact(f"/srv/{version}.tar.gz", "ab" * 32, 5_000_000),
        path="/srv/api",
        runner=Runner(unit="api"),
        env={"PORT": "8080", "ZIP": "0123"},
        files=(ConfigFile("etc/app.conf", "ä = 1\n", 0o640),),
        secrets={"TOKEN": SecretRecord(SecretReference("env", "API_TOKEN"), "salt:feed")},
        health=Health(http=HttpCheck(port=8080)),
        hooks=Hooks(before=(Hook("bin/migrate", reversible=False),)),
        created="2026-11-23T18:30:00.123Z",
        created_by="alice@bastion-2",
    )


V1, V2, V3 = release("v1"), release("v2"), release("v3")


def run(journal: Journal, to: Release, end: RolloutState, *, was: Release | None = None, kind: str = "deploy") -> int:
    rollout = journal.arm(to.target, RolloutKind(kind), to_release=to.id, from_release=was.id if was else None).id
    epoch = journal.begin(rollout, preempt="nothing")
    journal.set_state(rollout, epoch, end)
    return rollout


def test_a_release_is_stored_once_and_comes_back_whole(journal: Journal, other: Journal) -> None:
    assert journal.put_release(V1) == V1.id
    assert other.put_release(msgspec.structs.replace(V1, created="2030-01-01T00:00:00.000Z")) == V1.id
    row = other.release(V1.id)
    assert row is not None
    assert row.release == V1
    assert (row.id, row.verdict, row.last_good) == (V1.id, "untried", None)
    assert [event.body["digest"] for event in journal.events(kind="release")] == [V1.digest]
    assert journal.release("v9-0000000000") is None


def test_the_newest_release_comes_first(journal: Journal) -> None:
    for one in (V1, V2, release("v1", "staging/api"), V3):
        journal.put_release(one)
    assert [row.release.version for row in journal.releases(TARGET)] == ["v3", "v2", "v1"]
    assert [row.release.version for row in journal.releases(limit=2)] == ["v3", "v1"]


def test_the_last_good_release_is_the_one_that_succeeded_last_and_is_not_bad(journal: Journal) -> None:
    for one in (V1, V2, V3):
        journal.put_release(one)
    assert journal.last_good(TARGET) is None
    run(journal, V1, RolloutState.SUCCEEDED)
    run(journal, V2, RolloutState.SUCCEEDED, was=V1)
    run(journal, V3, RolloutState.FAILED, was=V2)
    found = journal.last_good(TARGET)
    assert found is not None
    assert (found.id, found.verdict) == (V2.id, "good")
    older = journal.last_good(TARGET, other_than=V2.id)
    assert older is not None
    assert older.id == V1.id
    journal.judge(V2.id, "bad", "errors under traffic", rollout=2)
    assert [(row.id, row.verdict_reason) for row in journal.releases() if row.verdict == "bad"] == [
        (V2.id, "errors under traffic")
    ]
    assert journal.last_good(TARGET) == older
    run(journal, V2, RolloutState.SUCCEEDED, was=V1)
    assert journal.last_good(TARGET) == older, "a bad release stays bad until it is judged otherwise"
    journal.judge(V2.id, "good", "it was the database")
    found = journal.last_good(TARGET)
    assert found is not None
    assert found.id == V2.id


def test_what_runs_now_is_where_the_last_whole_rollout_ended(journal: Journal) -> None:
    assert journal.current_release(TARGET) is None
    run(journal, V1, RolloutState.SUCCEEDED)
    assert journal.current_release(TARGET) == V1.id
    run(journal, V2, RolloutState.ROLLED_BACK, was=V1)
    assert journal.current_release(TARGET) == V1.id
    run(journal, V2, RolloutState.SUCCEEDED, was=V1)
    run(journal, V3, RolloutState.CANCELLED, was=V2)
    run(journal, V3, RolloutState.SUCCEEDED, was=V2, kind="drill")
    assert journal.current_release(TARGET) == V2.id
    run(journal, V1, RolloutState.SUCCEEDED, was=V2, kind="rollback")
    assert journal.current_release(TARGET) == V1.id
    assert journal.current_release("staging/api") is None


def test_the_one_that_ended_last_counts_not_the_one_that_was_asked_for_last(journal: Journal) -> None:
    early = journal.arm(TARGET, RolloutKind.DEPLOY, to_release=V1.id).id
    run(journal, V2, RolloutState.SUCCEEDED)
    journal.set_state(early, journal.begin(early, preempt="nothing"), RolloutState.SUCCEEDED)
    assert journal.current_release(TARGET) == V1.id


def test_judging_what_is_not_known_is_an_error(journal: Journal) -> None:
    with pytest.raises(JournalError, match="knows no release v9"):
        journal.judge("v9", "bad", "because")
    with pytest.raises(ValueError, match="splendid"):
        journal.judge("v9", "splendid", "because")
