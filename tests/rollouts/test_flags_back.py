"""A flag comes down before the hosts go back: with an abort at every step, a failure, a rollback, and when not all of it can be done.

Seen to fail with the hosts going back first (promise 24, wherever it stands after the flag was raised).
"""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutState, StepState
from quarterdeck.rollouts.control import Control
from tests.counts import counts_are_full
from tests.field import HEALTH, TARGET
from tests.flagged import UNTIL_PROMOTED, Flagged, metric
from tests.sshd import wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


STANDS: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "before it is up": ((UNTIL_PROMOTED, {"set_flag": 5}), "pause"),
    "until promoted": (({"set_flag": 5}, UNTIL_PROMOTED), "pause"),
    "for a time": (({"set_flag": 5}, {"pause": "1h"}), "pause"),
    "approval": (({"set_flag": 5}, {"approval": {}}), "approval"),
    "analysis": (({"set_flag": 5}, {"analysis": ["long"]}), "analysis"),
    "command": (({"set_flag": 5}, {"run": {"run": "sleep 600", "where": "here"}}), "hook"),
    "bake": (({"set_flag": 5}, {"set_flag": 60}, {"bake": "1h"}), "bake"),
}
TROUBLE = ("well", "ill", "measured by nobody")
NOBODY = {
    "name": "nobody",
    "metric": {"prometheus": {"url": "http://127.0.0.1:9", "query": "up"}},
    "interval": "1s",
    "consecutive_error_limit": 100,
    "success": "value == 1",
}
ONLY_V2_CAN_BE_ILL = {"command": "test ! -e ../../sick || ! grep -q v2 ../../running", "interval": "1s"}


@pytest.mark.trust(24)
@pytest.mark.parametrize("stands", list(STANDS))
def test_abort_takes_it_back_wherever_it_stands(flagged: Flagged, stands: str, promise: Promises) -> None:
    """Promise 24, of this strategy: the release is well, ill, or nobody answers who measures."""
    field = flagged.field
    steps, action = STANDS[stands]
    field.extra["analyses"] = {"long": [metric("true", count=600, interval="1s")], "nobody": [NOBODY]}
    one = TROUBLE[list(STANDS).index(stands) % len(TROUBLE)]
    for trouble in TROUBLE if counts_are_full() else (one,):
        guarded: dict[str, Any] = {"safeguards": ["nobody"]} if trouble == "measured by nobody" else {}
        version = (
            f"v2.{TROUBLE.index(trouble)}"  # one that was found to be ill before the abort came does not go out again
        )
        field.make_version(version)
        rollout = flagged.begin(*steps, version=version, service={"health": ONLY_V2_CAN_BE_ILL}, **guarded)
        flagged.waiting(rollout, action)
        raised = flagged.percent
        sick = field.home(field.hosts[3]) / "sick"
        if trouble == "ill":
            sick.touch()
        field.qd("abort", str(rollout), "--wait", status=3)
        sick.unlink(missing_ok=True)
        ended = field.ended(rollout)
        assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
        assert (flagged.percent, field.running()) == (0, ["v1"] * 5), trouble
        with field.journal(read_only=True) as journal:
            back = [step for step in journal.steps(rollout) if step.body.get("back")]
            first = [s for s in journal.steps(rollout) if s.action == "switch" and s.body["release"].startswith("v1")]
            assert [step.state for step in back] == ([StepState.DONE] * 2 if raised else [])
            if raised:
                assert back[0].batch < min(s.batch for s in first), "the flag first, hosts after"
        if raised:
            assert "flag checkout back to 0 %" in ended.outcome
        promise(24).count("aborts of the strategy flag")


def test_a_release_that_does_not_hold_takes_the_flag_along(flagged: Flagged) -> None:
    field = flagged.field
    gated = {"command": "test ! -e ../../sick", "interval": "1s", "healthy_deadline": "1s"}
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED, service={"health": gated})
    flagged.waiting(rollout, "pause")
    sick = field.home(field.hosts[3]) / "sick"
    sick.touch()
    field.until(rollout, lambda now: now.state is RolloutState.ROLLING_BACK or bool(now.ended))
    sick.unlink()
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)


@pytest.mark.parametrize("when", ["before it is set", "after it is set"])
def test_killed_around_the_very_change(flagged: Flagged, when: str) -> None:
    """The worker dies by a command that it runs itself: right before, or right after it was set and before that is journalled."""
    field = flagged.field
    value, bait = field.directory / "percent", field.directory / "bait"
    value.write_text("0\n")
    bait.touch()
    die = f"if rm {bait} 2>/dev/null; then kill -9 $PPID; exec sleep 5; fi"  # what comes after it is never done
    sets = [die, f'echo "$1" > {value}'] if when.startswith("before") else [f'echo "$1" > {value}', die]
    field.extra["flags"]["checkout"] = {"command": {"read": f"cat {value}", "set": "; ".join(sets)}}
    rollout = flagged.begin({"set_flag": 5}, {"set_flag": 50})
    wait_for(lambda: not bait.exists(), "it dies")
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    flagged.resume(rollout)
    ended = field.ended(rollout)
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert flagged.sets(rollout) == [(0, 5), (5, 50)]
    assert value.read_text() == "50\n"


