"""A canary that stands still until people agree to going on: whose words count, what ends it otherwise, and that nobody passes it over.
On real hosts."""

import json
import threading
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import Operator, Rollout, RolloutState, Step, StepState
from quarterdeck.rollouts.approving import Said, approve, reject, waiting_for
from quarterdeck.rollouts.closely import look_closely, ways_on
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.promoting import asks_people
from quarterdeck.rollouts.refusals import Refused
from tests.field import TARGET, Field
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]

MAYA = Operator("maya", 54001, None, "bastion-2")
LENA = Operator("lena", 54002, None, "bastion-2")
MALLORY = Operator("mallory", 54003, None, "bastion-2")
BOTH = ["maya", "lena"]
HOSTS = ["host-1", "host-2"]  # of the five that there are


def begin(field: Field, *steps: dict[str, Any], environment: dict[str, Any] | None = None, **service: Any) -> int:
    """v1 on two hosts, and a deploy of v2 by these steps under way."""
    field.extra["environments"] = {"staging": {"hosts": HOSTS}}
    field.write()
    field.deploy("v1")
    field.extra["environments"] = {"staging": {"hosts": HOSTS, **(environment or {})}}
    field.write(strategy={"canary": {"steps": [{"set_weight": 50}, *steps], "max_unavailable": "100%"}}, **service)
    return field.begin("deploy", "v2")


def asks(**approval: Any) -> dict[str, Any]:
    return {"approval": {"from": BOTH, **approval}}


def asked(field: Field, rollout: int, nth: int = 1) -> tuple[Rollout, Step]:
    """Once it stands at its nth approval."""
    found: list[tuple[Rollout, Step]] = []

    def stands(journal: Journal) -> bool:
        now, steps = journal.rollout(rollout), journal.steps(rollout)
        step = asks_people(steps)
        begun = [s for s in steps if s.action == "approval" and s.state is not StepState.PENDING]
        if step is None or now.state is not RolloutState.PAUSED or len(begun) != nth:
            return False
        found[:] = [(now, step)]
        return "waits for" in now.outcome

    field.watch(stands, f"approval {nth} of rollout {rollout}")
    return found[0]


def say(field: Field, operator: Operator, rollout: int, *, yes: bool = True, **how: Any) -> Said:
    with Journal.open(field.state, operator=operator) as journal:
        return (approve if yes else reject)(Control(field.fleet(), journal, operator), rollout, **how)


def new_worker(field: Field, rollout: int) -> None:
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")


