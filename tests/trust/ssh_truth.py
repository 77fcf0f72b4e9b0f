"""What the trust tests on SSH hosts ask after each rollout whose worker was killed: the end, the hosts' own ledgers, the journal."""

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

DYING = Path(__file__).parent / "dying"
Head = tuple[str, int, str]
"""Where it was read, the number of the last event, its hash."""


def resume(field: Field, rollout: int) -> Head:
    """A new worker, as soon as the killed one is gone: its lock is free then. Gives what the dead one had written last."""
    wait_for(
        lambda: not lock_is_held(field.state, rollout), "the dead worker's lock is free"
    )  # who is killed while the disk writes for it dies after that
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


def alternately() -> Iterator[str]:
    return itertools.cycle(["v2", "v1"])


def is_another_or_ended(now: Rollout, old: int) -> bool:
    return now.pid != old or now.state in ENDED


def killed_at_random(field: Field, seed: int, kills: int, what: str, promise: Promises) -> None:
    """Deploys whose workers are killed at random moments, up to four times in one rollout, until ``kills`` were; checks each end, and the
    hosts' ledgers. ``what``: as which they are counted for promise 1."""
    chance = random.Random(seed)
    versions = alternately()
    killed = 0
    while killed < kills:
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
            killed += 1
            heads.append(resume(field, rollout))
            field.until(rollout, partial(is_another_or_ended, old=pid))
        assert_right(field, rollout, version, heads, promise(1))
        promise(1).count(what, len(heads))
    assert operations_that_ran_twice(field, promise(2)) == {}


def aborted_while_it_dies(field: Field, died: Path, moment: str, boundary: int) -> tuple[Rollout, list[Head]]:
    """A deploy of ``slow``, whose start touches ``begun`` in the host's home and hangs, is aborted, and its worker dies before or after
    the write ``boundary``, where it comes so far (``died`` is there then). How it ended, and what the dead one had written last."""
    begun = [field.home(host) / "begun" for host in field.hosts.hosts]
    for path in begun:
        path.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as dying:
        dying.setenv("PYTHONPATH", str(DYING))
        dying.setenv("QD_TEST_DIES", f"{moment} {boundary}")
        dying.setenv("QD_TEST_DIED", str(died))
        rollout = field.begin("deploy", "slow")
    wait_for(lambda: all(path.exists() for path in begun) or died.exists(), "the start hangs")
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
    field.until(rollout, field.worker_has_left, 180)
    heads = [resume(field, rollout)] if died.exists() else []
    return field.ended(rollout), heads
