"""What a plan, and the cards that are made of it, say of a Swarm: its nodes fetch images, so nothing lies, or is missing, on a host."""

from pathlib import Path

import pytest

from quarterdeck.backends.hosts.contract import KeptRelease, SwarmNode, TargetFacts
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Target
from quarterdeck.history.records import RolloutKind
from quarterdeck.rollouts.plans.plan import HostNow, Plan, summary
from quarterdeck.rollouts.way_back.facts import WayFacts
from quarterdeck.rollouts.worker.armed import Armed, described, host_now, hosts_from_body
from quarterdeck.tui.room.cards.checks import rollback_checks
from tests.room.swarmed import SHOP, SHOP_BEFORE, SHOP_NOW, SWARM, fleet_text

BEFORE, NOW = SHOP_BEFORE.id, SHOP_NOW.id
READY = HostNow(SWARM, current=NOW, running=True, kept=frozenset({BEFORE, NOW}), warm=frozenset({BEFORE}), swarm=True)
LOST = HostNow(SWARM, current=NOW, running=True, kept=frozenset({NOW}), swarm=True)
ENGINE = HostNow("box-1", current=NOW, running=True, kept=frozenset({NOW}))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "fleet.yml").write_text(fleet_text(tmp_path / "state"))
    return load_fleet(tmp_path / "fleet.yml").targets[SHOP]


def armed(target: Target, *hosts: HostNow, fetch_fault: str = "") -> Armed:
    plan = Plan((), tuple(host.host for host in hosts), ())
    made = Armed(target, SHOP_BEFORE, NOW, list(hosts), plan, {}, {}, fetch_fault=fetch_fault)
    return described(made, RolloutKind.ROLLBACK, {})


def test_that_a_host_is_a_swarm_is_known_by_its_nodes_and_goes_into_the_plan(target: Target) -> None:
    kept = (KeptRelease(NOW, True),)
    facts = TargetFacts(NOW, True, kept, 1, "", "", (), None, nodes=(SwarmNode("node-1", "ready", "active"),))
    assert host_now(SWARM, facts).swarm
    assert not host_now("box-1", TargetFacts(NOW, True, kept, 1, "", "", (), None)).swarm
    body = armed(target, READY, ENGINE).body
    assert [host.swarm for host in hosts_from_body(body)] == [True, False]
    assert "swarm" not in body["hosts"][1], "a plan without one is as it was"


def test_what_is_not_ready_there_is_said_of_its_image(target: Target) -> None:
    assert armed(target, READY).body["readiness"] == {"state": "ready", "reasons": []}
    asked = armed(target, LOST).body["readiness"]
    assert asked == {
        "state": "degraded",
        "reasons": [f"1.8.0 is not ready on the swarm {SWARM}: its image is asked for first"],
    }
    closed = armed(target, LOST, fetch_fault="registry.acme.io: no answer").body["readiness"]
    assert closed == {
        "state": "closed",
        "reasons": [
            f"1.8.0 is not ready on the swarm {SWARM}: its image can't be fetched now: registry.acme.io: no answer"
        ],
    }
    both = armed(target, LOST, ENGINE).body["readiness"]["reasons"]
    assert both[1] == "no copy of 1.8.0 on box-1: it is fetched first"


def test_the_blast_radius_has_no_copies_of_a_swarm() -> None:
    plan = Plan((), (SWARM, "box-1"), ())
    assert summary(plan, [LOST, ENGINE], BEFORE) == (
        f"2 of 2 hosts change, 1 has no copy of the old release, the image of the old release can't be fetched by {SWARM}"
    )
    assert "fetched" not in summary(plan, [READY, ENGINE], BEFORE)


def test_a_card_says_so_too(target: Target) -> None:
    ready, lost = armed(target, READY).body, armed(target, LOST).body
    told = [check.text for check in rollback_checks(ready, WayFacts(), "lena")]
    assert f"the image of 1.8.0 can be fetched by {SWARM}" in told
    assert f"its service is kept on {SWARM}" in told
    assert not [text for text in told if "copy of" in text or "warm on" in text]
    assert f"1.8.0 is not ready on {SWARM}: its image is asked for first" in [
        check.text for check in rollback_checks(lost, WayFacts(), "lena")
    ]
