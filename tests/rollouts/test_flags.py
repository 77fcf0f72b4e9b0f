"""The strategy `flag` on real hosts: all of them first, then a flag in a file on two of them goes up, and comes down with whatever goes
wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutState, StepState
from quarterdeck.rollouts.control import Control
from tests.field import HEALTH, TARGET, Field
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

UNTIL_PROMOTED: dict[str, Any] = {"pause": {}}
OTHER = '"other": {"state": "ENABLED", "variants": {"a": 1.0}, "defaultVariant": "a"}'
DEFINITIONS = """{"flags": {OTHER,
 "new": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}
""".replace("OTHER", OTHER)


class Flagged:
    """A field whose flag `checkout` is in a file on its first two hosts. It is written before v1 runs."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.files = [host.directory / "home" / "flags.json" for host in field.hosts.hosts[:2]]
        for file in self.files:
            file.write_text(DEFINITIONS)
        names = [host.name for host in field.hosts.hosts[:2]]
        flagd = {"hosts": names, "file": "~/flags.json", "flag": "new"}
        field.extra = {"flags": {"checkout": {"flagd": flagd}}}
        field.write()
        field.deploy("v1")

    def begin(self, *steps: dict[str, Any], version: str = "v2", **keys: Any) -> int:
        self.strategy(*steps, **keys)
        return self.field.begin("deploy", version)

    def strategy(self, *steps: dict[str, Any], service: dict[str, Any] | None = None, **keys: Any) -> None:
        flag = {"use": "checkout", "steps": list(steps), "max_unavailable": "100%", **keys}
        self.field.write(strategy={"flag": flag}, **(service or {}))

    def measure(self, *metrics: dict[str, Any]) -> None:
        self.field.extra["analyses"] = {"guard": list(metrics)}

    @property
    def percent(self) -> float | str:
        """What the files themselves say."""
        found = {json.dumps(json.loads(file.read_text())["flags"]["new"].get("targeting")) for file in self.files}
        if len(found) > 1:
            return "differ"
        targeting = json.loads(found.pop())
        return float(targeting["fractional"][0][1]) if targeting else 0.0

    def by_hand(self, percent: int) -> None:
        for file in self.files:
            whole = json.loads(file.read_text())
            share = {"fractional": [["on", percent], ["off", 100 - percent]]}
            whole["flags"]["new"] |= {"targeting": share, "defaultVariant": "off"}
            file.write_text(json.dumps(whole))

    def sets(self, rollout: int) -> list[tuple[float, float]]:
        with self.field.journal(read_only=True) as journal:
            events = journal.events(rollout=rollout, kind="flag.set", limit=100)
        return [(event.body["before"]["percent"], event.body["after"]["percent"]) for event in events]

    def waiting(self, rollout: int, action: str, nth: int = 1) -> None:
        def reached() -> bool:
            with self.field.journal(read_only=True) as journal:
                seen = [s for s in journal.steps(rollout) if s.action == action and s.state is not StepState.PENDING]
                return len(seen) == nth and seen[-1].state is StepState.STARTED

        wait_for(reached, f"{action} {nth} of rollout {rollout}", 40)

    def resume(self, rollout: int) -> None:
        with self.field.journal() as journal:
            Control(self.field.fleet(), journal, current_operator()).resume(rollout)

    def new_worker(self, rollout: int) -> None:
        self.field.kill_worker(rollout)
        wait_for(lambda: not lock_is_held(self.field.state, rollout), "the worker is gone", 5)
        self.resume(rollout)


@pytest.fixture
def flagged(field: Field) -> Flagged:
    return Flagged(field)


def metric(run: str, **keys: Any) -> dict[str, Any]:
    return {"name": "errors", "metric": {"command": run}, "interval": "200ms", **keys}


def test_all_hosts_first_and_then_up_step_by_step(flagged: Flagged) -> None:
    field = flagged.field
    rollout = flagged.begin(
        UNTIL_PROMOTED,
        {"set_flag": 5},
        UNTIL_PROMOTED,
        {"set_flag": 50},
        {"pause": "1s"},
        {"set_flag": 100},
        {"bake": "1s"},
    )
    field.in_state(rollout, RolloutState.PAUSED)
    assert (field.running(), flagged.percent) == (["v2"] * 5, 0)
    field.qd("promote", str(rollout), "--detach", status=0)
    flagged.waiting(rollout, "pause", 2)
    stands = field.in_state(rollout, RolloutState.PAUSED)
    assert stands.outcome == f"waits at 5 % of flag checkout, until somebody promotes: qd promote {rollout}"
    assert flagged.percent == 5
    field.qd("promote", str(rollout), "--wait", status=0)
    assert flagged.percent == 100
    assert flagged.sets(rollout) == [(0, 5), (5, 50), (50, 100)]
    assert OTHER in flagged.files[0].read_text(), "other flags are left alone"
    with field.journal(read_only=True) as journal:
        here = [step.action for step in journal.steps(rollout) if step.host == "(here)"]
        assert here == ["pause", "flag", "pause", "flag", "pause", "flag", "bake", "flag"]
        plan = journal.rollout(rollout).plan
        assert "then flag checkout from 0 % to 100 % in 3 steps" in plan["summary"]
    shown = field.qd("show", str(rollout), status=0).stdout
    assert "0 % → 5 %" in shown
    assert "checkout: 0 % → 5 %" in field.qd("watch", str(rollout), status=0).stdout


@pytest.mark.parametrize(
    ("steps", "action", "nth"),
    [
        ((UNTIL_PROMOTED, {"set_flag": 5}), "pause", 1),
        (({"set_flag": 5}, UNTIL_PROMOTED), "pause", 1),
        (({"set_flag": 5}, {"pause": "1h"}), "pause", 1),
        (({"set_flag": 5}, {"approval": {}}), "approval", 1),
        (({"set_flag": 5}, {"analysis": ["long"]}), "analysis", 1),
        (({"set_flag": 5}, {"run": {"run": "sleep 600", "where": "here"}}), "hook", 1),
        (({"set_flag": 5}, {"set_flag": 60}, {"bake": "1h"}), "bake", 1),
    ],
    ids=["before it is up", "until promoted", "for a time", "approval", "analysis", "command", "bake"],
)
def test_abort_takes_it_back_wherever_it_stands(
    flagged: Flagged, steps: tuple[dict[str, Any], ...], action: str, nth: int
) -> None:
    field = flagged.field
    field.extra["analyses"] = {"long": [metric("true", count=600, interval="1s")]}
    rollout = flagged.begin(*steps)
    flagged.waiting(rollout, action, nth)
    raised = flagged.percent
    field.qd("abort", str(rollout), "--wait", status=3)
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK, ended.outcome
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)
    with field.journal(read_only=True) as journal:
        back = [step for step in journal.steps(rollout) if step.body.get("back")]
        first = [s for s in journal.steps(rollout) if s.action == "switch" and s.body["release"].startswith("v1")]
        assert [step.state for step in back] == ([StepState.DONE] if raised else [])
        assert all(step.batch < min(s.batch for s in first) for step in back), "the flag first, hosts after"
    if raised:
        assert "flag checkout back to 0 %" in ended.outcome


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


