"""SSH hosts and Docker engines on one screen, at every size and in three looks, compared with the pictures that are kept."""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.opening import Opening
from tests.room.acme import LENA, NOW
from tests.room.mixed import SHOP, fill_mixed, fleet_text
from tests.room.pictures import SIZES, Screen, compare
from tests.room.seen import pane_text, until
from tests.room.test_snapshots import _card_shows, _shows

SCREENS = (
    Screen("mixed-overview", target=SHOP, ready=_shows("card", "mem 497M/512M")),
    Screen("mixed-health", ("4",), target=SHOP, ready=_shows("health", "svc mem")),
    Screen("mixed-drift", ("6",), target=SHOP, ready=_shows("drift", "box-2")),
    Screen("mixed-builds", ("8",), target=SHOP, ready=_shows("builds", "1.8.0")),
    Screen("mixed-diff", ("d",), target=SHOP, ready=_card_shows("mem_limit")),
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("mixed") / "state"
    fill_mixed(state)
    state.with_name("fleet.yml").write_text(fleet_text(state))
    return state


def make(state: Path, **options: Any) -> Room:
    options = {"clock": lambda: NOW, "observe": False, **options}
    return Room(Opening(load_fleet(state.with_name("fleet.yml")), LENA, **options))


@pytest.mark.parametrize(("screen", "size"), [(screen, size) for screen in SCREENS for size in SIZES], ids=str)
async def test_it_looks_as_it_did(state: Path, screen: Screen, size: tuple[int, int]) -> None:
    await compare(make(state, target=screen.target), screen, size)


@pytest.mark.parametrize(("size", "pane"), [((80, 24), "health"), ((120, 35), "vitals"), ((200, 60), "vitals")])
async def test_what_each_container_uses_is_beside_its_hosts_vitals(
    state: Path, size: tuple[int, int], pane: str
) -> None:
    """At every size, once; what was not measured is a dash."""
    room = make(state, target=SHOP)
    async with room.run_test(size=size) as pilot:
        await pilot.press("4")
        await until(pilot, lambda: "CONTAINER ON" in pane_text(room, pane), "the containers")
        rows = pane_text(room, pane).partition("CONTAINER ON")[2].splitlines()
        assert [row.split() for row in rows[1:3]] == [
            ["box-1", "12%", "214M/512M", "0", "0", "9K/303K", "<5s"],
            ["box-2", "-", "497M/512M", "2", "1", "-", "<5s"],
        ]
        assert ("CONTAINER ON" in pane_text(room, "health")) == (pane == "health")
        await pilot.press("tab", "z")
        await until(pilot, lambda: "CONTAINER ON" in pane_text(room, "health"), "the pane that is alone to have them")


async def test_a_container_is_told_as_one(state: Path) -> None:
    room = make(state, target=SHOP)
    async with room.run_test(size=(200, 60)) as pilot:
        await until(pilot, lambda: "warm on 2 of 2" in pane_text(room, "card"), "the way back")
        card = pane_text(room, "card")
        assert "image registry.acme.io/shop/shop" in card
        assert "container production-shop" in card
        assert "ports 8080:80  restart unless-stopped" in card
        assert "box-2: production-shop was killed for want of memory" in card
        assert room.target is not None
        assert room.target.mark == "~"
