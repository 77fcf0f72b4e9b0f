"""Plans are pure: facts in, steps out."""

import re

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.config import scalars
from quarterdeck.config.model import (
    ApprovalPolicy,
    Approve,
    Bake,
    Hook,
    Hooks,
    HookWhere,
    Notice,
    OnTimeout,
    Pause,
    Run,
    SetWeight,
    Share,
    Strategy,
)
from quarterdeck.rollouts.plans.plan import (
    BASTION,
    Action,
    HostNow,
    Plan,
    Touched,
    back_to,
    batches,
    ordered,
    plan_deploy,
    plan_rollback,
    plan_take_back,
    share_of_hosts,
    summary,
)
from quarterdeck.rollouts.plans.undoing import left

NO_HOOKS = Hooks()


def running(name: str, release: str | None = "v1-a", *more: str) -> HostNow:
    kept = frozenset(name for name in (release, *more) if name is not None)
    return HostNow(name, current=release, running=release is not None, kept=kept)


def shape(plan: Plan) -> list[list[str]]:
    """Each wave as «host:action» words."""
    waves: dict[int, list[str]] = {}
    for step in plan.steps:
        waves.setdefault(step.wave, []).append(f"{step.host}:{step.action}")
    return list(waves.values())


def test_a_rolling_deploy_stages_everywhere_first_then_moves_batch_by_batch() -> None:
    hosts = [running(name) for name in ("a", "b", "c", "d")]
    strategy = Strategy(batches=(Share(count=1), Share(percent=50)), pause=3)
    plan = plan_deploy(hosts, "v2-b", strategy, NO_HOOKS)
    assert shape(plan) == [
        ["a:stage", "b:stage", "c:stage", "d:stage"],
        ["a:switch"],
        [f"{BASTION}:pause"],
        ["b:switch", "c:switch"],
        [f"{BASTION}:pause"],
        ["d:switch"],
        ["a:verify", "b:verify", "c:verify", "d:verify"],
        ["a:finish", "b:finish", "c:finish", "d:finish"],
    ]


def test_max_unavailable_bounds_what_changes_at_once_within_a_batch() -> None:
    strategy = Strategy(batches=(Share(percent=100),), max_unavailable=Share(count=2))
    assert batches(list("abcde"), strategy) == [[["a", "b"], ["c", "d"], ["e"]]]


def test_without_batches_rolling_moves_one_host_at_a_time() -> None:
    assert batches(list("abc"), Strategy()) == [[["a"]], [["b"]], [["c"]]]


@given(
    count=st.integers(0, 40),
    sizes=st.lists(st.one_of(st.integers(1, 50), st.floats(0.1, 100)), max_size=4),
    at_once=st.one_of(st.none(), st.integers(1, 50), st.floats(0.1, 100)),
)
@settings(derandomize=True)
def test_batches_hold_every_host_once_in_order(count: int, sizes: list[float], at_once: float | None) -> None:
    def share(value: float) -> Share:
        return Share(count=value) if isinstance(value, int) else Share(percent=value)

    hosts = [f"h{n}" for n in range(count)]
    strategy = Strategy(
        batches=tuple(share(s) for s in sizes), max_unavailable=None if at_once is None else share(at_once)
    )
    result = batches(hosts, strategy)
    assert [host for batch in result for group in batch for host in group] == hosts
    if strategy.max_unavailable is not None and count:
        assert all(len(group) <= strategy.max_unavailable.of(count) for batch in result for group in batch)


def test_recreate_stops_all_before_the_first_start_and_starts_what_it_stopped() -> None:
    hosts = [running("a"), HostNow("b")]
    plan = plan_deploy(hosts, "v2-b", Strategy(kind="recreate"), NO_HOOKS)
    assert shape(plan)[:3] == [["a:stage", "b:stage"], ["a:stop"], ["a:switch", "b:switch"]]
    switches = {step.host: step.body for step in plan.steps if step.action is Action.SWITCH}
    assert switches["a"]["how"] == "start"
    assert "how" not in switches["b"]


