"""Promise 24 on a Swarm: abort wins at every step, and at any moment. The worker is stopped right after each of its writes, an operator
aborts, the worker goes on; the new release may be well or unwell. No task is made twice. Blue/green is behind a real HAProxy.

Seen to fail with a worker that hears no abort: it ends in success.
"""

import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from quarterdeck.history.records import ENDED
from tests.rollouts.routed_swarm import TASKS, Pier, pier_in
from tests.swarm import Swarm
from tests.swarm_fleet import HEALTH, SwarmFleet
from tests.trust.docker_truth import dying
from tests.trust.recording import Promises
from tests.trust.swarm_truth import REPLICAS, TAKEN_BACK, all_of, assert_whole, tasks_since

pytestmark = [pytest.mark.trust(24), pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]

BOUNDARIES = 8
WAYS = {
    "part by part": ("rolling", "2"),
    "recreate": ("recreate", "2"),
    "unwell": ("rolling", "bad"),
}


@pytest.fixture
async def pier(swarm: Swarm, tmp_path: Path) -> AsyncIterator[Pier]:
    async with pier_in(tmp_path, swarm) as made:
        yield made


@pytest.mark.parametrize("kind", WAYS)
def test_abort_at_every_step(
    harbour: SwarmFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, full: bool, promise: Promises
) -> None:
    strategy, version = WAYS[kind]
    harbour.write(strategy={strategy: {}})
    harbour.deploy("1")
    harbour.write(health={**HEALTH, "healthy_deadline": "3s"} if version == "bad" else HEALTH)
    for before in aborted_deploys(harbour, tmp_path, monkeypatch, version, every=3 if full else 6):
        assert harbour.versions() == all_of("1")
        assert_whole(harbour, [], promise(24))
        if kind != "recreate":
            made = [tasks_since(harbour, before, its) for its in ("1", version)]
            assert max(made) <= REPLICAS, made
        promise(24).count("aborts on a Swarm")


async def test_abort_at_every_step_of_a_blue_green(
    pier: Pier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool, promise: Promises
) -> None:
    """Every request is answered by the release before, too."""
    harbour = pier.harbour
    harbour.write(strategy={"blue_green": {"scale_down_delay": "1s"}})
    harbour.deploy("1")
    for before in aborted_deploys(harbour, tmp_path, monkeypatch, "2", every=3 if full else 8):
        await pier.assert_serves_only("1")
        assert_whole(harbour, [], promise(24))
        made = [tasks_since(harbour, before, its) for its in ("1", "2")]
        assert max(made) <= TASKS, made
        promise(24).count("aborts on a Swarm")


def aborted_deploys(
    harbour: SwarmFleet, directory: Path, patch: pytest.MonkeyPatch, version: str, *, every: int
) -> Iterator[dict[str, str]]:
    """Deploys of ``version`` that are aborted while their worker stands after a write, one after another and further on by ``every``
    writes, until one ends before. Gives, after each, which tasks there were before it, as ``SwarmFleet.every_task``."""
    boundary = 2
    died = directory / "stopped"
    while True:
        before = harbour.every_task()
        with dying(patch, f"stop {boundary}", died):
            rollout = harbour.begin("deploy", version, force=True, reason="again")
        harbour.until(rollout, lambda now: died.exists() or harbour.worker_has_left(now), 240)
        if not died.exists():
            break
        worker = harbour.worker_pid(rollout)
        with harbour.journal() as journal:
            over = journal.rollout(rollout).state in ENDED
            if not over:
                journal.ask(rollout, "abort")
        os.kill(worker, signal.SIGCONT)
        ended = harbour.ended(rollout, 240)
        harbour.quiet(rollout)
        if over:
            break  # an end that is written is the end
        assert ended.state in TAKEN_BACK, ended.outcome
        yield before
        boundary += every
    assert boundary > BOUNDARIES, "the worker ended before it was aborted at each of them"


def test_abort_at_any_moment(harbour: SwarmFleet, full: bool, promise: Promises) -> None:
    harbour.deploy("1")
    chance = random.Random(24)
    aborted = 0
    while aborted < (4 if full else 1):
        before = harbour.every_task()
        rollout = harbour.begin("deploy", "2", force=True, reason="again")
        harbour.until(rollout, lambda now: now.epoch > 0, 120)  # before, it would only be cancelled
        time.sleep(chance.uniform(0.0, 4.0))  # the moment of the abort, not a wait for something
        with harbour.journal() as journal:
            over = journal.rollout(rollout).state in ENDED
            if not over:
                journal.ask(rollout, "abort")
        ended = harbour.ended(rollout, 240)
        harbour.quiet(rollout)
        if over:
            harbour.rollback()
            continue
        assert ended.state in TAKEN_BACK, ended.outcome
        assert harbour.versions() == all_of("1")
        assert_whole(harbour, [], promise(24))
        made = [tasks_since(harbour, before, its) for its in ("1", "2")]
        assert max(made) <= REPLICAS, made
        aborted += 1
        promise(24).count("aborts on a Swarm")
