"""Promise 12: 1 of 50 hosts hangs: the other 49 are rolled back meanwhile, the one is named within the keepalive budget.

Taken out: with keepalive off the hung host's step never ends; with one task for all hosts the others would wait for it.
"""

import time
from pathlib import Path

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.conftest import StartFleet
from tests.counts import counts_are_full
from tests.field import TARGET, Field
from tests.sshd import wait_for
from tests.trust.recording import Promises

pytestmark = [
    pytest.mark.trust(12),
    pytest.mark.sshd,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("patient_journal"),
]

# Seconds until the host is named: keepalive's 12, and what this machine's two cores take for 50 hosts, or for other tests beside.
BUDGET = 15.0 if counts_are_full() else 45.0


@pytest.mark.parametrize("when", ["before it is armed", "once it is armed"])
def test_a_hung_host_delays_no_other(
    tmp_path: Path, start_sshd_fleet: StartFleet, when: str, full: bool, promise: Promises
) -> None:
    count = 50 if full else 12
    field = Field(tmp_path, start_sshd_fleet(count))
    field.deploy("v1")
    field.deploy("v2")
    victim = field.hosts[3]
    others = [v for i, v in enumerate(range(count)) if i != 3]
    if when == "before it is armed":
        victim.freeze()
    try:
        with field.journal() as journal:
            control = Control(field.fleet(), journal, current_operator())
            rollout = control.arm_rollback(TARGET).id
            wait_for(lambda: journal.rollout(rollout).plan, "armed")
            if when == "once it is armed":
                victim.freeze()
            started = time.monotonic()
            control.go(rollout)
            ended = field.ended(rollout)
            took = time.monotonic() - started
            told = [
                *journal.events(rollout=rollout, kind="step.done"),
                *journal.events(rollout=rollout, kind="step.failed"),
            ]
        order = [
            str(event.host) for event in sorted(told, key=lambda event: event.seq) if event.body["action"] == "switch"
        ]
        assert sorted(order) == sorted(host.name for host in field.hosts.hosts)
        assert order[-1] == victim.name, "the others were rolled back meanwhile"
        assert [field.running()[i] for i in others] == ["v1"] * len(others)
        assert ended.state is RolloutState.FAILED
        assert victim.name in ended.outcome
        assert f"{count - 1} of {count} hosts run v1" in ended.outcome
        assert took < BUDGET, took
    finally:
        victim.thaw()
    with field.journal() as journal:
        assert [debt.host for debt in journal.debts(TARGET)] == [victim.name]
        again = Control(field.fleet(), journal, current_operator()).retry(rollout)
        assert field.ended(again.id).state is RolloutState.SUCCEEDED
        assert journal.debts(TARGET) == []
    assert field.running() == ["v1"] * count
    promise(12).count("other hosts rolled back meanwhile", len(others))
    promise(12).most("s until the hung one is named", took, BUDGET)