def test_killed_while_it_is_taken_back(flagged: Flagged) -> None:
    field = flagged.field
    value, bait = field.directory / "percent", field.directory / "bait"
    value.write_text("0\n")
    bait.touch()
    die = f'if [ "$1" = 0 ] && rm {bait} 2>/dev/null; then kill -9 $PPID; exec sleep 5; fi'
    field.extra["flags"]["checkout"] = {"command": {"read": f"cat {value}", "set": f'{die}; echo "$1" > {value}'}}
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED)
    flagged.waiting(rollout, "pause")
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
    wait_for(lambda: not bait.exists(), "it dies")
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    flagged.resume(rollout)
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert (value.read_text(), field.running()) == ("0\n", ["v1"] * 5)


def test_a_flag_that_can_not_be_taken_back_stops_no_host_and_is_said(flagged: Flagged) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED)
    flagged.waiting(rollout, "pause")
    text = flagged.files[0].read_text()
    flagged.files[0].unlink()
    field.qd("abort", str(rollout), "--wait", status=4)
    ended = field.ended(rollout)
    assert ended.state is RolloutState.FAILED
    assert field.running() == ["v1"] * 5, "the hosts are back all the same"
    assert "not taken back on flag checkout: flag checkout on host-1" in ended.outcome
    assert "there is no file ~/flags.json" in ended.outcome
    assert f"qd rollback {TARGET}" in ended.outcome
    flagged.files[0].write_text(text)
    field.rollback()
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)


def test_a_flag_that_can_not_be_read_is_not_raised(flagged: Flagged) -> None:
    """Somebody has pulled the kill switch, and one of its hosts can't be asked: what it was before would be more than it is."""
    field = flagged.field
    flagged.by_hand(10)
    rollout = flagged.begin({"set_flag": 60}, UNTIL_PROMOTED)
    flagged.waiting(rollout, "pause")
    text = flagged.files[0].read_text()
    flagged.by_hand(0)
    flagged.files[0].unlink()
    off = flagged.files[1].read_text()
    field.qd("abort", str(rollout), "--wait", status=4)
    assert flagged.files[1].read_text() == off, "it stays off where it is off"
    ended = field.ended(rollout)
    assert ended.state is RolloutState.FAILED
    assert field.running() == ["v1"] * 5, "the hosts are back all the same"
    assert "not taken back on flag checkout: flag checkout on host-1" in ended.outcome
    assert "unread it might have been raised to 10 %" in ended.outcome
    assert f"qd rollback {TARGET}" in ended.outcome
    flagged.files[0].write_text(text)  # the kill switch did not reach it: it is at 60 %
    field.rollback()
    assert '["on", 10]' in flagged.files[0].read_text()
    assert flagged.files[1].read_text() == off


def test_a_flag_that_is_taken_back_at_the_second_try_is_back(flagged: Flagged) -> None:
    field = flagged.field
    value, bait = field.directory / "percent", field.directory / "bait"
    value.write_text("0\n")
    bait.touch()
    fails_once = f'if [ "$1" = 0 ] && rm {bait} 2>/dev/null; then exit 1; fi; echo "$1" > {value}'
    field.extra["flags"]["checkout"] = {"command": {"read": f"cat {value}", "set": fails_once}}
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED)
    flagged.waiting(rollout, "pause")
    field.qd("abort", str(rollout), "--wait", status=3)
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert (value.read_text(), field.running()) == ("0\n", ["v1"] * 5)


def test_a_rollback_puts_the_flag_back_first(flagged: Flagged) -> None:
    field = flagged.field
    flagged.by_hand(3)
    rollout = flagged.begin({"set_flag": 50}, {"set_flag": 100})
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert flagged.percent == 100
    field.rollback()
    assert (flagged.percent, field.running()) == (3, ["v1"] * 5)
    with field.journal(read_only=True) as journal:
        last = journal.rollouts(TARGET, limit=1)[0]
        steps = journal.steps(last.id)
        assert (steps[0].action, steps[0].batch, steps[0].body["percent"]) == ("flag", 0, 3)
        assert min(step.batch for step in steps[1:]) == 1
        assert last.plan["summary"].endswith("flag checkout back to 3 % first")


def test_a_rollback_of_what_no_flag_brought_leaves_it_alone(flagged: Flagged) -> None:
    field = flagged.field
    field.ended(flagged.begin({"set_flag": 100}))
    field.write(strategy={"rolling": {"max_unavailable": "100%"}})
    field.deploy("v3")
    field.rollback()
    assert (flagged.percent, field.running()) == (100, ["v2"] * 5)
    del field.extra["flags"]
    field.write()
    field.rollback(arguments=["--to", "v1"])
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5), "as it was declared when v2 came"


def test_a_rollback_while_it_goes_up_takes_over(flagged: Flagged) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED)
    flagged.waiting(rollout, "pause")
    field.rollback()
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)
    assert field.ended(rollout).state is RolloutState.SUPERSEDED


def test_what_supersedes_it_begins_where_it_was_before(flagged: Flagged) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED)
    flagged.waiting(rollout, "pause")
    second = field.begin("deploy", "v3", supersede=True)
    flagged.waiting(second, "pause")
    assert flagged.sets(second) == [(5, 0), (0, 5)]
    field.qd("abort", str(second), "--wait", status=3)
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)


def test_a_flag_on_a_host_that_goes_away_takes_the_release_back(flagged: Flagged, tmp_path: Path) -> None:
    field = flagged.field
    host = field.hosts[1]
    field.service["health"] = HEALTH
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED, {"set_flag": 100})
    flagged.waiting(rollout, "pause")
    host.stop()
    try:
        field.qd("promote", str(rollout), "--detach", status=0)
        ended = field.ended(rollout, 90)
        assert ended.state is RolloutState.FAILED
        assert "not taken back on" in ended.outcome
        assert "flag checkout" in ended.outcome
    finally:
        host.start()
    field.rollback()
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)
