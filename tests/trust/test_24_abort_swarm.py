"""Promise 24 on a Swarm, without a router: abort wins at every step, and at any moment. The worker is stopped right after each of its
writes, an operator aborts, the worker goes on; the new release may be well or unwell. No task is made twice.

Seen to fail with a worker that hears no abort: it ends in success.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from quarterdeck.history.records import ENDED
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


@pytest.mark.parametrize("kind", WAYS)
def test_abort_at_every_step(
    harbour: SwarmFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, full: bool, promise: Promises
) -> None:
    strategy, version = WAYS[kind]
    harbour.write(strategy={strategy: {}})
    harbour.deploy("1")
    harbour.write(health={**HEALTH, "healthy_deadline": "3s"} if version == "bad" else HEALTH)
    boundary = 2
    died = tmp_path / "stopped"
    while True:
        before = harbour.every_task()
        with dying(monkeypatch, f"stop {boundary}", died):
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
        assert harbour.versions() == all_of("1")
        assert_whole(harbour, [], promise(24))
        if kind != "recreate":
            made = [tasks_since(harbour, before, its) for its in ("1", version)]
            assert max(made) <= REPLICAS, made
        promise(24).count("aborts on a Swarm")
        boundary += 3 if full else 6
    assert boundary > BOUNDARIES, "the worker ended before it was aborted at each of them"


def test_abort_at_any_moment(harbour: SwarmFleet, full: bool, promise: Promises) -> None:
    harbour.deploy("1")
    chance = random.Random(24)
    aborted = 0
    while aborted < (4 if full else 1):
        before = harbour.every_task()
        rollout = harbour.begin("deploy", "2", force=True, reason="again")
        harbour.until(rollout, lambda now: now.epoch > 0, 60)  # before, it would only be cancelled
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
