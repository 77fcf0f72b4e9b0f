"""Services on a Swarm beside one on an SSH host, compared with the pictures that are kept, and what of them must be there at every size."""

import json
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.clock import now
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.opening import Opening
from tests.room.acme import LENA, NOW, frozen_clock
from tests.room.pictures import Screen, compare
from tests.room.seen import pane_text, until
from tests.room.swarmed import (
    AGENT,
    AGENT_NEXT,
    AGENT_NOW,
    CART,
    OF_SHOP,
    SHOP,
    SHOP_NOW,
    SWARM,
    fill_swarmed,
    fleet_text,
    told,
)
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
