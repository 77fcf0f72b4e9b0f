"""Plans with a flag in them, as values: what comes when, and what is to be put back."""

from typing import Any

import pytest

from quarterdeck.config.model import Bake, Hook, Hooks, HookWhere, Pause, Run, SetFlag, Share, Strategy
from quarterdeck.history.records import Step, StepState
from quarterdeck.rollouts.plans.flags import (
    FlagBefore,
    flag_words,
    flags_first,
    flags_summary,
    milestones,
    read_back,
    to_put_back,
    up_already,
)
from quarterdeck.rollouts.plans.plan import BASTION, Action, HostNow, Plan, plan_deploy, plan_rollback

OFF = FlagBefore("checkout", 0)
STRATEGY = Strategy(
    kind="flag",
    flag="checkout",
    max_unavailable=Share(count=1),
    safeguards=("guard",),
    steps=(
        SetFlag(5),
        Pause(60.0),
        Run(Hook("smoke")),
        Run(Hook("tell", HookWhere.HERE)),
        SetFlag(50),
        Pause(),
        SetFlag(100),
        Bake(600.0),
    ),
)


def host(name: str, current: str = "v1-a") -> HostNow:
    return HostNow(name, current, True, frozenset({current}))


def plan(hosts: list[HostNow], before: FlagBefore = OFF, strategy: Strategy = STRATEGY) -> Plan:
    then = milestones(hosts, "v2-b", strategy, before)
    hooks = Hooks(after=(Hook("warm"),))
    return plan_deploy(hosts, "v2-b", strategy, hooks, then=then, last=read_back(then))


def told(plan: Plan) -> list[str]:
    """Each wave in a line."""
    waves: dict[int, list[str]] = {}
    for step in plan.steps:
        word = flag_words(step.body) if step.action is Action.FLAG else str(step.body.get("run", ""))
        waves.setdefault(step.wave, []).append(" ".join(filter(None, (step.host, step.action, word))))
    return [", ".join(waves[wave]) for wave in sorted(waves)]


def test_all_hosts_by_batches_then_the_flag_then_the_bake_then_what_is_read_back() -> None:
    assert told(plan([host("a"), host("b")])) == [
        "a stage, b stage",
        "a switch",
        "b switch",
        "a hook warm",
        "(here) flag checkout to 5 %",
        "(here) pause",
        "a verify, b verify",
        "a hook smoke",
        "(here) hook tell",
        "(here) flag checkout to 50 %",
        "(here) pause",
        "a verify, b verify",
        "(here) flag checkout to 100 %",
        "(here) bake",
        "(here) flag checkout is at 100 %",
        "a verify, b verify",
        "a finish, b finish",
    ]


def test_each_step_says_what_it_was_before_and_the_first_names_the_safeguards() -> None:
    flags = [step.body for step in plan([host("a")]).steps if step.action is Action.FLAG]
    assert all(body["before"] == {"percent": 0, "enabled": True} for body in flags)
    assert [body.get("analyses") for body in flags] == [["guard"], None, None, None]
    pauses = [step.body for step in plan([host("a")]).steps if step.action is Action.PAUSE]
    assert [(body["flag"], body["weight"]) for body in pauses] == [("checkout", 5), ("checkout", 50)]


def test_what_more_get_already_is_left_out_and_guarded_all_the_same() -> None:
    before = FlagBefore("checkout", 50)
    flags = [step.body for step in plan([host("a")], before).steps if step.action is Action.FLAG]
    assert [(body["percent"], bool(body.get("verify"))) for body in flags] == [(50, True), (100, False), (100, True)]
    assert flags[0]["analyses"] == ["guard"]
    assert "set_flag: 5, set_flag: 50 changes nothing" in up_already(STRATEGY, before)
    assert up_already(STRATEGY, OFF) == ""


def test_one_that_is_switched_off_reaches_nobody() -> None:
    flags = [step.body for step in plan([host("a")], FlagBefore("checkout", 50, False)).steps if "flag" in step.body]
    assert [body["percent"] for body in flags if "percent" in body] == [5, 50, 100, 100]
    assert flags[0]["before"] == {"percent": 50, "enabled": False}


def test_hosts_that_have_it_are_left_alone_and_only_the_flag_goes_up() -> None:
    settled = [host("a", "v2-b"), host("b", "v2-b")]
    waves = told(plan(settled))
    assert waves[0] == "(here) flag checkout to 5 %"
    assert "a hook smoke" in waves
    assert "a hook warm" not in waves
    assert not any("switch" in wave or "stage" in wave for wave in waves)
    assert told(plan(settled, FlagBefore("checkout", 100))) == ["a verify, b verify", "a finish, b finish"]


def test_a_flag_goes_back_before_anything_and_is_looked_at_once_more_before_cleaning_up() -> None:
    rollback = plan_rollback([host("a", "v2-b"), host("b", "v2-b")], "v1-a", Share(percent=100.0))
    assert told(flags_first(rollback, [FlagBefore("checkout", 3, of=7)], and_last=True)) == [
        "(here) flag checkout back to 3 %",
        "a stage, a switch, b stage, b switch",
        "(here) flag checkout back to 3 %",
        "a finish, b finish",
    ]
    assert flags_first(rollback, [], and_last=True) is rollback
    assert told(flags_first(rollback, [OFF]))[:2] == [
        "(here) flag checkout back to 0 %",
        "a stage, a switch, b stage, b switch",
    ]


def test_the_summary_says_it_in_words() -> None:
    assert flags_summary(plan([host("a")])) == "then flag checkout from 0 % to 100 % in 3 steps"
    rollback = plan_rollback([host("a", "v2-b")], "v1-a", Share(percent=100.0))
    back = flags_first(rollback, [FlagBefore("checkout", 3, False)], and_last=True)
    assert flags_summary(back) == "flag checkout back to 3 %, switched off first"
    assert flags_summary(rollback) == ""


def step(seq: int, state: StepState, *, attempt: int = 1, untouched: bool = False, **body: Any) -> Step:
    body = {"flag": "checkout", "percent": 5, "before": {"percent": 2, "enabled": True}, **body}
    outcome = {"untouched": True} if untouched else {}
    return Step(1, seq, BASTION, "flag", seq, body, f"o{seq}", state, attempt, 1, outcome, None, None)


BACK: dict[str, Any] = {"back": True, "percent": 2, "enabled": True}
DONE, FAILED, PENDING, STARTED = StepState.DONE, StepState.FAILED, StepState.PENDING, StepState.STARTED


@pytest.mark.parametrize(
    ("steps", "up"),
    [
        ([], False),
        ([step(1, PENDING, attempt=0)], False),
        ([step(1, STARTED)], True),
        ([step(1, DONE)], True),
        ([step(1, FAILED)], True),
        ([step(1, FAILED, untouched=True)], False),
        ([step(1, DONE, verify=True)], False),
        ([step(1, DONE), step(2, DONE, **BACK)], False),
        ([step(1, DONE), step(2, FAILED, **BACK)], True),
        ([step(1, DONE), step(2, FAILED, **BACK), step(3, DONE, **BACK)], False),
        ([step(1, PENDING, attempt=0, **BACK)], True),
        ([step(1, DONE, **BACK), step(2, DONE)], True),
    ],
)
def test_what_is_to_be_put_back(steps: list[Step], up: bool) -> None:
    assert [(one.flag, one.percent, one.of) for one in to_put_back(steps, 9)] == ([("checkout", 2, 9)] if up else [])
