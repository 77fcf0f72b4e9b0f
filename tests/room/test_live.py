"""The control room on real hosts: what they run and how they are reaches the screen; hosts, observers and rooms come and go."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.identity import current_operator
from quarterdeck.rollouts.observer.pace import Pace
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.panes.header import STALE
from quarterdeck.tui.room.presence import pace_of
from tests.field import TARGET, Field
from tests.observers import ObservedRooms, observed_rooms
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal
from tests.sshd import SshdFleet, wait_for
from tests.trust.recording import Promises

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]
rooms = pytest.fixture(observed_rooms)
GONE = timedelta(minutes=5, seconds=1)
FULL = os.environ.get("QD_TRUST") == "full"


@pytest.fixture
def field(tmp_path: Path, sshd_fleet: SshdFleet) -> Iterator[Field]:
    made = Field(tmp_path, sshd_fleet)
    made.clear_hosts()
    yield made
    for host in sshd_fleet.hosts:
        host.thaw()


def open_room(field: Field, **options: Any) -> Room:
    return Room(Opening(field.fleet(), current_operator(), target=TARGET, **options))


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


async def test_what_hosts_say_reaches_the_screen_hosts_may_go_and_come_back(field: Field) -> None:
    field.deploy("v1")
    room = open_room(field)
    async with room.run_test(size=(200, 50)) as pilot:
        await until(pilot, lambda: "LIVE" in pane_text(room, "header"), "a first look")
        await until(pilot, lambda: "hosts 5/5 reachable" in pane_text(room, "header"), "all hosts")
        await until(pilot, lambda: " ok" in pane_text(room, "health"), "the verdict of the probes")
        health = pane_text(room, "health")
        assert "5/5 hosts healthy" in health
        assert "5 v1" in health
        await pilot.press("4")
        await until(pilot, lambda: "5/5" in pane_text(room, "health-list"), "the list")
        await until(pilot, lambda: "host-5" in pane_text(room, "vitals") and "%" in pane_text(room, "vitals"), "vitals")
        hung, dead = field.hosts[0], field.hosts[1]
        hung.freeze()
        dead.stop()
        try:
            await until(pilot, lambda: "hosts 3/5 reachable" in pane_text(room, "header"), "both to be missed")
            assert room.target is not None
            assert room.target.mark == "?"
            lost = {host.host: host for host in room.target.hosts if host.error is not None}
            assert set(lost) == {hung.name, dead.name}
            assert all(host.version == "v1" for host in lost.values())  # last known, with its age
            text = pane_text(room, "health")
            assert f"? {hung.name}" in text
            assert "2 not reachable" in text
            await until(pilot, lambda: "LIVE" in pane_text(room, "header"), "the others are looked at")
        finally:
            hung.thaw()
            dead.start()
        await until(pilot, lambda: "hosts 5/5 reachable" in pane_text(room, "header"), "both to be back")
        await until(pilot, lambda: room.target is not None and room.target.mark == "=", "all to be well")


@pytest.mark.trust(23)
@pytest.mark.timeout(600)
async def test_hosts_that_are_gone_for_five_minutes_are_stale_for_five_minutes_and_come_back(
    field: Field, promise: Promises
) -> None:
    """Really five minutes with QD_TRUST=full; else the room's clock goes on by as much, and the hosts are gone for as long as it
    takes to miss them. Seen to fail with a lost host left as it was last seen."""
    field.deploy("v1")
    ahead = timedelta()
    room = open_room(field, clock=lambda: datetime.now(UTC) + ahead)
    async with room.run_test(size=(200, 50)) as pilot:
        await until(pilot, lambda: "hosts 5/5 reachable" in pane_text(room, "header"), "all hosts")
        began = time.monotonic()
        for host in field.hosts.hosts:
            host.stop()
        try:
            await until(pilot, lambda: "hosts 0/5 reachable" in pane_text(room, "header"), "all to be missed")
            if FULL:
                await until(pilot, lambda: time.monotonic() - began > GONE.total_seconds(), "five minutes", 330)
            else:
                ahead = GONE
            await until(pilot, lambda: "stale 5m" in pane_text(room, "header"), "how long they have been gone")
            assert room.target is not None
            assert room.target.mark == "?"
            assert all(host.version == "v1" for host in room.target.hosts)  # last known, never «nothing»
            await pilot.press("6")
            await until(
                pilot, lambda: all(h.name in pane_text(room, "drift") for h in field.hosts.hosts), "each by its name"
            )
            await pilot.press("1")
        finally:
            for host in field.hosts.hosts:
                host.start()
        await until(pilot, lambda: "hosts 5/5 reachable" in pane_text(room, "header"), "all to be back")
        await until(pilot, lambda: room.target is not None and room.target.mark == "=", "all to be well")
        assert "stale" not in pane_text(room, "header")
    promise(23).count("hosts gone and back", len(field.hosts))


@pytest.mark.trust(23)
async def test_a_host_changed_behind_our_back_is_drift_on_the_screen_within_one_poll(
    field: Field, promise: Promises
) -> None:
    field.deploy("v1")
    field.deploy("v2")
    room = open_room(field)
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.target is not None and room.target.mark == "=", "all to be well")
        await until(pilot, lambda: "LIVE" in pane_text(room, "header"), "a first look")
        home = field.home(field.hosts[1])
        old = next(entry for entry in os.listdir(home / "releases") if entry.startswith("v1-"))
        os.unlink(home / "current")
        os.symlink(f"releases/{old}", home / "current")
        changed = time.monotonic()
        await until(pilot, lambda: room.target is not None and room.target.hosts[1].drift, "drift")
        assert time.monotonic() - changed < 2 * Pace().chosen + 20.0  # a poll, on a machine with others on it
        await until(pilot, lambda: "1 v1" in pane_text(room, "health"), "what runs there")
        assert room.picture.targets[TARGET].hosts[0].drift is False
    promise(23).count("hosts that run something else")


async def test_a_rollout_under_way_is_never_drift(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, 1, "100%"], "pause": "2s"}})
    room = open_room(field)
    seen: list[str] = []
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "LIVE" in pane_text(room, "header"), "a first look")
        rollout = field.begin("deploy", "v2")

        def ended() -> bool:
            if room.target is not None:
                seen.extend(host.host for host in room.target.hosts if host.drift)
            return room.target is not None and room.target.version == "v2" and room.target.moving is None

        halfway = "new v2 | old v1"
        await until(pilot, lambda: not ended() and halfway in pane_text(room, "health"), "both beside each other")
        await until(pilot, ended, "the end", 60)
        end = time.monotonic() + 4
        await until(pilot, lambda: ended() and time.monotonic() > end, "a moment afterwards")
        assert room.target is not None
        assert room.target.mark == "="
        assert field.ended(rollout).state == "succeeded"
    assert seen == []


async def test_a_room_that_only_reads_shows_what_anothers_observer_sees(field: Field, rooms: ObservedRooms) -> None:
    field.deploy("v1")
    room = open_room(field, read_only=True)
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: "READ-ONLY no observer" in pane_text(room, "header"), "that nobody looks")
        assert room.observing.observer is None
        await pilot.press("r")
        assert "only reads" in room.said
        other = rooms(field.file, who="lena", target=TARGET)
        await until(pilot, lambda: "LIVE" in pane_text(room, "header"), "the other's looks")
        await until(pilot, lambda: "+lena" in pane_text(room, "header"), "who else is here")
        assert room.picture.others_on(TARGET, os.getpid()) == ("lena@bastion-2",)
        other.kill()
        await until(pilot, lambda: "+lena" not in pane_text(room, "header"), "her to be gone")


async def test_refresh_and_an_observer_that_dies(field: Field) -> None:
    field.deploy("v1")
    room = open_room(field)
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: room.picture.around.looked > 0, "a first look")
        before = room.picture.around.looked
        await pilot.press("r")
        assert room.said == "looking at the hosts"
        await until(pilot, lambda: room.picture.around.looked > before, "another look")
        observer = room.observing.observer
        assert observer is not None
        os.kill(observer.pid, signal.SIGKILL)
        await until(pilot, lambda: room.observing.observer is not observer, "another observer")
        again = room.picture.around.looked
        await until(pilot, lambda: room.picture.around.looked > again, "its looks")
        last = room.observing.observer
        assert last is not None
    wait_for(lambda: not lives(last.pid), "the observer to end with the room")


def test_a_killed_room_leaves_no_observer_behind(field: Field) -> None:
    field.deploy("v1")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QD_")}
    with Terminal(field.command(TARGET), environment=environment) as terminal:
        terminal.wait_for("LIVE")
        (observer,) = map(int, Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split())
        assert lives(observer)
        os.kill(terminal.pid, signal.SIGKILL)
        wait_for(lambda: not lives(observer), "the observer to end")


def test_a_setting_says_how_often_hosts_are_looked_at() -> None:
    assert pace_of(10.0) == Pace()
    assert pace_of(120.0).shown == 120.0
    assert pace_of(120.0).rest >= 120.0
    assert pace_of(10.0).chosen * 2 < STALE
