"""Promises 1 and 2: SIGKILL the worker at any boundary, or at random: a new one resumes and the end state is right; a step that was
retried ran once, unless it was killed inside itself.

Taken out: without the journalled steps (``start_steps``/``end_step``) a resumed worker would not know what is done; without the
recorded outcome on the host (``ops/``) the ledger below shows the same op_id twice.
"""

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from quarterdeck.history.audit import verify
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import ENDED, RolloutState
from quarterdeck.rollouts.control import Control
from tests.field import Field
from tests.sshd import wait_for

pytestmark = [pytest.mark.trust, pytest.mark.sshd, pytest.mark.timeout(600)]


def kill_when(field: Field, rollout: int, condition: Callable[[Journal], bool]) -> bool:
    """SIGKILLs the worker as soon as ``condition(journal)`` holds; False when the rollout had ended before."""
    pid = field.worker_pid(rollout)
    with field.journal(read_only=True) as journal:
        version = -1
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = journal.data_version()
            if now != version:
                version = now
                if journal.rollout(rollout).state in ENDED:
                    return False
                if condition(journal):
                    os.kill(pid, signal.SIGKILL)
                    return True
            time.sleep(0.0005)
    raise AssertionError("nothing happened for 30 s")


def resume(field: Field, rollout: int) -> None:
    """A new worker, as soon as the killed one is gone: its lock is free then."""
    wait_for(lambda: not lock_is_held(field.state, rollout), "the dead worker's lock is free", 2)
    with field.journal() as journal:
        if journal.rollout(rollout).state not in ENDED:
            Control(field.fleet(), journal, current_operator()).resume(rollout)


def steps_seen(journal: Journal, rollout: int) -> int:
    return len([event for event in journal.events(rollout=rollout) if event.kind.startswith("step.")])


def _reached(rollout: int, boundary: int, journal: Journal) -> bool:
    return steps_seen(journal, rollout) >= boundary


def assert_right(field: Field, rollout: int, version: str) -> None:
    ended = field.ended(rollout)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert field.running() == [version] * len(field.hosts)
    with field.journal(read_only=True) as journal:
        report = verify(journal)
        assert report.ok, report.faults


def ledger(field: Field) -> Counter[str]:
    """How often each op_id ran on a host, by the host's own ledger."""
    seen: Counter[str] = Counter()
    for host in field.hosts.hosts:
        for line in (field.home(host) / ".quarterdeck" / "ledger").read_text().splitlines():
            _, what, op_id, *_ = line.split()
            if what == "begin":
                seen[f"{host.name} {op_id}"] += 1
    return seen


def test_killed_at_every_step_boundary(field: Field, full: bool) -> None:
    field.write(strategy={"rolling": {"batches": [1, "50%", "100%"]}})
    field.deploy("v1")
    boundary = 0
    for version in itertools.cycle(["v2", "v1"]):
        rollout = field.begin("deploy", version)
        killed = kill_when(field, rollout, partial(_reached, rollout, boundary))
        if killed:
            resume(field, rollout)
        assert_right(field, rollout, version)
        if not killed:
            break
        boundary += 1 if full else 4
    assert boundary > 20, "the deploy has more boundaries than that: nothing was killed"


def test_killed_at_random_again_and_again(field: Field, full: bool) -> None:
    field.deploy("v1")
    chance = random.Random(7)
    kills = 0
    versions = ["v2", "v1"]
    round_number = 0
    while kills < (200 if full else 16):
        version = versions[round_number % 2]
        round_number += 1
        rollout = field.begin("deploy", version)
        for _ in range(4):
            pid = field.worker_pid(rollout)
            time.sleep(chance.uniform(0.0, 0.5))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            kills += 1
            resume(field, rollout)
            field.until(rollout, lambda now, old=pid: now.pid != old or now.state in ENDED)  # type: ignore[misc]  # bound by default
        assert_right(field, rollout, version)
    again = {op: count for op, count in ledger(field).items() if count > 1}
    assert len(again) <= kills, again  # only a step that was killed inside itself may stand there twice


def test_a_retried_step_ran_once(field: Field) -> None:
    """The worker dies between the host's answer and the journal: the host gives the recorded outcome, nothing starts twice."""
    field.deploy("v1")
    before = [len(field.starts(host)) for host in field.hosts.hosts]
    rollout = field.begin("deploy", "v2")

    def switched_somewhere(journal: Journal) -> bool:
        return any(len(field.starts(host)) > count for host, count in zip(field.hosts.hosts, before, strict=True))

    kill_when(field, rollout, switched_somewhere)
    time.sleep(0.3)  # what runs on the hosts ends there: the worker's death does not stop it
    resume(field, rollout)
    assert_right(field, rollout, "v2")
    twice = {op: count for op, count in ledger(field).items() if count > 1}
    assert not twice, twice