def test_it_stands_at_each_approval_until_somebody_agrees_there(field: Field) -> None:
    gate = {"approvals": {"from": BOTH}}
    rollout = begin(field, asks(timeout="30m"), {"pause": {}}, asks(count=2), environment=gate)
    queued = field.in_state(rollout, RolloutState.QUEUED)
    say(field, MAYA, rollout, plan_hash=queued.plan_hash)
    now, step = asked(field, rollout)
    assert now.outcome.startswith("waits for 1 approval by maya or lena until 20")
    assert now.outcome.endswith(f"Z, at step {step.seq} (50 %, 1 of 2 hosts)"), "the gate's word does not count here"
    assert field.running()[:2] == ["v2", "v1"]

    shown = json.loads(field.qd("show", str(rollout), "--json", status=0).stdout)
    assert (shown["approvals"]["step"], shown["approvals"]["missing"]) == (step.seq, 1)
    assert [(word["verdict"], word["step"]) for word in shown["words"]] == [("approved", None)]
    assert shown["plan"]["steps"][step.seq - 1]["approval"]["from"] == BOTH, "in the plan, and so in its hash"
    listed = json.loads(field.qd("rollouts", "--json", status=0).stdout)["rollouts"][0]
    assert listed["approvals"]["step"] == step.seq
    assert f"{rollout} waits for 1 approval by maya or lena until" in field.qd("rollouts", status=0).stdout
    assert f"at step {step.seq} (50 %, 1 of 2 hosts)" in field.qd("show", str(rollout), status=0).stdout
    assert "maya or lena" in field.qd("approve", str(rollout), "--yes", status=5).stderr

    nobody = "nobody promotes it past that"
    assert nobody in field.qd("promote", str(rollout), status=5).stderr
    assert nobody in field.qd("promote", str(rollout), "--full", status=5).stderr
    assert f"qd approve {rollout}" in field.qd("resume", str(rollout), status=5).stderr
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        wishes = [
            control.ask(rollout, "promote", step=step.seq),
            control.ask(rollout, "promote", arguments={"full": True}),
        ]
        wishes += [control.ask(rollout, kind) for kind in ("skip", "retry", "resume")]
        wait_for(lambda: all(journal.request(one.id).state == "refused" for one in wishes), "all are refused")
        assert ways_on(look_closely(journal, rollout))[0] == ()
    for yes in (True, False):
        with pytest.raises(Refused, match="mallory may not approve or reject"):
            say(field, MALLORY, rollout, yes=yes, step=step.seq)
    with pytest.raises(Refused, match="and this is about its beginning"):
        say(field, MAYA, rollout, plan_hash=now.plan_hash)
    with pytest.raises(Refused, match=f"waits at step {step.seq} now, and this is about step 99"):
        say(field, MAYA, rollout, plan_hash=now.plan_hash, step=99)
    with pytest.raises(Refused, match="it has changed since it was shown"):
        say(field, MAYA, rollout, plan_hash="0" * 64, step=step.seq)
    assert field.running()[:2] == ["v2", "v1"]
    said = say(field, MAYA, rollout, plan_hash=now.plan_hash, step=step.seq, reason="CHG-812")
    assert (said.word.step, said.waiting.tally.missing) == (step.seq, 0)

    field.until(rollout, lambda now: "until somebody promotes" in now.outcome)
    with field.journal() as journal:
        Control(field.fleet(), journal, current_operator()).promote(rollout, full=True)
    _, second = asked(field, rollout, 2)
    assert second.seq > step.seq
    for _ in range(2):
        assert say(field, MAYA, rollout).waiting.tally.missing == 1, (
            "her words from before do not count, and this one once"
        )
    field.until(rollout, lambda now: "waits for 1 more approval by maya or lena (approved by maya)" in now.outcome)
    say(field, LENA, rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert field.running()[:2] == ["v2", "v2"]
    told = field.qd("show", str(rollout), status=0).stdout
    assert f"approved by maya@bastion-2 at step {step.seq}, because: CHG-812" in " ".join(told.split())
    assert "approved by maya@bastion-2, lena@bastion-2" in " ".join(told.split())


def test_two_at_once_are_two_and_who_asked_for_it_is_none(field: Field) -> None:
    rollout = begin(field, {"approval": {"count": 2}}, {"approval": {"prevent_self_review": False}})
    _, step = asked(field, rollout)
    assert "nobody approves what they asked for" in field.qd("approve", str(rollout), "--yes", status=5).stderr
    gate = threading.Barrier(2)

    def at_once(operator: Operator) -> None:
        gate.wait()
        say(field, operator, rollout, step=step.seq)

    both = [threading.Thread(target=at_once, args=(one,)) for one in (MAYA, LENA)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    now, second = asked(field, rollout, 2)
    plan = ("--plan", now.plan_hash[:12])
    assert "this is about its beginning" in field.qd("approve", str(rollout), *plan, status=5).stderr
    done = json.loads(field.qd("approve", TARGET, *plan, "--step", str(second.seq), "--json", status=0).stdout)
    assert (done["step"], done["approvals"]["missing"]) == (second.seq, 0)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    with field.journal(read_only=True) as journal:
        assert [(word.step, word.person) for word in journal.approvals(rollout)][2:] == [
            (second.seq, current_operator().person)
        ]
        ends = [e for e in journal.events(rollout=rollout, kind="step.done", limit=100) if e.body["step"] == step.seq]
        assert len(ends) == 1


def test_a_no_takes_it_back_as_an_abort_does(field: Field) -> None:
    rollout = begin(field, asks(), rollback={"automatic": False})
    asked(field, rollout)
    said = say(field, LENA, rollout, yes=False, reason="the graph looks wrong")
    assert said.word.verdict == "rejected"
    ended = field.ended(rollout)
    assert ended.state is RolloutState.ROLLED_BACK
    assert ended.outcome == "rejected by lena@bastion-2: the graph looks wrong; taken back: v1 on 1 host"
    assert field.running()[:2] == ["v1", "v1"]
    with field.journal(read_only=True) as journal:
        row = next(row for row in journal.releases(TARGET) if row.release.version == "v2")
        assert row.verdict == "untried", "a no is about going on, and proves nothing about the release"
        assert waiting_for(journal, ended) is None
    with pytest.raises(Refused, match="it does not wait for an approval"):
        say(field, MAYA, rollout)


def test_its_time_is_over(field: Field) -> None:
    rollout = begin(field, asks(timeout="1s", on_timeout="promote"), asks(timeout="1s"))
    ended = field.ended(rollout)
    over = "it waits for 1 approval by maya or lena, and the time for that is over"
    assert ended.state is RolloutState.ROLLED_BACK
    assert ended.outcome.startswith(f"{over}: it was 20")
    assert field.running()[:2] == ["v1", "v1"]
    with field.journal(read_only=True) as journal:
        steps = [step for step in journal.steps(rollout) if step.action == "approval"]
    assert [step.state for step in steps] == [StepState.DONE, StepState.FAILED]
    assert steps[0].outcome["detail"] == f"nobody had to agree any more: {over}"


def test_its_worker_dies_and_the_next_one_waits_for_what_is_left(field: Field) -> None:
    rollout = begin(field, asks(), asks())
    asked(field, rollout)
    new_worker(field, rollout)
    say(field, MAYA, rollout)  # a word brings the new worker
    _, second = asked(field, rollout, 2)
    new_worker(field, rollout)
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        control.tend()
        assert journal.rollout(rollout).state is RolloutState.ORPHANED
        with pytest.raises(Refused, match="is orphaned: it does not wait"):
            say(field, MAYA, rollout)
        control.resume(rollout)
        asked(field, rollout, 2)
        wanted = [e.body["step"] for e in journal.events(rollout=rollout, kind="approvals.wanted", limit=100)]
        assert wanted.count(second.seq) == 1, "counted once, on the clock of this boot"
        began = [e.body["step"] for e in journal.events(rollout=rollout, kind="step.started", limit=100)]
        assert began.count(second.seq) == 2
    field.qd("abort", str(rollout), "--wait", status=3)
    assert field.ended(rollout).outcome.startswith("aborted by ")
    assert field.running()[:2] == ["v1", "v1"]


def test_what_does_not_hold_meanwhile_stands_still_and_is_not_skipped(field: Field) -> None:
    home = field.home(field.hosts.hosts[0])
    by_hand = {"run": {"run": f"mv {home}/current {home}/away", "where": "here"}}
    rollout = begin(field, by_hand, asks(), rollback={"automatic": False})
    stands = field.until(rollout, lambda now: "somebody else changed it" in now.outcome)
    assert stands.outcome.endswith("; retry or abort")
    assert "an approval: nobody skips it" in field.qd("skip", str(rollout), status=5).stderr
    with field.journal() as journal:
        assert [way.kind for way in ways_on(look_closely(journal, rollout))[0]] == ["retry"]
        past = journal.ask(rollout, "skip")  # by a client of its own
        wait_for(lambda: journal.request(past.id).state == "refused", "the worker knows better")
        assert "an approval is not skipped" in journal.request(past.id).answer
    (home / "away").rename(home / "current")
    field.qd("retry", str(rollout), "--detach", status=0)
    asked(field, rollout)
    say(field, LENA, rollout)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert field.running()[:2] == ["v2", "v2"]
