"""Services behind routers on the screen, at every size and in three looks, compared with the pictures that are kept; and in lines."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Event
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.rollouts.picture.router import RouterSeen, SideSeen
from quarterdeck.tui.cli.following import describe
from quarterdeck.tui.cli.status import show as show_status
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.cards.checks import Level, rollback_checks
from quarterdeck.tui.room.cards.deploy import wave_rows
from quarterdeck.tui.room.cards.rollback import RollbackCard
from quarterdeck.tui.room.logs.marks import Mark, mark_of, without_same
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.overview.tabs import counts
from quarterdeck.tui.room.rows import plain
from quarterdeck.tui.room.traffic_rows import bar, short_spans
from tests.room.acme import LENA, NOW
from tests.room.pictures import SIZES, Screen, compare
from tests.room.routed import API, LOST, SHOP, WEB, fill_routed, fleet_text
from tests.room.test_snapshots import _shows

SCREENS = (
    Screen("routed-overview", target=API, ready=_shows("card", "v2 25 %")),
    Screen("routed-by-hand", target=SHOP, ready=_shows("card", "green gets 30 %")),
    Screen("routed-lost", target=WEB, ready=_shows("card", "3m ago")),
    Screen("routed-rollout", ("2",), target=API, ready=_shows("rollout", "requests through")),
    Screen("routed-drift", ("6",), target=SHOP, ready=_shows("drift", "edge/shop")),
    Screen("routed-readiness", ("7",), target=WEB, ready=_shows("readiness", "router")),
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("routed") / "state"
    fill_routed(state)
    state.with_name("fleet.yml").write_text(fleet_text(state))
    return state


def make(state: Path, **options: Any) -> Room:
    options = {"clock": lambda: NOW, "observe": False, **options}
    return Room(Opening(load_fleet(state.with_name("fleet.yml")), LENA, **options))


@pytest.mark.parametrize(("screen", "size"), [(screen, size) for screen in SCREENS for size in SIZES], ids=str)
async def test_it_looks_as_it_did(state: Path, screen: Screen, size: tuple[int, int]) -> None:
    await compare(make(state, target=screen.target), screen, size)


def seen(state: Path, target: str) -> RouterSeen:
    with Journal.open(state, operator=LENA, read_only=True) as journal:
        found = take_picture(load_fleet(state.with_name("fleet.yml")), journal).targets[target].router
    assert found is not None
    return found


def shown(router: RouterSeen, width: int, new: str | None = None) -> str:
    text = plain(short_spans(router, width, NOW, new=new))
    assert len(text) <= width
    return text


def test_what_somebody_changed_at_a_router_is_told_while_a_rollout_waits_too(state: Path) -> None:
    with Journal.open(state, operator=LENA, read_only=True) as journal:
        picture = take_picture(load_fleet(state.with_name("fleet.yml")), journal)
    api = picture.targets[API]
    assert api.router is not None
    assert api.moving is not None
    new = api.moving.rollout.to_release
    by_hand = msgspec.structs.replace(api.router, changed=("green gets 30 %, not 25 %",))
    for width in (70, 100, 200):
        assert "~ green gets 30 %, not 25 %" in shown(by_hand, width, new)
    assert counts(picture)["drift"] == 1  # another target's
    changed = {**picture.targets, API: msgspec.structs.replace(api, router=by_hand)}
    assert counts(msgspec.structs.replace(picture, targets=changed))["drift"] == 2


def test_the_traffic_bar_at_any_width(state: Path) -> None:
    router = seen(state, API)
    new = router.sides[1].release
    assert shown(router, 90, new) == (
        "v2 25 % 12.2/s 0.5/s fail [#####..............] v1 75 % 36.5/s 2/3 live  header beta to v2"
    )
    for width in range(20, 120):
        assert "v2 25 %" in shown(router, width, new), "what matters most is never left out"
    assert shown(seen(state, WEB), 200) == f"v4 100 % 3m ago; {LOST}"
    assert shown(seen(state, WEB), 74) == "v4 100 % 3m ago; /run/haproxy/admin.sock does not answer: Connection ref.."
    assert "(blue) 70 %" in shown(seen(state, SHOP), 120)
    assert [bar(value, 12) for value in (0, 0.01, 50, 99.9, 100)] == [
        "[..........]",
        "[#.........]",
        "[#####.....]",
        "[#########.]",
        "[##########]",
    ]
    nobody = RouterSeen("edge/api", NOW.isoformat())
    assert shown(nobody, 40) == "nobody is behind edge/api"
    dead = RouterSeen("edge/api", NOW.isoformat(), (SideSeen("blue", "v1-0123456789", "v1", 100.0, 2, 0),))
    assert shown(dead, 40) == "v1 100 % 0/2 live"


def test_events_of_a_rollout_are_words(state: Path) -> None:
    with Journal.open(state, operator=LENA, read_only=True) as journal:
        events = [event for event in journal.events(target=API) if event.rollout == 6 or event.kind != "x"]
    lines = [" ".join(describe(event)[0].split()) for event in events]
    assert "edge/api requests v1 75 %, v2 25 %; header beta to v2" in lines
    assert "router share done: 25 % of the requests, 0.2s" in lines
    assert "router route done: 1 rule, 0.1s" in lines
    assert "router share begins" in lines
    assert not [line for line in lines if "(here) share" in line or "(here) route" in line]
    marks = [mark.text for event in events if (mark := mark_of(event)) is not None]
    assert "requests: v1 75 %, v2 25 %; header beta to v2" in marks


def test_marks_that_say_the_same_stand_once() -> None:
    marks = [
        Mark(at, text) for at, text in enumerate(("requests: a", "b done", "requests: a", "requests: c", "requests: a"))
    ]
    assert [mark.time for mark in without_same(marks)] == [0, 1, 3, 4]


def test_a_waiting_share_says_so() -> None:
    event = Event(
        1, NOW.isoformat(), 0, "lena", "step.done", API, 6, "(here)",
        {"action": "share", "outcome": {"waits": "nobody is in service in blue yet"}}, "",
    )  # fmt: skip
    assert describe(event)[0].endswith("done: nobody is in service in blue yet")


def test_cards_tell_of_the_router() -> None:
    plan: dict[str, Any] = {
        "version": "v1",
        "hosts": [],
        "steps": [],
        "router": {"name": "edge/api", "slot": "blue", "share": 75.0},
    }
    from quarterdeck.rollouts.way_back.facts import WayFacts

    found = {check.text: check.level for check in rollback_checks(plan, WayFacts(), "lena")}
    assert found["router edge/api: v1 gets 75 % of the requests now"] is Level.OK
    plan["router"] = {"name": "edge/api", "error": LOST}
    found = {check.text: check.level for check in rollback_checks(plan, WayFacts(), "lena")}
    (said,) = [text for text in found if text.startswith("router edge/api can't be asked")]
    assert found[said] is Level.WARN


def test_the_order_of_a_deploy_with_shares() -> None:
    to = {"release": "v2-0123456789", "slot": "green"}
    steps: list[dict[str, Any]] = [
        {"action": "switch", "host": "a", "batch": 1, **to},
        {"action": "share", "host": "(here)", "batch": 2, "percent": 25.0, **to},
        {"action": "route", "host": "(here)", "batch": 3, "rules": [["header", "beta"]], **to},
        {"action": "pause", "host": "(here)", "batch": 4, "promote": True},
        {"action": "switch", "host": "b", "batch": 5, **to},
        {"action": "switch", "host": "c", "batch": 5, **to},
        {"action": "share", "host": "(here)", "batch": 6, "percent": 100.0, **to},
        {"action": "retire", "host": "a", "batch": 7, **to},
        {"action": "retire", "host": "b", "batch": 7, **to},
    ]
    assert [plain(row)[6:] for row in wave_rows(steps, 80)] == [
        "a, then 25 % of the requests to v2",
        "header beta to v2",
        "pause until promoted",
        "b c, then 100 % of the requests to v2",
        "stop the old instance on each host",
    ]


def test_status_says_it_in_lines(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from quarterdeck.rollouts.status import status
    from quarterdeck.tui.cli.printing import Printer

    with Journal.open(state, operator=LENA, read_only=True) as journal:
        document = status(load_fleet(state.with_name("fleet.yml")), journal)
    show_status(Printer(), document)
    said = capsys.readouterr().out
    assert "= production/api behind edge/api: requests v1 75 %, v2 25 %; header beta to v2" in said
    assert (
        "~ production/shop behind edge/shop: green gets 30 %, not 0 %; 10.0.0.9:8081 was put in service in green"
        in said
    )
    assert f"? production/web behind outer/web: {LOST} (last known: requests v4 100 %, seen " in said
    routers = {one["target"]: one["router"] for one in document["targets"]}
    assert routers[API]["rules"] == [{"on": "header", "value": "beta", "slot": "green"}]
    assert (routers[WEB]["error"], routers[WEB]["drift"]) == (LOST, False)


def test_the_rollback_card_leaves_what_is_coming_before_its_hosts_were_looked_at(state: Path) -> None:
    with Journal.open(state, operator=LENA, read_only=True) as journal:
        api = take_picture(load_fleet(state.with_name("fleet.yml")), journal).targets[API]
    leaves, goes_to, _ = RollbackCard(API, api).ends(78)
    assert plain(leaves).split()[:2] == ["from", "v2"]
    assert plain(goes_to).split()[:2] == ["to", "v1"]
