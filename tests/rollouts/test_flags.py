"""The strategy `flag` on real hosts: all of them first, then a flag goes up step by step, with safeguards beside."""

import json

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.backends.flags.unleash_server import TOKEN, unleash_server
from tests.field import TARGET
from tests.flagged import OTHER, UNTIL_PROMOTED, Flagged, metric
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


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

    wait_for(lambda: measured() >= 3, "it is measured again and again, whatever its count")
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
    rollout = flagged.begin({"set_flag": 5}, {"pause": "4s"}, {"set_flag": 100}, safeguards=["guard"])
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
        {"set_flag": 5}, {"pause": "6s"}, safeguards=["guard"], service={"rollback": {"automatic": False}}
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
        {"set_flag": 5}, {"pause": "8s"}, {"set_flag": 50}, UNTIL_PROMOTED, {"set_flag": 100}, safeguards=["guard"]
    )
    flagged.waiting(rollout, "pause")
    flagged.new_worker(rollout)
    flagged.waiting(rollout, "pause", 2)
    field.in_state(rollout, RolloutState.PAUSED)
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    assert flagged.percent == 50
    field.qd("promote", str(rollout), "--wait", status=0)
    assert flagged.sets(rollout) == [(0, 5), (5, 50), (50, 100)]


def test_some_hosts_only_and_the_flag_stays_where_it_is(flagged: Flagged) -> None:
    field = flagged.field
    flagged.strategy({"set_flag": 5})
    rollout = field.begin("deploy", "v2", only=[field.hosts[0].name])
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert (flagged.percent, field.running().count("v2")) == (0, 1)
    with field.journal(read_only=True) as journal:
        [warning] = journal.rollout(rollout).plan["warnings"]
    assert warning == "only some hosts get it: flag checkout stays where it is"


def test_a_secret_of_a_flag_is_nowhere(flagged: Flagged) -> None:
    """The token of a server, which refuses it and says it back."""
    field = flagged.field
    with unleash_server() as server:
        server.add("new-checkout")
        server.said_back = True
        token = field.directory / "token"
        token.write_text("hunter2-hunter2-hunter2\n")
        unleash = {
            "url": server.url,
            "flag": "new-checkout",
            "environment": "production",
            "token": {"file": str(token)},
        }
        field.extra["flags"]["checkout"] = {"unleash": unleash}
        rollout = flagged.begin({"set_flag": 5}, {"set_flag": 100})
        ended = field.ended(rollout)
        assert ended.state is RolloutState.CANCELLED
        assert "HTTP 401, no such token: ****" in ended.outcome
        said = field.qd("flag", status=1)
        assert "hunter2" not in said.stdout + said.stderr
        token.write_text(TOKEN)
        assert field.ended(flagged.begin({"set_flag": 5}, {"set_flag": 100})).state is RolloutState.SUCCEEDED
        assert (server.rollout("new-checkout"), server.flags["new-checkout"]["enabled"]) == ("100", True)
        field.rollback()
        assert not server.flags["new-checkout"]["enabled"]
    for file in field.state.rglob("*"):
        assert not file.is_file() or not any(secret in file.read_bytes() for secret in (b"hunter2", TOKEN.encode()))


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
    rollout = flagged.begin({"set_flag": 20}, {"bake": "8s"})
    flagged.waiting(rollout, "bake")
    flagged.by_hand(70)
    assert field.ended(rollout).state is RolloutState.ROLLED_BACK
    assert flagged.percent == 0


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
