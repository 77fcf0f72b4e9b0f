"""Promises 1 and 2: SIGKILL the worker at any boundary, or at random: a new one resumes and the end state is right; a step that was
retried ran once. No event that was written is lost.

Taken out: without the journalled steps (``start_steps``/``end_step``) a resumed worker would not know what is done; without the
recorded outcome on the host (``ops/``) the ledger below shows the same op_id twice.
"""

import itertools
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from quarterdeck.history.audit import verify
from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import ENDED, Rollout, RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import Field
from tests.sshd import wait_for
from tests.trust.recording import Promises, Recorder

pytestmark = [pytest.mark.trust(1, 2), pytest.mark.sshd, pytest.mark.timeout(600)]

DYING = Path(__file__).parent / "dying"
BOUNDARIES = 15  # a deploy to five hosts in three batches has more, however its writes are gathered
Head = tuple[str, int, str]
"""Where it was read, the number of the last event, its hash."""


def resume(field: Field, rollout: int) -> Head:
    """A new worker, as soon as the killed one is gone: its lock is free then. Gives what the dead one had written last."""
    wait_for(lambda: not lock_is_held(field.state, rollout), "the dead worker's lock is free", 2)
    with field.journal() as journal:
        head: Head = ("the killed worker", *journal.head())
        if journal.rollout(rollout).state not in ENDED:
            Control(field.fleet(), journal, current_operator()).resume(rollout)
    return head


def assert_right(field: Field, rollout: int, version: str, heads: list[Head], kept: Recorder) -> None:
    ended, running = field.ended(rollout), field.running()
    kept.none("wrong ends", (ended.state, running) != (RolloutState.SUCCEEDED, [version] * len(field.hosts)))
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert running == [version] * len(field.hosts)
    nothing_is_lost(field, heads, kept)


def nothing_is_lost(field: Field, heads: list[Head], kept: Recorder) -> None:
    """The journal has all that it ever had, in its order."""
    with field.journal(read_only=True) as journal:
        report = verify(journal, heads)
    kept.none("lost events", len(report.faults))
    assert report.ok, report.faults


def operations_that_ran_twice(field: Field, kept: Recorder) -> dict[str, int]:
    """By the hosts' own ledgers. A killed worker ends no action on a host, so that there is no excuse for any."""
    seen: Counter[str] = Counter()
    for host in field.hosts.hosts:
        for line in (field.home(host) / ".quarterdeck" / "ledger").read_text().splitlines():
            _, what, op_id, *_ = line.split()
            if what == "begin":
                seen[f"{host.name} {op_id}"] += 1
    twice = {operation: count for operation, count in seen.items() if count > 1}
    kept.count("operations in the hosts' ledgers", len(seen))
    kept.none("that ran twice", len(twice))
    return twice


def forget_release(field: Field, version: str) -> None:
    """The hosts have no copy of it any more, so that it must be sent again."""
    for host in field.hosts.hosts:
        for release in (field.home(host) / "releases").glob(f"{version}-*"):
            shutil.rmtree(release)


