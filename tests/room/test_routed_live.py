"""A canary behind a real HAProxy in the control room, in a real terminal of 80 columns without colour: the card says what the router does,
the bar follows, what somebody changes by hand is told."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.backends.routers.running import RunningHaproxy
from tests.field import TARGET
from tests.rollouts.routed_field import RoutedField, behind
from tests.room.terminal import Terminal
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]


@pytest.fixture
async def field(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(RunningHaproxy(), tmp_path, sshd_fleet, count=2) as made:
        yield made


def room(field: RoutedField) -> Terminal:
    places = {name: str(field.directory / name) for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    return Terminal(field.command(TARGET), size=(80, 24), environment={**os.environ, **places, "NO_COLOR": "1"})


async def test_the_bar_follows_a_canary_and_tells_what_others_change(field: RoutedField) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    field.write(strategy={"canary": {"steps": [{"set_weight": 25}, {"pause": {}}]}})
    haproxy = field.router
    assert isinstance(haproxy, RunningHaproxy)
    with room(field) as terminal:
        terminal.wait_for("[=v1")
        terminal.wait_for("reqs v1 100 %")
        terminal.send("D")
        terminal.wait_for("versions of staging/web")
        terminal.send("tv2\r")
        terminal.wait_for("DEPLOY  web @ STAGING")
        terminal.wait_for("1  host-1, then 25 % of the requests to v2")
        terminal.wait_for("router edge/api: v2 gets 0 % of the requests now")
        terminal.wait_for("y deploy")
        terminal.send("y")
        terminal.wait_for("1 of 2 hosts")
        terminal.wait_for("v2 25 %")
        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY")
        terminal.send("2")
        terminal.wait_for("requests through edge/api")
        terminal.wait_for("25 % [#####...............]")
        terminal.wait_for("75 % [###############.....]")
        await haproxy.ask(f"set map {haproxy.directory}/qd/api_share.map api 500")
        terminal.wait_for("green gets 5 %, not 25 %")
        done = await field.do("promote", TARGET)
        assert "promote" in done
        terminal.wait_gone("green gets 5 %")
        terminal.send("1")
        terminal.wait_for("reqs v2 100 %")
        terminal.wait_for("[=v2")
        haproxy.kill()
        terminal.wait_for("reqs v2 100 % ")
        terminal.wait_for("does not answer: Co")
        await haproxy.start()
        terminal.wait_gone("edge on this machine")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
    said = await field.do("show", TARGET)
    assert "25 % of the requests to v2" in said
    assert "(here)        share" not in said
    followed = (await field.do("watch", TARGET, status=None)).splitlines()
    shares = [line.partition("requests")[2].strip() for line in followed if " requests " in line]
    assert "v1 75 %, v2 25 %" in shares
    assert shares[-1] == "v2 100 %"
    assert not [line for line in followed if "routed" in line]
