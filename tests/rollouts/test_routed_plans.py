"""Plans behind a router: who leaves when, and what share goes with whom. Pure."""

from collections.abc import Sequence

import pytest

from quarterdeck.backends.routers.contract import (
    FULL,
    MatchOn,
    MatchRule,
    Mode,
    RouterState,
    Server,
    ServerState,
    Slot,
    SlotState,
)
from quarterdeck.config.model import Approve, Hooks, Pause, SetRoute, SetScale, SetWeight, Share, Strategy
from quarterdeck.rollouts.plans.plan import HostNow, Plan, Touched, plan_deploy, plan_rollback, plan_take_back
from quarterdeck.rollouts.plans.traffic import Traffic, as_state, carried, journalled, shown, slot_for, traffic_of

NO_HOOKS = Hooks()
EDGE = Traffic("edge/api", "green", stable=True)


def running(host: str, release: str = "v1-a") -> HostNow:
    kept = frozenset({"v1-a", "v2-b"})
    return HostNow(host, current=release, running=True, kept=kept, address=f"10.0.0.{ord(host) - 96}")


def shape(plan: Plan) -> list[str]:
    """Wave by wave, of what concerns hosts and shares: ``a b | 50 % | c!`` (``!``: although nobody may be left, ``+``: beside)."""
    waves: dict[int, list[str]] = {}
    for step in plan.steps:
        words = ""
        if step.action == "switch":
            words = step.host + ("!" if step.body.get("last") else "") + ("+" if step.body.get("hold") else "")
        elif step.action == "share":
            words = f"{step.body['percent']:g} %" + ("?" if step.body.get("if_served") else "")
        elif step.action == "route":
            words = "rules " + " ".join(value for _, value in step.body["rules"])
        elif step.action in ("retire", "pause", "bake"):
            words = step.action if step.action != "retire" else f"-{step.host}"
        if words:
            waves.setdefault(step.wave, []).append(words.strip())
    return [" ".join(words) for _, words in sorted(waves.items())]


def deploy(hosts: Sequence[str], strategy: Strategy, *, beside: bool = False, traffic: Traffic = EDGE) -> list[str]:
    return shape(
        plan_deploy([running(host) for host in hosts], "v2-b", strategy, NO_HOOKS, traffic=traffic, beside=beside)
    )


ONE = Share(count=1)
CANARY = Strategy(kind="canary", max_unavailable=ONE, steps=(SetWeight(5), Pause(), SetWeight(50), Pause()))


def test_the_share_follows_the_hosts_and_the_last_one_leaves_when_it_gets_nothing() -> None:
    assert deploy("abc", Strategy(max_unavailable=ONE)) == ["a", "33.33 %", "b", "66.67 %", "100 %", "c", "100 %"]


def test_a_share_says_by_how_many_it_is_carried() -> None:
    plan = plan_deploy([running(host) for host in "abc"], "v2-b", Strategy(max_unavailable=ONE), NO_HOOKS, traffic=EDGE)
    said = [(step.body["percent"], step.body.get("servers")) for step in plan.steps if step.action == "share"]
    assert said == [(33.33, 1), (66.67, 2), (100.0, None), (100.0, None)]
    assert carried(66.67, 2, 1) == 66.67 / 2
    assert carried(66.67, 2, 0) == 0
    assert carried(20.0, 2, 3) == 20
    assert carried(100.0, 3, 1) == 100, "nobody else is left to serve"


def test_one_host_leaves_although_nobody_is_left() -> None:
    assert deploy("a", Strategy(max_unavailable=ONE)) == ["a!", "100 %", "100 %"]
    assert deploy("abc", Strategy(kind="recreate"))[-2:] == ["100 %", "100 %"]


def test_where_nobody_serves_yet_the_first_one_has_all() -> None:
    nobody = Traffic("edge/api", "blue", stable=False)
    assert deploy("abc", Strategy(max_unavailable=ONE), traffic=nobody)[:2] == ["a", "100 %"]


def test_a_canary_has_the_share_that_its_step_says_and_never_more_than_its_hosts_can_carry() -> None:
    assert deploy("abcd", CANARY) == ["a", "5 %", "pause", "b", "50 %", "pause", "c", "75 %", "100 %", "d", "100 %"]


