"""Safeguards of a feature flag go on being measured while nothing else does: at a failure that a person is asked about, and after a paused
rollout has got a new worker. The flag is up all that time.
"""

from pathlib import Path

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.flagged import Flagged, metric
from tests.sshd import wait_for

pytestmark = pytest.mark.sshd

ASK = {"rollback": {"automatic": False}}


@pytest.fixture
def value(flagged: Flagged) -> Path:
    """What the safeguard of the flag finds, well by now."""
    value = flagged.field.directory / "value"
    value.write_text("1\n")
    flagged.measure(metric(f"cat {value}", success="value < 20"))
    return value


def wakes(flagged: Flagged, rollout: int) -> None:
    """Its worker dies, and somebody who only looks at it gives it a new one: nobody has said that it goes on."""
    flagged.field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(flagged.field.state, rollout), "the worker is gone")
    with flagged.field.journal() as journal:
        assert Control(flagged.field.fleet(), journal, current_operator()).wake(rollout)


def says(flagged: Flagged, rollout: int, kind: str) -> None:
    with flagged.field.journal() as journal:
        Control(flagged.field.fleet(), journal, current_operator()).ask(rollout, kind)


def test_at_a_failure_that_a_person_is_asked_about(flagged: Flagged, value: Path) -> None:
    field = flagged.field
    sick = field.directory / "sick"
    sick.touch()
    hook = {"run": {"run": f"test ! -e {sick}", "where": "here"}}
    rollout = flagged.begin({"set_flag": 5}, hook, {"set_flag": 100}, safeguards=["guard"], service=ASK)
    assert "safeguard" not in field.in_state(rollout, RolloutState.PAUSED).outcome
    value.write_text("30\n")
    stands = field.until(rollout, lambda now: "safeguard guard failed: errors: 30" in now.outcome)
    assert stands.state is RolloutState.PAUSED
    assert f"test ! -e {sick}" in stands.outcome, "what it stands at is still told"
    assert stands.outcome.endswith("retry, skip or abort")
    assert flagged.percent == 5, "policy says that a person is asked"
    value.write_text("1\n")
    sick.unlink()
    says(flagged, rollout, "retry")
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert flagged.percent == 100


def test_with_a_new_worker_while_it_is_paused(flagged: Flagged, value: Path) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 5}, {"pause": "1h"}, {"set_flag": 100}, safeguards=["guard"])
    flagged.waiting(rollout, "pause")
    says(flagged, rollout, "pause")
    field.in_state(rollout, RolloutState.PAUSED)
    wakes(flagged, rollout)
    value.write_text("30\n")
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert "safeguard guard failed: errors: 30" in ended.outcome
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)


def test_with_a_new_worker_and_a_person_who_is_asked(flagged: Flagged, value: Path) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 5}, {"pause": "1h"}, safeguards=["guard"], service=ASK)
    flagged.waiting(rollout, "pause")
    says(flagged, rollout, "pause")
    field.in_state(rollout, RolloutState.PAUSED)
    wakes(flagged, rollout)
    value.write_text("30\n")
    stands = field.until(rollout, lambda now: "safeguard guard failed: errors: 30" in now.outcome)
    assert (stands.state, flagged.percent) == (RolloutState.PAUSED, 5)
    value.write_text("1\n")
    says(flagged, rollout, "retry")
    field.in_state(rollout, RolloutState.RUNNING)
    says(flagged, rollout, "promote")
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert flagged.percent == 5