def test_a_safeguard_that_fails_takes_it_back_at_once(flagged: Flagged) -> None:
    field = flagged.field
    value = field.directory / "value"
    value.write_text("1\n")
    flagged.measure(metric(f"cat {value}", success="value < 20", count=1))
    rollout = flagged.begin({"set_flag": 5}, {"pause": "1h"}, {"set_flag": 100}, safeguards=["guard"])
    flagged.waiting(rollout, "pause")

    def measured() -> int:
        with field.journal(read_only=True) as journal:
            return len(journal.events(rollout=rollout, kind="analysis.measured", limit=100))

    wait_for(lambda: measured() >= 3, "it is measured again and again, whatever its count", 20)
    assert flagged.percent == 5
    value.write_text("30\n")
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert "safeguard guard failed: errors: 30" in ended.outcome
    assert (flagged.percent, field.running()) == (0, ["v1"] * 5)
    with field.journal(read_only=True) as journal:
        assert next(row.verdict for row in journal.releases(TARGET) if row.release.version == "v2") == "bad"
    assert "errors: failed" in field.qd("show", str(rollout), status=0).stdout


def test_a_safeguard_that_can_not_tell_lets_nobody_else_get_it(flagged: Flagged) -> None:
    field = flagged.field
    value = field.directory / "value"
    value.write_text("1.5\n")
    flagged.measure(metric(f"cat {value}", success="value < 1", failure="value > 2"))
    rollout = flagged.begin({"set_flag": 5}, {"pause": "1s"}, {"set_flag": 100}, safeguards=["guard"])
    stands = field.in_state(rollout, RolloutState.PAUSED)
    assert "safeguard guard can't tell: errors: 1.5" in stands.outcome
    assert flagged.percent == 5
    value.write_text("0.5\n")
    flagged.resume(rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert flagged.percent == 100


def test_without_automatic_taking_back_a_person_is_asked_and_may_try_again(flagged: Flagged) -> None:
    field = flagged.field
    value = field.directory / "value"
    value.write_text("30\n")
    flagged.measure(metric(f"cat {value}", success="value < 20"))
    rollout = flagged.begin(
        {"set_flag": 5}, {"pause": "2s"}, safeguards=["guard"], service={"rollback": {"automatic": False}}
    )
    stands = field.in_state(rollout, RolloutState.PAUSED)
    assert "safeguard guard failed" in stands.outcome
    assert flagged.percent == 5
    value.write_text("1\n")
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).retry(rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED


def test_a_killed_worker_s_place_is_taken_wherever_it_was(flagged: Flagged) -> None:
    field = flagged.field
    flagged.measure(metric("echo 1", success="value < 20"))
    rollout = flagged.begin(
        {"set_flag": 5}, {"pause": "5s"}, {"set_flag": 50}, UNTIL_PROMOTED, {"set_flag": 100}, safeguards=["guard"]
    )
    flagged.waiting(rollout, "pause")
    flagged.new_worker(rollout)
    flagged.waiting(rollout, "pause", 2)
    field.in_state(rollout, RolloutState.PAUSED)
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone", 5)
    assert flagged.percent == 50
    field.qd("promote", str(rollout), "--wait", status=0)
    assert flagged.sets(rollout) == [(0, 5), (5, 50), (50, 100)]


@pytest.mark.parametrize("when", ["before it is set", "after it is set"])
def test_killed_around_the_very_change(flagged: Flagged, when: str) -> None:
    """The worker dies by a command that it runs itself: right before, or right after it was set and before that is journalled."""
    field = flagged.field
    value, bait = field.directory / "percent", field.directory / "bait"
    value.write_text("0\n")
    bait.touch()
    die = f"if rm {bait} 2>/dev/null; then kill -9 $PPID; sleep 5; fi"
    sets = [die, f'echo "$1" > {value}'] if when.startswith("before") else [f'echo "$1" > {value}', die]
    field.extra["flags"]["checkout"] = {"command": {"read": f"cat {value}", "set": "; ".join(sets)}}
    rollout = flagged.begin({"set_flag": 5}, {"set_flag": 50})
    wait_for(lambda: not bait.exists(), "it dies", 30)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone", 5)
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
    die = f'if [ "$1" = 0 ] && rm {bait} 2>/dev/null; then kill -9 $PPID; sleep 5; fi'
    field.extra["flags"]["checkout"] = {"command": {"read": f"cat {value}", "set": f'{die}; echo "$1" > {value}'}}
    rollout = flagged.begin({"set_flag": 5}, UNTIL_PROMOTED)
    flagged.waiting(rollout, "pause")
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).ask(rollout, "abort")
    wait_for(lambda: not bait.exists(), "it dies", 30)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone", 5)
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


