"""The observer on real hosts: what it sees reaches the journal, one leads for all rooms, hosts may go and come back."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.history import engine
from quarterdeck.history.clock import boottime, now
from quarterdeck.history.records import Metric, Observation
from quarterdeck.history.samples import SECOND
from quarterdeck.rollouts.health import VITALS
from tests.field import TARGET, Field
from tests.observers import ObservedRooms, observed_rooms
from tests.sshd import SshHost, wait_for
from tests.trust.test_08_disk_full_journal import disk, fill

__all__ = ["disk"]  # a fixture: sixteen real megabytes

pytestmark = [pytest.mark.sshd]
rooms = pytest.fixture(observed_rooms)


def seen(field: Field) -> dict[str, Observation]:
    with field.journal(read_only=True) as journal:
        return {one.host: one for one in journal.observations(TARGET)}


def until(field: Field, holds: Callable[[dict[str, Observation]], object], what: str, deadline: float = 60.0) -> None:
    wait_for(lambda: holds(seen(field)), what, deadline)


def all_healthy(field: Field, version: str) -> Callable[[dict[str, Observation]], bool]:
    """As somebody saw who looked: what a rollout itself wrote down has no health check's word."""

    def holds(found: dict[str, Observation]) -> bool:
        fine = [
            one for one in found.values() if one.version == version and one.health == "healthy" and one.error is None
        ]
        return len(fine) == len(field.hosts) and all("detail" in one.body for one in fine)

    return holds


def executions(host: SshHost) -> int:
    return host.log.count("Starting session: command")


def change_behind_its_back(field: Field, host: SshHost, version: str) -> None:
    home = field.home(host)
    other = next(entry for entry in os.listdir(home / "releases") if entry.startswith(f"{version}-"))
    os.unlink(home / "current")
    os.symlink(f"releases/{other}", home / "current")


def test_what_runs_reaches_the_journal_with_samples_of_service_and_host(field: Field, rooms: ObservedRooms) -> None:
    field.deploy("v1")
    room = rooms(field.file, target=TARGET)
    until(field, all_healthy(field, "v1"), "all hosts healthy")
    hosts = [host.name for host in field.hosts.hosts]

    def measured() -> set[tuple[str, str]]:
        with field.journal(read_only=True) as journal:
            return {(one.host, one.metric) for one in journal.samples(TARGET, hosts, 60)}

    wanted = {(host, str(metric)) for host in hosts for metric in (*VITALS, Metric.LATENCY)}
    wait_for(lambda: measured() >= wanted, "samples of every kind from every host")
    with field.journal(read_only=True) as journal:
        (presence,) = journal.presences()
        assert (presence.pid, presence.who, presence.target) == (room.pid, "alice@bastion-2", TARGET)
        assert presence.looked > 0
        releases = {one.release for one in journal.samples(TARGET, hosts, 60) if one.target}
        assert {release and release.rpartition("-")[0] for release in releases} == {"v1"}


def test_a_host_changed_behind_its_back_is_seen_within_one_look(field: Field, rooms: ObservedRooms) -> None:
    field.deploy("v1")
    field.deploy("v2")
    rooms(field.file, target=TARGET)
    until(field, all_healthy(field, "v2"), "all hosts healthy")
    changed = field.hosts[1]
    before = executions(changed)
    change_behind_its_back(field, changed, "v1")
    until(field, lambda found: found[changed.name].version == "v1", "the change to be seen")
    # Two for each look: one that was under way, the one that sees it, and those that come before this test has read what that one wrote.
    assert executions(changed) - before <= 12


def test_a_hung_and_a_dead_host_keep_their_age_delay_nobody_and_recover(field: Field, rooms: ObservedRooms) -> None:
    field.deploy("v1")
    rooms(field.file, target=TARGET)
    until(field, all_healthy(field, "v1"), "all hosts healthy")
    hung, dead, well = field.hosts[0], field.hosts[1], field.hosts[2]
    before = seen(field)
    try:
        hung.freeze()
        dead.stop()
        until(
            field,
            lambda found: found[hung.name].error is not None and found[dead.name].error is not None,
            "both to be told",
        )
        lost = seen(field)
        for host in (hung, dead):
            assert (lost[host.name].health, lost[host.name].version) == ("unknown", "v1")
            assert lost[host.name].time >= before[host.name].time
        time_then = lost[well.name].time
        until(field, lambda found: found[well.name].time > time_then, "the others to be looked at meanwhile", 40)
        assert seen(field)[hung.name].time == lost[hung.name].time
        assert seen(field)[dead.name].time == lost[dead.name].time
    finally:
        hung.thaw()
        dead.start()
    until(field, all_healthy(field, "v1"), "both to be seen again")