def test_a_scale_is_not_changed_by_weights() -> None:
    steps = (SetScale(Share(percent=50)), SetRoute((("header", "beta"),)), SetWeight(10), Pause())
    found = deploy("abcd", Strategy(kind="canary", max_unavailable=Share(count=2), steps=steps))
    assert found == ["a b", "rules beta", "10 %", "pause", "100 %", "c d", "100 %", "rules"]


def test_beside_each_other_nobody_leaves_before_the_end() -> None:
    strategy = Strategy(kind="blue_green", scale_down_delay=30, steps=(SetScale(Share(percent=100)), SetWeight(100)))
    assert deploy("ab", strategy, beside=True) == ["a+ b+", "100 %", "100 %", "bake", "-a -b"]
    assert deploy("abcd", CANARY, beside=True)[-2:] == ["100 %", "-a -b -c -d"]
    surge = Strategy(max_unavailable=ONE, max_surge=Share(count=2))
    assert deploy("abcd", surge, beside=True)[:1] == ["a b"]
    assert deploy("abcd", surge)[:1] == ["a"]


def test_a_rollback_begins_with_the_requests_and_again_once_somebody_is_back() -> None:
    hosts = [running(host, "v2-b") for host in "abc"]
    plan = plan_rollback(hosts, "v1-a", Share(percent=67), traffic=Traffic("edge/api", "blue", stable=True, rules=True))
    assert shape(plan) == ["100 %?", "rules", "a! b!", "100 %", "c!", "100 %", "rules"]
    assert all(step.body["slot"] == "blue" for step in plan.steps if step.action in ("switch", "share", "route"))


def test_a_host_that_runs_it_and_gets_no_requests_is_not_left_alone() -> None:
    hosts = [running("a"), running("b")]
    inside = Traffic("edge/api", "blue", stable=True, inside=frozenset({"10.0.0.1"}))
    assert plan_rollback(hosts, "v1-a", Share(percent=100), traffic=inside).changed == ("b",)
    assert plan_deploy(hosts, "v1-a", Strategy(), NO_HOOKS, traffic=inside).changed == ("b",)


def test_taking_back_begins_with_the_requests() -> None:
    back = Traffic("edge/api", "blue", stable=True)
    touched = [Touched("a", "v1-a"), Touched("b", "v1-a"), Touched("c", None)]
    plan = plan_take_back(touched, [], NO_HOOKS, Share(percent=100), leaving="v2-b", traffic=back)
    assert shape(plan) == ["100 %?", "a! b!", "100 %"]
    nobody = plan_take_back([], [], NO_HOOKS, Share(percent=100), leaving="v2-b", traffic=back)
    assert shape(nobody) == ["100 %?"]


def test_some_hosts_only_get_their_part_of_the_requests() -> None:
    """The others go on with what they have, and so does their share."""
    one = Traffic("edge/api", "green", stable=True, others=3)
    assert deploy("a", Strategy(max_unavailable=ONE), traffic=one) == ["a", "25 %", "25 %"]
    more = Traffic("edge/api", "green", stable=True, share=25, others=3, others_inside=1)
    assert deploy("b", Strategy(max_unavailable=ONE), traffic=more) == ["b", "50 %", "50 %"]
    last = Traffic("edge/api", "green", stable=True, share=75, others=3, others_inside=3)
    assert deploy("d", Strategy(max_unavailable=ONE), traffic=last) == ["100 %", "d", "100 %"]
    back = Traffic("edge/api", "blue", stable=True, share=0, rules=True, others=3)
    plan = plan_rollback([running("a", "v2-b")], "v1-a", Share(percent=67), traffic=back)
    assert shape(plan) == ["a!", "25 %"]


def test_a_router_that_somebody_has_changed_is_put_right_by_a_deploy_of_what_runs() -> None:
    inside = frozenset({"10.0.0.1", "10.0.0.2"})
    by_hand = Traffic("edge/api", "green", stable=True, inside=inside, share=30, rules=True)
    hosts = [running("a", "v2-b"), running("b", "v2-b")]
    assert shape(plan_deploy(hosts, "v2-b", Strategy(), NO_HOOKS, traffic=by_hand)) == ["100 %", "rules"]
    well = Traffic("edge/api", "green", stable=True, inside=inside, share=100)
    assert shape(plan_deploy(hosts, "v2-b", Strategy(), NO_HOOKS, traffic=well)) == []