def test_changed_by_hand_it_goes_no_further_and_what_is_off_stays_off(flagged: Flagged) -> None:
    field = flagged.field
    flagged.by_hand(10)
    rollout = flagged.begin({"set_flag": 20}, UNTIL_PROMOTED, {"set_flag": 100})
    flagged.waiting(rollout, "pause")
    flagged.by_hand(0)
    field.qd("promote", str(rollout), "--wait", status=3)
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert (
        "flag checkout on host-1, host-2 is at 0 %, and this rollout had left it at 20 %: somebody else changed it"
        in (ended.outcome)
    )
    assert flagged.percent == 0, "it was at 10 before, and somebody has switched it off since"
    with field.journal(read_only=True) as journal:
        assert next(row.verdict for row in journal.releases(TARGET) if row.release.version == "v2") != "bad"


def test_changed_by_hand_during_the_bake_is_no_success(flagged: Flagged) -> None:
    field = flagged.field
    rollout = flagged.begin({"set_flag": 20}, {"bake": "3s"})
    flagged.waiting(rollout, "bake")
    flagged.by_hand(70)
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert flagged.percent == 0


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


def test_where_everybody_gets_it_already_nothing_is_lowered_and_that_is_told(flagged: Flagged) -> None:
    field = flagged.field
    field.ended(flagged.begin({"set_flag": 5}, {"set_flag": 100}))
    result = field.deploy("v3")
    assert (flagged.percent, field.running()) == (100, ["v3"] * 5)
    with field.journal(read_only=True) as journal:
        [warning] = journal.rollout(result["rollout"]).plan["warnings"]
    assert warning == (
        "flag checkout is at 100 % already: whoever gets it has the new release as soon as a host does, "
        "and set_flag: 5, set_flag: 100 changes nothing"
    )


def test_the_same_release_once_more_only_raises_the_flag(flagged: Flagged) -> None:
    field = flagged.field
    field.ended(flagged.begin({"set_flag": 5}, {"set_flag": 100}))
    flagged.by_hand(0)
    starts = [field.starts(host) for host in field.hosts.hosts]
    assert field.ended(field.begin("deploy", "v2")).state is RolloutState.SUCCEEDED
    assert flagged.percent == 100
    assert [field.starts(host) for host in field.hosts.hosts] == starts


@pytest.mark.parametrize("broken", ["no file", "rules"])
def test_what_can_not_be_read_begins_nothing(flagged: Flagged, broken: str) -> None:
    field = flagged.field
    if broken == "no file":
        flagged.files[1].unlink()
    else:
        for file in flagged.files:
            whole = json.loads(file.read_text())
            whole["flags"]["new"]["targeting"] = {"if": [{"var": "beta"}, "on", "off"]}
            file.write_text(json.dumps(whole))
    rollout = flagged.begin({"set_flag": 5})
    ended = field.ended(rollout)
    assert ended.state is RolloutState.CANCELLED
    assert "nothing was changed" in ended.outcome
    assert ("there is no file" if broken == "no file" else "its targeting is no share of on and off") in ended.outcome
    assert field.running() == ["v1"] * 5


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