def test_two_rooms_ask_the_hosts_once_and_a_dead_leader_is_followed(field: Field, rooms: ObservedRooms) -> None:
    field.deploy("v1")
    first = rooms(field.file, who="alice", target=TARGET)
    until(field, all_healthy(field, "v1"), "all hosts healthy")
    host = field.hosts[0]

    second = rooms(field.file, who="lena", target=TARGET)

    def who_leads() -> set[str]:
        with field.journal(read_only=True) as journal:
            return {one.who for one in journal.presences() if one.looked > 0}

    def here() -> list[str]:
        with field.journal(read_only=True) as journal:
            return [one.who.partition("@")[0] for one in journal.presences()]

    wait_for(lambda: here() == ["alice", "lena"], "both to be here")
    count, began = executions(host), time.monotonic()
    wait_for(lambda: time.monotonic() - began > 8, "eight seconds")
    # Two for each look, which comes every two seconds, and one now and then; twice as many where both of them ask.
    looked = executions(host) - count
    assert looked <= 14 * (time.monotonic() - began) / 8
    assert who_leads() == {"alice@bastion-2"}

    first.kill_observer()
    count = executions(host)
    wait_for(lambda: executions(host) > count, "the other one to look")
    wait_for(lambda: "lena@bastion-2" in who_leads(), "the other one's word that it looks")
    second.say(view="logs", target=None)

    def lena() -> str:
        with field.journal(read_only=True) as journal:
            return next(one.view for one in journal.presences() if one.who.startswith("lena"))

    wait_for(lambda: lena() == "logs", "what she has open")


def test_an_observer_ends_with_its_room(field: Field, rooms: ObservedRooms) -> None:
    field.deploy("v1")
    room = rooms(field.file, target=TARGET)
    until(field, all_healthy(field, "v1"), "all hosts healthy")
    field.hosts[0].freeze()  # also with a look that hangs
    try:
        room.kill()
        wait_for(
            lambda: not room.observer_lives(), "the observer to end", 20
        )  # sooner than a look that hangs is given up
    finally:
        field.hosts[0].thaw()
    with field.journal(read_only=True) as journal:
        assert journal.presences() == []


def test_refresh_looks_now_also_when_another_room_leads(field: Field, rooms: ObservedRooms) -> None:
    field.deploy("v1")
    field.deploy("v2")
    rooms(field.file, who="alice", view="history", rest=600, chosen=600, shown=600)  # would not look again for long
    until(field, all_healthy(field, "v2"), "the first look")
    other = rooms(field.file, who="lena", view="overview", target=TARGET, chosen=500, shown=500, rest=600)

    def both() -> bool:
        with field.journal(read_only=True) as journal:
            return len(journal.presences()) == 2

    wait_for(both, "both to be here")
    changed = field.hosts[1]
    change_behind_its_back(field, changed, "v1")
    other.say(refresh=True)
    until(field, lambda found: found[changed.name].version == "v1", "the change to be seen")


def test_a_journal_that_comes_later_goes_and_comes_back_is_survived(
    field: Field, rooms: ObservedRooms, tmp_path: Path
) -> None:
    room = rooms(field.file, target=TARGET)
    wait_for(room.observer_lives, "the observer")
    assert not field.state.exists()  # looking makes no journal
    field.deploy("v1")
    until(field, all_healthy(field, "v1"), "all hosts healthy")
    field.state.rename(tmp_path / "moved")
    field.deploy("v2", status=0)
    until(field, all_healthy(field, "v2"), "the new journal to be filled", 40)
    assert room.observer_lives()


@pytest.mark.root
def test_a_full_disk_and_a_busy_journal_are_survived(field: Field, disk: Path, rooms: ObservedRooms) -> None:
    field.state.symlink_to(disk / "state")
    (disk / "state").mkdir(0o700)
    field.deploy("v1")
    room = rooms(field.file, target=TARGET)
    until(field, all_healthy(field, "v1"), "all hosts healthy")
    name = field.hosts[0].name

    def goes_on(after: str, deadline: float) -> None:
        until(field, lambda found: found[name].time > after, "looks to be written down again", deadline)

    def silent() -> bool:
        with field.journal(read_only=True) as journal:
            return boottime() - max(one.looked for one in journal.presences()) > 6 * SECOND

    filler = fill(disk)
    wait_for(
        silent, "nothing to be written down any more", 60
    )  # what is written over and over finds its place for a while
    assert room.observer_lives()
    filler.unlink()
    goes_on(now(), 60)
    assert room.observer_lives()

    holder = engine.connect(field.state / "history.db")
    holder.execute("BEGIN IMMEDIATE")
    time.sleep(3.8)  # a second longer than a write waits
    holder.execute("ROLLBACK")
    holder.close()
    goes_on(now(), 60)
    assert room.observer_lives()
