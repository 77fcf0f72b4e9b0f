"""Promises 1 and 2 on a Swarm: SIGKILL the worker at any boundary, or at random: a new one goes on with it, or takes it back, or an
operator rolls back; the end state is right, and Swarm has made no task twice. What an update does meanwhile, and that no lock is left, is
in tests/rollouts/test_on_swarm.py.
"""

import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from quarterdeck.history.records import ENDED, RolloutState
from tests.rollouts.routed_swarm import TASKS, Pier, pier_in
from tests.swarm import Swarm
from tests.swarm_fleet import SwarmFleet
from tests.trust.docker_truth import dying, resume
from tests.trust.recording import Promises
from tests.trust.ssh_truth import Head, is_another_or_ended
from tests.trust.swarm_truth import OTHER, REPLICAS, TAKEN_BACK, all_of, assert_ended, tasks_since, told_since

pytestmark = [pytest.mark.trust(1, 2), pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]

BOUNDARIES = 12  # a deploy has sixteen writes and a rollback fourteen; the switch is done by the tenth, or the seventh
WRITES = range(9, 28, 3)  # of a blue/green deploy, which has some thirty
WHILE_BOTH_RUN = (15, 21)  # those of them between which only the router is changed


@pytest.fixture
async def pier(swarm: Swarm, tmp_path: Path) -> AsyncIterator[Pier]:
    async with pier_in(tmp_path, swarm) as made:
        yield made


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_deploy_is_killed_at_a_write_and_goes_on(
    harbour: SwarmFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, full: bool, promise: Promises
) -> None:
    harbour.deploy("1")
    died, runs = tmp_path / "died", "1"
    for boundary in itertools.count(4 if moment == "before" else 3, 3 if full else 6):
        before, version = harbour.every_task(), OTHER[runs]
        with dying(monkeypatch, f"{moment} {boundary}", died):
            rollout = harbour.begin("deploy", version)
        harbour.until(rollout, harbour.worker_has_left, 240)
        if not died.exists():
            break
        heads = [resume(harbour, rollout)]
        assert_ended(harbour, harbour.ended(rollout, 240), RolloutState.SUCCEEDED, version, heads, promise(1))
        each_was_made_once(harbour, before, version, promise)
        promise(1).count("kills at a write on a Swarm")
        runs = version
    assert boundary > BOUNDARIES, "the worker left without having been killed at each of them"


def each_was_made_once(harbour: SwarmFleet, before: dict[str, str], version: str, promise: Promises) -> None:
    """A killed worker ends no call to a manager: there is no excuse for more tasks than the service has."""
    made = tasks_since(harbour, before, version)
    promise(2).none("that ran twice", max(0, made - REPLICAS))
    assert made == REPLICAS
    promise(2).count("tasks by a Swarm's own list", made)


@pytest.mark.parametrize("way", ["taken back", "rolled back"])
def test_a_deploy_is_killed_at_a_write_and_is_not_gone_on_with(
    harbour: SwarmFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, full: bool, promise: Promises
) -> None:
    """Aborted, by whom a new worker comes that takes it back; or followed by a rollback. No task is made twice."""
    harbour.deploy("1")
    died = tmp_path / "died"
    for boundary in itertools.count(4 if way == "taken back" else 7, 3 if full else 6):
        before = harbour.every_task()
        with dying(monkeypatch, f"before {boundary}", died):
            rollout = harbour.begin("deploy", "2")
        harbour.until(rollout, harbour.worker_has_left, 240)
        if not died.exists():
            break
        with harbour.journal(read_only=True) as journal:
            over = journal.rollout(rollout).state in ENDED
        if over:
            break  # an end that is written is the end
        if way == "taken back":
            harbour.qd("abort", str(rollout))
            ended = harbour.ended(rollout, 240)
            assert ended.state in TAKEN_BACK, ended.outcome
            assert_ended(harbour, ended, ended.state, "1", [], promise(1))
        else:
            newer = harbour.ended(harbour.begin("rollback", "1"), 240)
            assert_ended(harbour, newer, RolloutState.SUCCEEDED, "1", [], promise(1))
            assert harbour.ended(rollout).state is RolloutState.SUPERSEDED
        made = [tasks_since(harbour, before, its) for its in ("1", "2")]
        assert max(made) <= REPLICAS, made
        promise(1).count("kills at a write on a Swarm")
    assert boundary > 7, "the worker left without having been killed at each of them"


