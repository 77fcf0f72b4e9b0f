"""Promise 24, for what rolls out without a router: abort wins at every step. The worker is stopped right after each of its writes, an
operator aborts, the worker goes on; the new release may be well or unwell, beside the old one or in its place.

Taken out: a worker that hears no abort ends in success. It listens in three places (within a wave, before the next one, before success
is written): each alone is enough here, but for what is asked in the last few milliseconds.
"""

import os
import signal
from pathlib import Path

import pytest

from quarterdeck.history.records import ENDED, RolloutState
from tests.docker_fleet import HEALTH, SOON, DockerField
from tests.trust.docker_truth import assert_whole, dying
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(24), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(600)]

BOUNDARIES = 8
STRATEGIES = {
    "rolling": ({"rolling": {"batches": [1, "100%"]}}, {}, "2"),
    "recreate": ("recreate", {"ports": ["8080"]}, "2"),
    "canary": (
        {
            "canary": {
                "steps": [
                    {"set_weight": 50},
                    {"pause": "1s"},
                    {"run": {"run": "true", "where": "here", "on_rollback": "true"}},
                    {"approval": {"timeout": "1s", "on_timeout": "promote"}},
                    {"set_weight": 100},
                    {"bake": "1s"},
                ]
            }
        },
        {},
        "2",
    ),
    "unwell": ({"rolling": {"batches": [1, "100%"]}}, {}, "bad"),
}


@pytest.mark.parametrize("kind", STRATEGIES)
def test_abort_at_every_step(
    docks: DockerField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, full: bool, promise: Promises
) -> None:
    strategy, docks.container, version = STRATEGIES[kind]
    docks.write(strategy=strategy)
    docks.deploy("1")
    docks.write(health=SOON if version == "bad" else HEALTH)
    boundary = 2 if full else 3
    died = tmp_path / "stopped"
    while True:
        with dying(monkeypatch, f"stop {boundary}", died):
            rollout = docks.begin("deploy", version, force=True, reason="again")
        docks.until(rollout, lambda now: died.exists() or docks.worker_has_left(now), 180)
        if not died.exists():
            break
        worker = docks.worker_pid(rollout)
        with docks.journal() as journal:
            over = journal.rollout(rollout).state in ENDED
            if not over:
                journal.ask(rollout, "abort")
        os.kill(worker, signal.SIGCONT)
        ended = docks.ended(rollout)
        docks.quiet(rollout)
        if over:
            break  # an end that is written is the end
        assert ended.state in (RolloutState.ROLLED_BACK, RolloutState.CANCELLED), ended.outcome
        assert docks.running() == docks.everywhere("1")
        assert_whole(docks, [], promise(24))
        promise(24).count("aborts on engines")
        boundary += 3 if full else 12 if kind != "canary" else 24
    assert boundary > BOUNDARIES, "the worker ended before it was aborted at each of them"