def test_hooks_run_where_they_say_before_the_first_and_after_the_last_switch() -> None:
    hooks = Hooks(
        before=(Hook("migrate", HookWhere.ONE),), after=(Hook("warm", HookWhere.EACH), Hook("tell", HookWhere.HERE))
    )
    plan = plan_deploy([running("a"), running("b")], "v2-b", Strategy(batches=(Share(percent=100),)), hooks)
    assert shape(plan)[:6] == [
        ["a:stage", "b:stage"],
        ["a:hook"],
        ["a:switch", "b:switch"],
        ["a:hook", "b:hook"],
        [f"{BASTION}:hook"],
        ["a:verify", "b:verify"],
    ]


def test_no_host_can_be_taken_for_this_machine() -> None:
    """A host that is called here, as the examples have one, is a host; what runs on this machine has no host's name."""
    plan = plan_deploy([running("here")], "v2-b", Strategy(), Hooks(after=(Hook("tell", HookWhere.HERE),)))
    assert shape(plan)[:3] == [["here:stage"], ["here:switch"], [f"{BASTION}:hook"]]
    assert re.fullmatch(scalars.NAME, "here")
    assert not re.fullmatch(scalars.NAME, BASTION)


def test_a_host_that_runs_it_already_is_left_alone_only_when_it_is_known_to_run() -> None:
    hosts = [running("a", "v2-b"), HostNow("b", current="v2-b", running=False, kept=frozenset({"v2-b"}))]
    plan = plan_deploy(hosts, "v2-b", Strategy(), NO_HOOKS)
    assert plan.untouched == ("a",)
    assert plan.changed == ("b",)


def test_a_rollback_moves_all_hosts_at_once_and_stages_only_where_the_copy_is_gone() -> None:
    hosts = [running("a", "v2-b", "v1-a"), running("b", "v2-b"), running("c", "v1-a")]
    plan = plan_rollback(hosts, "v1-a", Share(percent=100))
    assert shape(plan) == [["c:verify", "a:switch", "b:stage", "b:switch"], ["a:finish", "b:finish"]]
    assert plan.untouched == ("c",)


def test_a_host_that_is_late_is_taken_along_and_one_that_is_gone_is_left_out() -> None:
    hosts = [
        running("a", "v2-b", "v1-a"),
        HostNow("b", error="late", late=True),
        HostNow("c", error="refused"),
    ]
    plan = plan_rollback(hosts, "v1-a", Share(percent=100))
    late = next(step for step in plan.steps if step.host == "b")
    assert late.action is Action.SWITCH
    assert late.body["look_first"] is True
    assert plan.left_out == ("c",)


def test_a_rollback_reverses_the_hooks_of_the_release_it_leaves_last_one_first() -> None:
    hooks = Hooks(before=(Hook("up 1", on_rollback="down 1"), Hook("up 2", on_rollback="down 2"), Hook("no way back")))
    undo = [left("v2-b", hooks, (), declared=True)]
    plan = plan_rollback([running("a", "v2-b", "v1-a")], "v1-a", Share(percent=100), undo=undo)
    assert [step.body["run"] for step in plan.steps if step.action is Action.HOOK] == ["down 2", "down 1"]


def test_taking_back_touches_only_what_was_touched_and_withdraws_where_nothing_ran() -> None:
    plan = plan_take_back([Touched("a", "v1-a"), Touched("b", None)], [], NO_HOOKS, Share(percent=100), leaving="v2-b")
    assert shape(plan) == [["a:switch", "b:withdraw"]]
    assert next(s for s in plan.steps if s.host == "b").body["release"] == "v2-b"


def test_back_to_prefers_the_stable_release_and_never_names_one_that_is_not_there() -> None:
    assert back_to(HostNow("a"), "v1-a") is None
    assert back_to(running("a", "v0-x", "v1-a"), "v1-a") == "v1-a"
    assert back_to(running("a", "v0-x"), "v1-a") == "v0-x"