def test_a_rollback_puts_the_router_right_where_all_hosts_are() -> None:
    """Those of a rollout that was taken back while the router did not answer."""
    inside = frozenset({"10.0.0.1", "10.0.0.2"})
    hosts = [running("a"), running("b")]
    left = Traffic("edge/api", "blue", stable=True, inside=inside, share=75, rules=True)
    assert shape(plan_rollback(hosts, "v1-a", Share(percent=67), traffic=left)) == ["100 %", "rules"]
    by_the_journal = Traffic("edge/api", "blue", stable=True, inside=inside, share=100, certain=False)
    assert shape(plan_rollback(hosts, "v1-a", Share(percent=67), traffic=by_the_journal)) == ["100 %"]


def test_what_is_left_of_a_share_is_not_the_next_releases() -> None:
    left = Traffic("edge/api", "green", stable=True, share=60, rules=True)
    assert deploy("ab", Strategy(max_unavailable=ONE), traffic=left)[:3] == ["0 %", "rules", "a"]


def test_who_served_before_has_its_part_again() -> None:
    """The slot of the release had servers before the rollout that is taken back."""
    inside = Traffic("edge/api", "green", stable=True, inside=frozenset({"10.0.0.1"}), share=66)
    hosts = [running("a", "v2-b"), running("b")]
    plan = plan_deploy(hosts, "v2-b", Strategy(max_unavailable=ONE), NO_HOOKS, traffic=inside)
    assert {step.body.get("was") for step in plan.steps if step.action == "switch"} == {66}
    back = Traffic("edge/api", "blue", stable=True, back_to=34.0)
    taken = plan_take_back([Touched("b", "v1-a")], [], NO_HOOKS, Share(percent=67), leaving="v2-b", traffic=back)
    assert shape(taken) == ["b!", "34 %"]


def test_approvals_are_asked_also_where_nobody_serves_yet() -> None:
    nobody = Traffic("edge/api", "blue", stable=False)
    steps = (SetScale(Share(percent=100)), Approve(), Pause(), SetWeight(100))
    plan = plan_deploy([running("a")], "v2-b", Strategy(kind="blue_green", steps=steps), NO_HOOKS, traffic=nobody)
    assert [step.action for step in plan.steps][1:3] == ["approval", "switch"]


def state(share: int, blue: str = "", green: str = "", rules: tuple[MatchRule, ...] = ()) -> RouterState:
    def slot(release: str, number: int) -> SlotState:
        servers = (ServerState(Server(f"10.0.0.{number}", 80), Mode.READY, True),) if release else ()
        return SlotState(release, servers)

    return RouterState(share, rules, {Slot.BLUE: slot(blue, 1), Slot.GREEN: slot(green, 2)})


@pytest.mark.parametrize(
    ("found", "release", "leaving", "slot"),
    [
        (state(0), "v1", None, Slot.BLUE),
        (state(FULL), "v1", None, Slot.GREEN),
        (state(0, blue="v1"), "v2", "v1", Slot.GREEN),
        (state(FULL, green="v1"), "v2", "v1", Slot.BLUE),
        (state(500, blue="v1", green="v2"), "v2", "v1", Slot.GREEN),
        (state(500, blue="v1", green="v2"), "v3", "v1", Slot.GREEN),
        (state(FULL, blue="v1", green="v2"), "v3", "v0", Slot.BLUE),
        (state(FULL, blue="v1"), "v2", None, Slot.GREEN),
    ],
)
def test_a_release_goes_where_the_one_that_serves_is_not(
    found: RouterState, release: str, leaving: str | None, slot: Slot
) -> None:
    assert slot_for(found, release, leaving) is slot


def test_what_is_journalled_is_read_again() -> None:
    rules = (MatchRule(MatchOn.HEADER, "beta", Slot.GREEN),)
    found = state(2500, blue="v1", green="v2", rules=rules)
    again = as_state(journalled(shown(found)))
    assert (again.share, again.rules) == (2500, rules)
    assert traffic_of("edge/api", again, "v2", "v1") == traffic_of("edge/api", found, "v2", "v1")
    assert traffic_of("edge/api", found, "v2", "v1").inside == {"10.0.0.2"}
    assert not traffic_of("edge/api", found, "v3", "v1").inside