def test_a_rollback_is_killed_at_a_write(
    harbour: SwarmFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool, promise: Promises
) -> None:
    """A new worker goes on with it."""
    harbour.deploy("1")
    died = tmp_path / "died"
    harbour.quiet(harbour.deploy("2")["rollout"])
    for boundary in itertools.count(4, 3 if full else 9):
        before = harbour.every_task()
        with dying(monkeypatch, f"{'before' if boundary % 2 else 'after'} {boundary}", died):
            rollout = harbour.begin("rollback", "1")
        harbour.until(rollout, harbour.worker_has_left, 240)
        if not died.exists():
            break
        heads = [resume(harbour, rollout)]
        assert_ended(harbour, harbour.ended(rollout, 240), RolloutState.SUCCEEDED, "1", heads, promise(1))
        each_was_made_once(harbour, before, "1", promise)
        promise(1).count("kills at a write on a Swarm")
        harbour.quiet(harbour.deploy("2", arguments=["--force", "--reason", "again"])["rollout"])
    assert boundary > BOUNDARIES, "the worker left without having been killed at each of them"


@pytest.mark.parametrize("way", ["gone on with", "taken back"])
async def test_a_deploy_is_killed_at_a_write_while_both_releases_run(
    pier: Pier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, full: bool, promise: Promises
) -> None:
    """Blue/green: after the service of the new release was started, and before that of the old one is stopped. What runs already is not
    made again, whichever way it ends."""
    harbour = pier.harbour
    harbour.write(strategy={"blue_green": {"scale_down_delay": "1s"}})
    harbour.deploy("1")
    died, runs = tmp_path / "died", "1"
    while_both_ran = 0
    for boundary in WRITES if full else WHILE_BOTH_RUN:
        before, version = harbour.every_task(), OTHER[runs]
        with dying(monkeypatch, f"{('before', 'after')[boundary % 2]} {boundary}", died):
            rollout = harbour.begin("deploy", version)
        harbour.until(rollout, harbour.worker_has_left, 240)
        both = harbour.versions() == [*all_of("1", TASKS), *all_of("2", TASKS)]
        assert died.exists(), f"it ended before its write {boundary}"
        while_both_ran += both
        if way == "gone on with":
            heads = [resume(harbour, rollout)]
            ended = harbour.ended(rollout, 240)
            assert_ended(harbour, ended, RolloutState.SUCCEEDED, version, heads, promise(1), TASKS)
        else:
            harbour.qd("abort", str(rollout))
            ended = harbour.ended(rollout, 240)
            assert ended.state in TAKEN_BACK, ended.outcome
            assert_ended(harbour, ended, ended.state, runs, [], promise(1), TASKS)
        if way == "gone on with":
            runs = version
        # Swarm remembers no task of a service that has none any more.
        told = told_since(harbour, before, runs)
        # One that its node refuses, as for a port that is given up a moment later there, never ran: Swarm makes another one.
        made = sum(state not in ("rejected", "failed") for state, _ in told)
        promise(2).none("that ran twice", max(0, made - TASKS))
        assert made <= TASKS, told
        if both:
            assert made == (TASKS if way == "gone on with" else 0), f"what runs is not made again: {told}"
        await pier.assert_serves_only(runs)
        promise(1).count("kills at a write on a Swarm")
    assert while_both_ran >= len(WHILE_BOTH_RUN), "workers were killed before both ran, or when only one did"


def test_killed_at_random_again_and_again(harbour: SwarmFleet, full: bool, promise: Promises) -> None:
    harbour.deploy("1")
    chance = random.Random(7)
    kills, runs = 0, "1"
    while kills < (8 if full else 1):
        before, version = harbour.every_task(), OTHER[runs]
        rollout = harbour.begin("deploy", version)
        heads: list[Head] = []
        for _ in range(4):
            pid = harbour.worker_pid(rollout)
            time.sleep(chance.uniform(0.0, 2.0))  # the moment of the kill, not a wait for something
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            kills += 1
            heads.append(resume(harbour, rollout))
            harbour.until(rollout, partial(is_another_or_ended, old=pid), 120)
        assert_ended(harbour, harbour.ended(rollout, 240), RolloutState.SUCCEEDED, version, heads, promise(1))
        each_was_made_once(harbour, before, version, promise)
        promise(1).count("kills at random on a Swarm", len(heads))
        runs = version