def test_random_order_is_the_same_for_the_same_rollout() -> None:
    names = [f"h{n}" for n in range(20)]
    assert ordered(names, "random", 7) == ordered(names, "random", 7)
    assert sorted(ordered(names, "random", 7)) == sorted(names)
    assert ordered(names, "random", 7) != ordered(names, "random", 8)
    assert ordered(names, "reversed", 1) == names[::-1]


def test_the_blast_radius_is_one_sentence() -> None:
    hosts = [running("a", "v1-a"), HostNow("b", current="v9", running=True), HostNow("c", error="refused")]
    plan = plan_deploy(hosts, "v2-b", Strategy(), NO_HOOKS)
    assert summary(plan, hosts, "v1-a") == "2 of 3 hosts change, 1 has no copy of the old release, not reachable: c"


def test_a_host_whose_release_somebody_has_changed_is_not_left_alone() -> None:
    """A container that was started again by hand runs the release, and is put right by the next rollout all the same."""
    changed = msgspec.structs.replace(running("a"), as_started=False)
    hosts = [changed, running("b")]
    assert plan_deploy(hosts, "v1-a", Strategy(), NO_HOOKS).changed == ("a",)
    assert plan_rollback(hosts, "v1-a", Share(percent=100)).changed == ("a",)


@given(percent=st.floats(0.1, 100), total=st.integers(0, 300))
@settings(derandomize=True)
def test_a_share_of_hosts_is_as_near_as_hosts_can_come(percent: float, total: int) -> None:
    count = share_of_hosts(percent, total)
    assert 0 <= count <= total
    if total > 1:
        assert count >= 1
        assert (count == total) is (percent >= 100)
    reachable = range(1, total) if total > 1 and percent < 100 else range(total + 1)
    best = min((abs(100 * c / total - percent) for c in reachable), default=0.0) if total else 0.0
    assert not total or abs(100 * count / total - percent) <= best + 1e-9


def test_a_share_of_hosts_by_example() -> None:
    assert [share_of_hosts(p, 8) for p in (1, 5, 25, 31.25, 50, 99, 100)] == [1, 1, 2, 3, 4, 7, 8]
    assert [share_of_hosts(p, 2) for p in (1, 50, 99)] == [1, 1, 1]
    assert [share_of_hosts(p, 1) for p in (1, 49, 50, 100)] == [0, 0, 1, 1]


CANARY = Strategy(
    kind="canary",
    max_unavailable=Share(count=1),
    steps=(SetWeight(25), Pause(), Run(Hook("smoke", HookWhere.EACH)), SetWeight(100), Pause(60), Bake(600)),
)


def test_a_canary_moves_by_weight_and_reads_back_after_each_pause() -> None:
    plan = plan_deploy([running(name) for name in "abcd"], "v2-b", CANARY, Hooks(after=(Hook("warm"),)))
    assert shape(plan) == [
        ["a:stage", "b:stage", "c:stage", "d:stage"],
        ["a:switch"],
        [f"{BASTION}:pause"],
        ["a:verify"],
        ["a:hook"],
        ["b:switch"],
        ["c:switch"],
        ["d:switch"],
        [f"{BASTION}:pause"],
        ["a:verify", "b:verify", "c:verify", "d:verify"],
        ["a:hook"],
        [f"{BASTION}:bake"],
        ["a:verify", "b:verify", "c:verify", "d:verify"],
        ["a:finish", "b:finish", "c:finish", "d:finish"],
    ]
    pauses = [step.body for step in plan.steps if step.action is Action.PAUSE]
    assert [(body.get("promote"), body.get("seconds"), body["hosts"]) for body in pauses] == [
        (True, None, 1),
        (None, 60, 4),
    ]