def _alternately() -> Iterator[str]:
    return itertools.cycle(["v2", "v1"])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_boundary(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, full: bool, promise: Promises
) -> None:
    """Between what was done and its being written down, and between what was written down and its being done."""
    field.write(strategy={"rolling": {"batches": [1, "50%", "100%"]}})
    field.deploy("v1")
    boundary = 2  # the first write tells who the worker is: before it nobody has begun to work
    died = tmp_path / "died"
    for version in _alternately():
        forget_release(field, version)
        with monkeypatch.context() as dying:
            dying.setenv("PYTHONPATH", str(DYING))
            dying.setenv("QD_TEST_DIES", f"{moment} {boundary}")
            dying.setenv("QD_TEST_DIED", str(died))
            rollout = field.begin("deploy", version)
        field.until(rollout, field.worker_has_left, 60)
        if not died.exists():
            break
        died.unlink()
        assert_right(field, rollout, version, [resume(field, rollout)], promise(1))
        promise(1).count("kills at a write over SSH")
        boundary += 1 if full else 5
    assert boundary > BOUNDARIES, "the worker left without having been killed at each of them"
    assert operations_that_ran_twice(field, promise(2)) == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_boundary_of_an_abort(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, full: bool, promise: Promises
) -> None:
    """Taking back goes on under an epoch of its own, and each worker that takes it over has one more: none is fenced by what those
    before it have told the hosts, and what the new release's start was doing is ended, not waited for."""
    field.make_version("slow", start='touch ../../begun; sleep 4321; echo "$QD_RELEASE" > ../../running')
    field.deploy("v1")
    boundary = 14  # about when the start begins to hang
    died = tmp_path / "died"
    while True:
        for host in field.hosts.hosts:
            (field.home(host) / "begun").unlink(missing_ok=True)
        with monkeypatch.context() as dying:
            dying.setenv("PYTHONPATH", str(DYING))
            dying.setenv("QD_TEST_DIES", f"{moment} {boundary}")
            dying.setenv("QD_TEST_DIED", str(died))
            rollout = field.begin("deploy", "slow")
        begun = [field.home(host) / "begun" for host in field.hosts.hosts]
        wait_for(lambda: all(path.exists() for path in begun) or died.exists(), "the start hangs", 30)  # noqa: B023
        with field.journal() as journal:
            Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
        field.until(rollout, field.worker_has_left, 60)
        heads = [resume(field, rollout)] if died.exists() else []
        ended = field.ended(rollout, 30)
        promise(1).none(
            "wrong ends", (ended.state, field.running()) != (RolloutState.ROLLED_BACK, ["v1"] * len(field.hosts))
        )
        assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
        assert field.running() == ["v1"] * len(field.hosts)
        nothing_is_lost(field, heads, promise(1))
        if not died.exists():
            break
        died.unlink()
        promise(1).count("kills at a write over SSH")
        boundary += 1 if full else 5
    assert boundary > BOUNDARIES + 9, "the worker left without having been killed at each of them"


def test_killed_at_random_again_and_again(field: Field, full: bool, promise: Promises) -> None:
    field.deploy("v1")
    chance = random.Random(7)
    kills = 0
    versions = _alternately()
    while kills < (200 if full else 16):
        version = next(versions)
        forget_release(field, version)
        rollout = field.begin("deploy", version)
        heads = []
        for _ in range(4):
            pid = field.worker_pid(rollout)
            time.sleep(chance.uniform(0.0, 0.5))  # the moment of the kill, not a wait for something
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            kills += 1
            heads.append(resume(field, rollout))
            field.until(rollout, partial(_is_another_or_ended, old=pid))
        assert_right(field, rollout, version, heads, promise(1))
        promise(1).count("kills at random over SSH", len(heads))
    assert operations_that_ran_twice(field, promise(2)) == {}


def _is_another_or_ended(now: Rollout, old: int) -> bool:
    return now.pid != old or now.state in ENDED


def test_a_retried_step_ran_once(field: Field, promise: Promises) -> None:
    """The worker dies between the host's answer and the journal: the host gives the recorded outcome, nothing starts twice."""
    field.deploy("v1")
    before = [len(field.starts(host)) for host in field.hosts.hosts]
    rollout = field.begin("deploy", "v2")

    def switched_somewhere() -> bool:
        return any(len(field.starts(host)) > count for host, count in zip(field.hosts.hosts, before, strict=True))

    pid = field.worker_pid(rollout)
    wait_for(switched_somewhere, "a host is being switched", 30)
    os.kill(pid, signal.SIGKILL)
    assert_right(field, rollout, "v2", [resume(field, rollout)], promise(1))
    assert operations_that_ran_twice(field, promise(2)) == {}
    assert [len(field.starts(host)) for host in field.hosts.hosts] == [count + 1 for count in before]
