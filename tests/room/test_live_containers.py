"""The control room on a real engine: what a container uses reaches the screen, at the smallest size and without colour."""

import asyncio
import re
from pathlib import Path

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.opening import Opening
from tests.boxes import Registry
from tests.engine import DockerEngine
from tests.engine_field import ANSWERS, put_everything, write_fleet
from tests.room.seen import pane_text, until

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]
LIMIT = {"network_mode": "bridge", "mem_limit": "48m", "restart": "unless-stopped"}
ROW = re.compile(r" box-1 +<?\d+% +(\d+K|[\d.]+M)/48M +0 +0 +(?P<came>\S+)/\S+ ")


async def test_figures_of_a_container_come_to_the_card_and_to_the_health_view(
    docker_engine: DockerEngine, docker_images: Registry, tmp_path: Path
) -> None:
    services = {"web": {"container": LIMIT, "health": ANSWERS}}
    fleet = write_fleet(tmp_path / "fleet.json", docker_images, {"box-1": docker_engine}, services)
    await asyncio.to_thread(asyncio.run, put_everything(fleet, docker_images, docker_engine, "v1"))
    Journal.open(fleet.state, operator=current_operator()).close()
    room = Room(Opening(fleet, current_operator(), target="bench/web", look="no-colour"))
    try:
        async with room.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "/48M  restarts 0" in pane_text(room, "card"), "figures on the card")
            await pilot.press("4")
            await until(pilot, lambda: ROW.search(pane_text(room, "health")) is not None, "those of two looks")
            found = ROW.search(pane_text(room, "health"))
            assert found is not None
            assert found["came"] != "0", "its health checks come over its network"
            assert "svc mem" in pane_text(room, "health")
            assert "limit 48M" in pane_text(room, "health")
    finally:
        docker_engine.remove_containers()
