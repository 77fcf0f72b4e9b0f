"""A deploy that waits for approvals: it begins when enough people agreed to its very plan, and stands in nobody's way. On real hosts."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import Operator, Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.approving import Said, approve, reject, waiting_for
from quarterdeck.rollouts.carried import approvals_carried
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused
from tests.field import Field
from tests.sshd import wait_for

pytestmark = pytest.mark.sshd

MAYA = Operator("maya", 54001, None, "bastion-2")
LENA = Operator("lena", 54002, None, "bastion-2")
MALLORY = Operator("mallory", 54003, None, "bastion-2")
HOSTS = ["host-1", "host-2"]  # of the five that there are


@pytest.fixture
def guarded(field: Field) -> Field:
    """v1 runs on both hosts, and from now on one of two people must agree."""
    field.extra["environments"] = {"staging": {"hosts": HOSTS}}
    field.write()
    field.deploy("v1")
    want(field)
    return field


def want(field: Field, *, who: tuple[str, ...] | None = ("maya", "lena"), **approvals: Any) -> None:
    wanted = {**({"from": who} if who is not None else {}), **approvals}
    field.extra["environments"] = {"staging": {"hosts": HOSTS, "approvals": wanted}}
    field.write()


@contextmanager
def as_operator(field: Field, operator: Operator) -> Iterator[Control]:
    with Journal.open(field.state, operator=operator) as journal:
        yield Control(field.fleet(), journal, operator)


def say(
    field: Field, operator: Operator, rollout: int, plan_hash: str = "", *, yes: bool = True, reason: str = ""
) -> Said:
    with as_operator(field, operator) as control:
        return (approve if yes else reject)(control, rollout, plan_hash, reason)


def queued(field: Field, version: str = "v2", **options: Any) -> Rollout:
    return field.in_state(field.begin("deploy", version, **options), RolloutState.QUEUED)


def test_it_waits_with_its_plan_until_somebody_else_agrees(guarded: Field) -> None:
    waits = queued(guarded)
    assert waits.outcome.startswith("waits for 1 approval by maya or lena (plan ")
    assert guarded.running()[:2] == ["v1", "v1"]
    listed = json.loads(guarded.qd("rollouts", "--json", status=0).stdout)["rollouts"][0]
    assert (listed["status"], listed["approvals"]["missing"]) == ("queued", 1)
    assert listed["approvals"]["until"] > listed["created"]
    assert f"{waits.id} waits for 1 approval by maya or lena until" in guarded.qd("rollouts", status=0).stdout
    assert "  waits    for 1 approval by maya or lena until" in guarded.qd("show", str(waits.id), status=0).stdout

    with pytest.raises(Refused, match="mallory may not approve or reject"):
        say(guarded, MALLORY, waits.id)
    with pytest.raises(Refused, match="mallory may not approve or reject"):
        say(guarded, MALLORY, waits.id, yes=False)
    with pytest.raises(Refused, match="it has changed since it was shown"):
        say(guarded, MAYA, waits.id, "0" * 64)
    said = say(guarded, MAYA, waits.id, waits.plan_hash[:12], reason="CHG-812")
    assert (said.waiting.tally.missing, said.alone) == (0, False)
    assert guarded.ended(waits.id).state is RolloutState.SUCCEEDED
    assert guarded.running()[:2] == ["v2", "v2"]
    with guarded.journal(read_only=True) as journal:
        told = [
            (event.kind, event.who, event.body["reason"]) for event in journal.events(rollout=waits.id, kind="approved")
        ]
        assert told == [("approved", "maya@bastion-2", "CHG-812")]
    assert "approved by maya@bastion-2, because: CHG-812" in guarded.qd("show", str(waits.id), status=0).stdout
    with pytest.raises(Refused, match="is succeeded: it does not wait"):
        say(guarded, LENA, waits.id)


def test_nobody_approves_what_they_asked_for_but_where_that_is_allowed(field: Field) -> None:
    want(field, who=None)
    waits = queued(field)
    assert "nobody approves what they asked for" in field.qd("approve", str(waits.id), "--yes", status=5).stderr
    assert "give it with --plan HASH, or --yes" in field.qd("approve", str(waits.id), status=5).stderr
    done = json.loads(field.qd("reject", str(waits.id), "--reason", "not yet", "--json", status=0).stdout)
    assert (done["verdict"], done["reason"]) == ("rejected", "not yet")
    ended = field.ended(waits.id)
    assert (ended.state, ended.epoch) == (RolloutState.CANCELLED, 0)
    assert ": not yet; nothing was changed" in ended.outcome

    want(field, who=None, prevent_self_review=False)
    again = queued(field)
    done = json.loads(field.qd("approve", "staging/web", "--plan", again.plan_hash[:12], "--json", status=0).stdout)
    assert (done["rollout"], done["verdict"], done["approvals"]["missing"]) == (again.id, "approved", 0)
    assert field.ended(again.id).state is RolloutState.SUCCEEDED


def test_two_who_agree_at_once_count_twice_and_one_who_says_it_twice_counts_once(guarded: Field) -> None:
    want(guarded, count=2)
    waits = queued(guarded)
    for _ in range(3):
        assert say(guarded, MAYA, waits.id).waiting.tally.missing == 1
    guarded.until(waits.id, lambda now: "waits for 1 more approval by maya or lena (approved by maya)" in now.outcome)
    say(guarded, MAYA, waits.id, yes=False)
    guarded.ended(waits.id)

    waits = queued(guarded)
    gate = threading.Barrier(2)

    def at_once(operator: Operator) -> None:
        with as_operator(guarded, operator) as control:
            gate.wait()
            approve(control, waits.id)

    both = [threading.Thread(target=at_once, args=(one,)) for one in (MAYA, LENA)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert guarded.ended(waits.id).state is RolloutState.SUCCEEDED
    with guarded.journal(read_only=True) as journal:
        assert sorted(word.person for word in journal.approvals(waits.id)) == ["lena", "maya"]
        began = [e for e in journal.events(rollout=waits.id, kind="state") if e.body["to"] == "running"]
        assert len(began) == 1


def test_who_agreed_to_a_plan_has_not_agreed_to_the_one_that_the_hosts_want_now(guarded: Field) -> None:
    guarded.write(strategy="recreate")
    waits = queued(guarded)
    (guarded.home(guarded.hosts.hosts[0]) / "current").unlink()  # by hand: there is nothing to stop any more
    say(guarded, MAYA, waits.id, waits.plan_hash)
    changed = guarded.until(waits.id, lambda now: now.plan_hash != waits.plan_hash)
    assert changed.state is RolloutState.QUEUED
    assert f"the hosts have changed, what was said was about plan {waits.plan_hash[:12]}" in changed.outcome
    assert guarded.running()[1] == "v1"
    with pytest.raises(Refused, match="it has changed since it was shown: look at it again"):
        say(guarded, LENA, waits.id, waits.plan_hash)
    assert "(about plan" in guarded.qd("show", str(waits.id), status=0).stdout
    said = say(guarded, MAYA, waits.id, changed.plan_hash)  # the same person, about another plan
    assert said.waiting.tally.missing == 0
    assert guarded.ended(waits.id).state is RolloutState.SUCCEEDED
    assert guarded.running()[:2] == ["v2", "v2"]


def test_a_rollback_waits_for_nobody_and_is_about_what_runs(guarded: Field) -> None:
    want(guarded, prevent_self_review=False)
    waits = queued(guarded)
    say(guarded, MAYA, waits.id)
    guarded.ended(waits.id)
    waits = queued(guarded, "v3")
    back = guarded.rollback()
    assert back["status"] == "succeeded"
    assert guarded.running()[:2] == ["v1", "v1"], "from v2, which runs, and not from v3, which only waited"
    ended = guarded.ended(waits.id)
    assert (ended.state, ended.epoch) == (RolloutState.SUPERSEDED, 0)
    wait_for(lambda: not lock_is_held(guarded.state, waits.id), "its worker to leave")
    with guarded.journal(read_only=True) as journal:
        assert {row.release.version: row.verdict for row in journal.releases("staging/web")} == {
            "v1": "good",
            "v2": "bad",
            "v3": "untried",
        }


def test_its_worker_dies_while_it_waits_and_it_is_approved_meanwhile(guarded: Field) -> None:
    waits = queued(guarded)
    pid = guarded.worker_pid(waits.id)
    guarded.kill_worker(waits.id)
    wait_for(lambda: not lock_is_held(guarded.state, waits.id), "its worker to be gone")
    with guarded.journal(read_only=True) as journal:
        assert journal.rollout(waits.id).state is RolloutState.QUEUED
    guarded.qd("rollouts", status=0)  # any command of who may deploy gives it a new one
    guarded.until(waits.id, lambda now: now.pid != pid)
    assert guarded.running()[:2] == ["v1", "v1"]

    guarded.kill_worker(waits.id)
    wait_for(lambda: not lock_is_held(guarded.state, waits.id), "that worker to be gone")
    say(guarded, MAYA, waits.id)  # and so does a word
    ended = guarded.ended(waits.id)
    assert (ended.state, ended.epoch) == (RolloutState.SUCCEEDED, 2), "no epoch was spent on waiting"
    assert guarded.running()[:2] == ["v2", "v2"]


def test_its_time_is_over_or_it_is_withdrawn(field: Field) -> None:
    want(field, timeout="1s")
    done = field.qd("deploy", "staging/web", "v2", "--wait", status=5)
    assert "waits for 1 approval by maya or lena, and the time for that is over" in " ".join(done.stderr.split())
    want(field)
    waits = queued(field)
    field.qd("abort", str(waits.id), "--detach", status=0)
    assert field.ended(waits.id).outcome.startswith("cancelled by ")
    assert field.running()[:2] == [None, None]
    with field.journal() as journal:
        armed = journal.arm("staging/web", RolloutKind.ROLLBACK, options={"approvals": {"count": 1}})
        assert waiting_for(journal, armed) is None, "a rollback waits for nobody, whatever it carries"
    shown = json.loads(field.qd("show", str(waits.id), "--json", status=0).stdout)
    assert (shown["approvals"], shown["words"]) == (None, [])


def test_who_may_agree_and_not_deploy_says_so_and_starts_no_worker(field: Field) -> None:
    field.extra["operators"] = {"deploy": ["somebody-else"], "approve": ["maya"]}
    want(field, who=None)
    told: dict[str, Any] = {"approvals": {"count": 1, "from": ["maya"], "timeout": 60.0}, "target": {}}
    with field.journal() as journal:
        waits = journal.arm("staging/web", RolloutKind.DEPLOY, options=told).id
        journal.set_plan(waits, {"steps": []}, "a" * 64, to_release=None, from_release=None)
        journal.want_approvals(waits, "waits", told["approvals"])
    said = say(field, MAYA, waits, "a" * 8)
    assert (said.alone, said.waiting.tally.missing) == (True, 0)
    assert not lock_is_held(field.state, waits)
    with as_operator(field, MAYA) as control:
        assert approvals_carried(control.fleet, field.fleet().environments["staging"]) == {
            "count": 1,
            "from": ("maya",),
            "prevent_self_review": True,
            "timeout": 8 * 3600.0,
        }
        with pytest.raises(Refused, match="may not change anything"):
            control.arm_deploy("staging/web", "v2")