def test_an_approval_is_in_the_plan_with_who_must_agree_and_is_never_left_out() -> None:
    asks = Approve(ApprovalPolicy(count=2, who=("@oncall",), timeout=1800.0))
    strategy = Strategy("canary", max_unavailable=Share(count=1), steps=(asks, SetWeight(25), asks, SetWeight(100)))
    plan = plan_deploy([running(name) for name in "abcd"], "v2-b", strategy, NO_HOOKS)
    assert shape(plan)[1:5] == [[f"{BASTION}:approval"], ["a:switch"], [f"{BASTION}:approval"], ["a:verify"]]
    bodies = [step.body for step in plan.steps if step.action is Action.APPROVAL]
    wanted = {"count": 2, "from": ["@oncall"], "prevent_self_review": True, "timeout": 1800.0}
    here = {"approval": wanted, "of": 4, "release": "v2-b"}
    assert bodies == [{**here, "weight": 0.0, "hosts": 0}, {**here, "weight": 25, "hosts": 1}]

    silent = Strategy("canary", steps=(SetWeight(10), Approve(on_timeout=OnTimeout.PROMOTE), SetWeight(100)))
    alone = plan_deploy([running("a")], "v2-b", silent, NO_HOOKS)
    assert shape(alone)[:3] == [["a:stage"], [f"{BASTION}:approval"], ["a:switch"]], "before the only host moves"
    assert alone.steps[1].body["on_timeout"] == "promote"


def test_a_notice_is_a_wave_of_its_own_and_left_out_with_its_share() -> None:
    steps = (Notice(), SetWeight(25), Notice(("oncall",), "", "look"), SetWeight(100))
    strategy = Strategy("canary", max_unavailable=Share(count=1), steps=steps)
    plan = plan_deploy([running(name) for name in "abcd"], "v2-b", strategy, NO_HOOKS)
    assert shape(plan)[1:5] == [[f"{BASTION}:notify"], ["a:switch"], [f"{BASTION}:notify"], ["b:switch"]]
    first, second = [step.body for step in plan.steps if step.action is Action.NOTIFY]
    assert (first["notify"], first["weight"], first["hosts"]) == ({}, 0.0, 0)
    assert (second["notify"], second["weight"], second["hosts"]) == ({"to": ["oncall"], "body": "look"}, 25, 1)
    alone = plan_deploy([running("a")], "v2-b", strategy, NO_HOOKS)
    assert shape(alone)[:3] == [["a:stage"], [f"{BASTION}:notify"], ["a:switch"]], "there is no quarter of one host"


def test_hosts_that_run_the_release_already_count_for_the_weight() -> None:
    hosts = [running("a", "v2-b"), running("b"), running("c"), running("d")]
    plan = plan_deploy(hosts, "v2-b", CANARY, NO_HOOKS)
    assert [step.host for step in plan.steps if step.action is Action.SWITCH] == ["b", "c", "d"]
    assert shape(plan)[1] == [f"{BASTION}:pause"]


def test_what_is_left_moves_after_the_last_step_and_a_share_of_no_host_has_no_pause() -> None:
    alone = plan_deploy([running("a")], "v2-b", msgspec.structs.replace(CANARY, steps=CANARY.steps[:3]), NO_HOOKS)
    assert shape(alone) == [["a:stage"], ["a:switch"], ["a:verify"], ["a:finish"]]


def test_commands_of_steps_are_reversed_between_those_before_and_after() -> None:
    hooks = Hooks(
        before=(Hook("b", on_rollback="unb"),),
        after=(Hook("a", on_rollback="una"),),
        steps=(Hook("s", on_rollback="uns", where=HookWhere.HERE),),
    )
    hosts = [running("a", "v2-b", "v1-a")]
    plan = plan_rollback(hosts, "v1-a", Share(percent=100), undo=[left("v2-b", hooks, (), declared=True)])
    assert [step.body["run"] for step in plan.steps if step.action is Action.HOOK] == ["una", "uns", "unb"]
