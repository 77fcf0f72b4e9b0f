"""Services on a Swarm beside one on an SSH host, compared with the pictures that are kept, and what of them must be there at every size."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.clock import now
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.swarm import swarm_seen
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.keymap import DEFAULT
from quarterdeck.tui.room.manual import help_rows
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.permission import Standing
from quarterdeck.tui.room.rows import Role, plain, width_of
from quarterdeck.tui.room.swarm_rows import node_rows, nodes_in_short, task_rows, tasks_in_short
from tests.room.acme import LENA, NOW
from tests.room.pictures import Screen, compare
from tests.room.seen import pane_text, until
from tests.room.swarmed import AGENT, CART, OF_SHOP, SHOP, SHOP_BEFORE, SHOP_NOW, SWARM, fill_swarmed, fleet_text
from tests.room.test_snapshots import _card_shows, _shows

SIZES = ((80, 24), (200, 60))
SCREENS = (
    Screen("swarm-overview", target=SHOP, ready=_shows("card", "5/6 run")),
    Screen("swarm-health", ("4",), target=SHOP, ready=_shows("health", "TASK ON")),
    Screen("swarm-health-end", ("4", "tab", "G"), target=SHOP, ready=_shows("health", "pending")),
    Screen("swarm-rollout", ("2",), target=AGENT, ready=_shows("rollout", "tasks run v4")),
    Screen("swarm-drift", ("6",), target=SHOP, ready=_shows("drift", "5 of 6")),
    Screen("swarm-readiness", ("7",), target=CART, ready=_shows("readiness", "swarm-eu: the image")),
    Screen("swarm-abort", ("A",), target=AGENT, ready=_card_shows("tasks run v4")),
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    fill_swarmed(state)
    state.with_name("fleet.yml").write_text(fleet_text(state))
    return state


def make(state: Path, **options: Any) -> Room:
    options = {"clock": lambda: NOW, "observe": False, **options}
    return Room(Opening(load_fleet(state.with_name("fleet.yml")), LENA, **options))


@pytest.mark.parametrize(("screen", "size"), [(screen, size) for screen in SCREENS for size in SIZES], ids=str)
async def test_it_looks_as_it_did(state: Path, screen: Screen, size: tuple[int, int]) -> None:
    await compare(make(state, target=screen.target), screen, size)


def seen_again(state: Path, *states: str, well: int | None = None, asked: str = "") -> None:
    """Another look at the shop: its tasks in these states, in the order of their slots, none of them on its way out. ``well``: how many of
    them, by the check of each; ``asked``: when a registry was asked for the release before."""
    tasks = [one for one in OF_SHOP["tasks"] if one["wanted"]]
    told = [
        {**one, "node": "node-2", "state": how, "said": ""}
        for one, how in zip(tasks, states or ["running"] * 6, strict=True)
    ]
    body: dict[str, Any] = {"kept": [SHOP_NOW.id], "detail": "6 tasks: http 200", "swarm": {**OF_SHOP, "tasks": told}}
    health = "healthy"
    if well is not None and well < len(told):
        health, body["detail"] = "unhealthy", f"{well} of 6 tasks are well: http 500 from :8080/healthz"
    if well is not None:
        body["swarm"]["well"] = well
    if asked:
        body |= {"asked": {SHOP_BEFORE.id: asked}, "kept": [SHOP_BEFORE.id, SHOP_NOW.id]}
    with Journal.open(state, operator=LENA) as journal:
        journal.observe([Observation(SHOP, SWARM, now(), SHOP_NOW.id, "1.9.0", health, None, body)])


async def test_tasks_and_nodes_are_live_and_scroll_on_a_small_terminal(state: Path) -> None:
    room = make(state, target=SHOP)
    async with room.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "tab")
        await until(pilot, lambda: "4   -" in pane_text(room, "health"), "the task that waits")
        assert "NODE OF" not in pane_text(room, "health")
        await pilot.press("G")
        await until(pilot, lambda: "node-4" in pane_text(room, "health"), "the nodes, below")
        assert "5 tasks, 3 of shop" in pane_text(room, "health"), "those of the other targets are counted, too"
        seen_again(state)
        await until(pilot, lambda: "6 of shop" in pane_text(room, "health"), "what is seen now")
        await pilot.press("g")
        await until(pilot, lambda: "6/6 tasks run" in pane_text(room, "health"), "the count")
        assert "pending" not in pane_text(room, "health")


async def test_a_matrix_cell_counts_tasks_only_where_one_is_missing(state: Path) -> None:
    room = make(state, target=SHOP)
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "x1.9.0 5/6" in pane_text(room, "matrix"), "five of six")
        seen_again(state)
        await until(pilot, lambda: "=1.9.0" in pane_text(room, "matrix"), "all of them")
        row = next(line for line in pane_text(room, "matrix").splitlines() if "shop" in line)
        assert "/" not in row
        assert row.rstrip().endswith("6")
        seen_again(state, "running", "running", "running", "running", "running", "failed")
        await until(pilot, lambda: "6 failed" in pane_text(room, "card"), "the one that failed")


async def test_tasks_that_all_run_and_are_not_all_well(state: Path) -> None:
    """Degraded, and down where none is well: by how many are well, not by how many run. Seen to fail (down in both cases) without the
    count."""
    room = make(state, target=SHOP)
    async with room.run_test(size=(120, 35)) as pilot:
        seen_again(state, well=5)
        await until(pilot, lambda: "6/6 run, 5 well" in pane_text(room, "card"), "the one that is ill")
        assert room.picture.targets[SHOP].health == "degraded"
        assert "5 of 6 tasks are well: http 500" in pane_text(room, "card")
        await pilot.press("4")
        await until(pilot, lambda: "6/6 run, 5 well" in pane_text(room, "health"), "the same above its tasks")
        seen_again(state, well=0)
        await until(pilot, lambda: "6/6 run, 0 well" in pane_text(room, "health"), "none is well")
        assert room.picture.targets[SHOP].health == "down"
        seen_again(state, well=6)
        await until(pilot, lambda: room.picture.targets[SHOP].health == "healthy", "all are")
        await until(pilot, lambda: "6/6 run" in pane_text(room, "health"), "which goes without saying")
        assert "well" not in next(line for line in pane_text(room, "health").splitlines() if "TASK ON" in line)


async def test_how_old_the_word_of_a_registry_is(state: Path) -> None:
    room = make(state, target=SHOP)
    async with room.run_test(size=(200, 50)) as pilot:
        seen_again(state, asked=ago_of(minutes=4))
        words = "its image can be fetched (registry asked 4m ago)"
        await until(pilot, lambda: words in pane_text(room, "card"), "on the card")
        await pilot.press("7")
        await until(pilot, lambda: "registry asked 4m ago" in pane_text(room, "readiness"), "in its row")
        row = next(line for line in pane_text(room, "readiness").splitlines() if "production/cart" in line)
        assert "asked" not in row, "nobody has asked for that one"


def ago_of(*, minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.mark.parametrize("pane", ["health", "vitals"])
def test_help_says_what_the_rows_are_where_they_have_the_keys(pane: str) -> None:
    standing = Standing(LENA, may_change=True)
    words = " ".join(plain(line) for line in help_rows(pane, DEFAULT, standing, (80, 24), 78))
    assert "On a Swarm, below the hosts (Tab goes there, j and k scroll)" in words
    assert "On a Swarm" not in " ".join(plain(line) for line in help_rows("logs", DEFAULT, standing, (80, 24), 78))


@pytest.mark.parametrize("size", SIZES)
async def test_the_card_has_tasks_and_nodes(state: Path, size: tuple[int, int]) -> None:
    room = make(state, target=CART)
    async with room.run_test(size=size) as pilot:
        await until(pilot, lambda: "2/2 run: node-1 1, node-2 1" in pane_text(room, "card"), "its tasks")
        assert "copy on" not in pane_text(room, "card")


def test_a_swarm_that_can_not_be_asked_is_shown_as_it_was_seen_last() -> None:
    """Nothing of it is called good, whatever it was."""
    swarm = swarm_seen(OF_SHOP)
    host = HostSeen(
        SWARM, SHOP_NOW.id, "1.9.0", "unknown", "2026-11-24T14:00:00.000Z", "swarm-eu: no answer", swarm=swarm
    )
    seen = TargetSeen(SHOP, "production", "shop", release=SHOP_NOW.id, hosts=(host,))
    picture = Picture("swarmed", ("production",), ("shop",), {SHOP: seen})
    tasks, nodes = ([plain(row) for row in rows] for rows in (task_rows(seen, 80), node_rows(seen, picture, 80)))
    assert "5/6 run  as last seen" in tasks[0]
    assert "2/4 ready  as last seen" in nodes[0]
    assert {line[1] for line in (*tasks[1:], *nodes[1:])} == {"?"}
    assert (tasks_in_short(seen) or ("", Role.OK))[1] is Role.STALE
    elsewhere = TargetSeen(CART, "production", "cart", hosts=(HostSeen("web-1"),))
    assert (task_rows(elsewhere, 80), tasks_in_short(elsewhere), nodes_in_short(elsewhere)) == ([], None, None)


@pytest.mark.parametrize("width", [40, 57, 80, 200])
def test_rows_fit(width: int) -> None:
    host = HostSeen(SWARM, SHOP_NOW.id, "1.9.0", "healthy", "2026-11-24T14:00:00.000Z", swarm=swarm_seen(OF_SHOP))
    seen = TargetSeen(SHOP, "production", "shop", release=SHOP_NOW.id, hosts=(host,))
    picture = Picture("swarmed", ("production",), ("shop",), {SHOP: seen})
    assert all(width_of(row) <= width for row in (*task_rows(seen, width), *node_rows(seen, picture, width)))
