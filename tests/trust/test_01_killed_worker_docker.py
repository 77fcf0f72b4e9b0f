"""Promises 1, 2 and 5 on Docker engines: SIGKILL the worker at any boundary, or at random: a new one resumes at once, the end state is
right, and no container was started twice.

Taken out: without the outcomes that the engine's register holds (``Gate.once``) a step that is done again starts its container again.
"""

import itertools
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from quarterdeck.history.lease import lock_is_held
from tests.docker_fleet import DockerField
from tests.sshd import wait_for
from tests.trust.docker_truth import assert_right, dying, resume, starts_on_each
from tests.trust.recording import Promises
from tests.trust.ssh_truth import Head, is_another_or_ended

pytestmark = [pytest.mark.trust(1, 2, 5), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(600)]

BOUNDARIES = 12  # a deploy to two engines in two batches has more, however its writes are gathered


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_boundary(
    docks: DockerField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, full: bool, promise: Promises
) -> None:
    """Between what was done and its being written down, and between what was written down and its being done."""
    docks.write(strategy={"rolling": {"batches": [1, "100%"]}})
    docks.deploy("1")
    boundary = 2 if full or moment == "before" else 4
    died = tmp_path / "died"
    for version in itertools.cycle(["2", "1"]):
        since = time.time()
        with dying(monkeypatch, f"{moment} {boundary}", died):
            rollout = docks.begin("deploy", version)
        docks.until(rollout, docks.worker_has_left, 180)
        if not died.exists():
            break
        assert_right(docks, rollout, version, [resume(docks, rollout)], promise(1))
        each_started_once(docks, since, promise)
        promise(1).count("kills at a write on engines")
        boundary += 3 if full else 12
    assert boundary > BOUNDARIES, "the worker left without having been killed at each of them"


def test_killed_at_random_again_and_again(docks: DockerField, full: bool, promise: Promises) -> None:
    docks.deploy("1")
    chance = random.Random(7)
    kills = 0
    versions = itertools.cycle(["2", "1"])
    while kills < (60 if full else 2):
        version = next(versions)
        since = time.time()
        rollout = docks.begin("deploy", version)
        heads: list[Head] = []
        for _ in range(4):
            pid = docks.worker_pid(rollout)
            time.sleep(chance.uniform(0.0, 0.8))  # the moment of the kill, not a wait for something
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            kills += 1
            heads.append(resume(docks, rollout))
            docks.until(rollout, partial(is_another_or_ended, old=pid), 180)
        assert_right(docks, rollout, version, heads, promise(1))
        each_started_once(docks, since, promise)
        promise(1).count("kills at random on engines", len(heads))


def each_started_once(docks: DockerField, since: float, promise: Promises) -> None:
    """By the engines' own events."""
    starts = starts_on_each(docks, since)
    promise(2).none("that ran twice", sum(max(0, count - 1) for count in starts))
    assert starts == [1, 1]
    promise(2).count("starts by the engines' events", sum(starts))


def test_a_killed_worker_leaves_no_lock_here_or_on_an_engine(docks: DockerField, promise: Promises) -> None:
    docks.deploy("1")
    docks.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "20s"}})
    rollout = docks.begin("deploy", "2")
    wait_for(lambda: docks.running_on(docks.engines[0]) == "2", "the first engine has changed", 180)
    docks.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(docks.state, rollout), "the lock is free", 15)
    promise(5).count("workers killed between two engines")
    assert docks.rollback()["status"] == "succeeded"
    assert docks.running() == docks.everywhere("1")
