"""Workers of several operators on one state directory: each can log, take over the other's rollout, use what the other fetched."""

import asyncio
import concurrent.futures.thread  # before root's rights are given up: its Python may lie where others can't read
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts.cache import Cache
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind
from quarterdeck.rollouts.spawn import artifact_cache, worker_log
from quarterdeck.rollouts.worker.__main__ import _log_to
from tests.history.forks import Report
from tests.trust.test_21_sharing import ALICE, BOB, MALLORY, as_user, attempt, public, shared

__all__ = ["concurrent", "public", "shared"]  # fixtures, and what is imported for its sake alone

pytestmark = pytest.mark.root


async def _keep(state: Path, content: bytes) -> str:
    partial = Cache(artifact_cache(state)).begin()
    await partial.begin()
    await partial.write(content)
    await partial.flush()
    digest = hashlib.sha256(content).hexdigest()
    Cache(artifact_cache(state)).take(partial, digest)
    return digest


def work(state: Path, rollout: int, content: bytes, use: str = "") -> Callable[[Report], None]:
    def run(report: Report) -> None:
        _log_to(state, rollout)
        os.write(2, content)  # the worker's log is its standard error
        if use:
            report(str(Cache(artifact_cache(state)).find(use) is not None))
        report(asyncio.run(_keep(state, content)))

    return run


def steal(state: Path, digest: str) -> Callable[[Report], None]:
    def run(report: Report) -> None:
        for path in (worker_log(state, 7), artifact_cache(state) / digest):
            report(str(attempt(path.read_bytes)))

    return run


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
def test_operators_share_logs_and_artifacts(shared: Path, umask: int) -> None:
    [first] = as_user(ALICE, umask, work(shared, 7, b"alice"))
    found, second = as_user(BOB, umask, work(shared, 7, b"bob", use=first))
    assert found == "True"
    assert as_user(ALICE, umask, work(shared, 8, b"more", use=second))[0] == "True"
    text = worker_log(shared, 7).read_text()
    assert "alice" in text
    assert "bob" in text
    assert as_user(MALLORY, umask, steal(shared, first)) == ["False", "False"]


def test_a_worker_that_may_not_write_its_log_goes_on_and_says_so(shared: Path) -> None:
    """A rollback must not wait for somebody to mend a directory of logs."""

    def begin(report: Report) -> None:
        with Journal.open(shared) as journal:
            report(str(journal.arm("staging/web", RolloutKind.ROLLBACK, to_release="v1").id))
        (shared / "workers").mkdir()
        (shared / "workers").chmod(0o700)

    def take_over(report: Report) -> None:
        _log_to(shared, rollout)
        with Journal.open(shared) as journal:
            report(str([event.body["text"] for event in journal.events(kind="note", rollout=rollout)]))

    rollout = int(as_user(ALICE, 0o022, begin)[0])
    [said] = as_user(BOB, 0o022, take_over)
    assert f"goes on without a log: {worker_log(shared, rollout)}: Permission denied" in said
