"""A copy of the release before goes from a real host behind everybody's back: the way back is journalled as closed, people are told, and
told again when it is there again; by the observer of a room, and by a timer where no room is open."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.history.records import Observation
from quarterdeck.rollouts.telling import NOT_TOLD, TOLD
from quarterdeck.rollouts.way_back.watch import CLOSED, OPEN, Turned
from tests.field import TARGET, Field
from tests.observers import ObservedRooms, observed_rooms
from tests.sshd import SshHost, wait_for
from tests.told import Told, service

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]
rooms = pytest.fixture(observed_rooms)


@pytest.fixture
def told() -> Iterator[Told]:
    with service() as made:
        yield made


@pytest.fixture
def two_releases(field: Field, told: Told) -> Iterator[Field]:
    """v2 runs, v1 is kept; what is told by default is told the service. What the journal has of it is in the report of a failure."""
    field.extra["notify"] = [{"to": told.url(), "title": "{{event}}"}]
    field.write()
    field.deploy("v1")
    field.deploy("v2")
    yield field
    with field.journal(read_only=True) as journal:
        for event in journal.events(target=TARGET, limit=500):
            if event.rollout is None:
                print(event.time, event.kind, dict(event.body))


def copy_of(field: Field, host: SshHost, version: str) -> Path:
    home = field.home(host) / "releases"
    return home / next(entry for entry in os.listdir(home) if entry.startswith(f"{version}-"))


def looks(field: Field) -> list[Observation]:
    with field.journal(read_only=True) as journal:
        return journal.observations(TARGET)


def journalled(field: Field) -> list[str]:
    with field.journal(read_only=True) as journal:
        return [event.kind for event in journal.events(target=TARGET, limit=500) if event.kind in (CLOSED, OPEN)]


def test_a_room_s_observer_journals_and_tells_it_once(two_releases: Field, told: Told, rooms: ObservedRooms) -> None:
    field, host = two_releases, two_releases.hosts.hosts[1]
    rooms(field.file, who="alice", target=TARGET, hold=1.0)
    rooms(field.file, who="bob", target=TARGET, hold=1.0)
    copy = copy_of(field, host, "v1")
    shutil.move(copy, copy.with_name(f".{copy.name}.away"))
    told.until("the way back is closed")
    assert f"v1 can't be put back as it is: {host.name}: no copy of v1" in told.came[0]["message"]
    assert "fleet field: qd ready staging" in told.came[0]["message"]
    assert told.came[0]["type"] == "warning"
    assert journalled(field) == [CLOSED]

    shutil.move(copy.with_name(f".{copy.name}.away"), copy)
    told.until("the way back is closed", "the way back is open")
    assert journalled(field) == [CLOSED, OPEN]

    def answers() -> list[str]:
        with field.journal(read_only=True) as journal:
            return [str(event.body["event"]) for event in journal.events(kind="notified", target=TARGET)]

    wait_for(lambda: answers() == ["unready", "unready"], "what came of both messages is journalled")


def test_what_the_service_did_not_take_is_sent_again_while_it_is_so(
    two_releases: Field, told: Told, rooms: ObservedRooms
) -> None:
    field, host = two_releases, two_releases.hosts.hosts[1]
    told.status = 500
    rooms(field.file, target=TARGET, hold=1.0)
    copy = copy_of(field, host, "v1")
    shutil.move(copy, copy.with_name(f".{copy.name}.away"))
    told.until("the way back is closed")

    def answers() -> list[str]:
        with field.journal(read_only=True) as journal:
            found = [*journal.events(kind=NOT_TOLD, target=TARGET), *journal.events(kind=TOLD, target=TARGET)]
            return [event.kind for event in sorted(found, key=lambda event: event.seq)]

    wait_for(lambda: answers()[:1] == [NOT_TOLD], "the refusal is journalled")
    told.status = 200  # perhaps after it was sent and refused again
    wait_for(lambda: answers()[-1:] == [TOLD], "and that it arrived then", 60)
    assert set(answers()[:-1]) == {NOT_TOLD}
    assert set(told.titles()) == {"the way back is closed"}
    assert journalled(field) == [CLOSED]


def test_what_somebody_else_saw_is_looked_at_again(two_releases: Field, told: Told, rooms: ObservedRooms) -> None:
    """A timer that could not reach a host says that the way back has closed; the room, which sees nothing new, says that it is open."""
    field = two_releases
    rooms(field.file, target=TARGET, hold=1.0)
    wait_for(lambda: any("detail" in one.body for one in looks(field)), "the room looks")
    with field.journal() as journal:
        turned = Turned(TARGET, True, "v1-1", "v1", ("host-1: can't be reached",))
        journal.record(CLOSED, target=TARGET, body=turned.body())
    told.until("the way back is open")
    assert journalled(field) == [CLOSED, OPEN]


def test_a_timer_tells_it_where_no_room_is_open(two_releases: Field, told: Told) -> None:
    field, host = two_releases, two_releases.hosts.hosts[0]

    def ready(*arguments: str, status: int = 0) -> list[dict[str, Any]]:
        document = json.loads(field.qd("ready", "--tell", "--json", *arguments, status=status).stdout)
        found: list[dict[str, Any]] = document["told"]
        return found

    assert ready() == []
    copy = copy_of(field, host, "v1")
    away = shutil.move(copy, copy.with_name(f".{copy.name}.away"))
    closed, sent = ready("--strict", status=1)
    assert (closed["target"], closed["way_back"]) == (TARGET, "closed")
    assert closed["reasons"] == [f"{host.name}: no copy of v1"]
    assert sent == {"notify": 1, "service": "json", "about": TARGET, "error": None}
    assert ready() == [], "once"
    assert told.titles() == ["the way back is closed"]
    told.status = 500
    shutil.move(away, copy)
    done = field.qd("ready", "--tell", status=1)
    assert f"journalled: {TARGET}: the way back to v1 is open" in done.stdout
    assert "not told: notify 1 (json)" in done.stderr
    assert journalled(field) == [CLOSED, OPEN]
    assert "--read-only was given" in field.qd("--read-only", "ready", "--tell", status=5).stderr


def test_a_timer_beside_a_room_is_heard_and_what_a_killed_leader_did_not_tell_is_told(
    two_releases: Field, told: Told, rooms: ObservedRooms
) -> None:
    field, host = two_releases, two_releases.hosts.hosts[1]
    room = rooms(field.file, target=TARGET, hold=3.0)
    wait_for(lambda: any("detail" in one.body for one in looks(field)), "the room looks")
    copy = copy_of(field, host, "v1")
    shutil.move(copy, copy.with_name(f".{copy.name}.away"))
    field.qd("ready", "--tell", status=0)
    told.until("the way back is closed")
    shutil.move(copy.with_name(f".{copy.name}.away"), copy)
    told.until("the way back is closed", "the way back is open", deadline=60)
    assert journalled(field) == [CLOSED, OPEN], "the room has heard that it was said"

    with field.journal() as journal:  # what a leader writes before it tells, and then is killed
        last = journal.events(target=TARGET, kind=CLOSED, limit=1)[0]
        room.kill()
        seq = journal.record(CLOSED, target=TARGET, body=last.body).seq
    rooms(field.file, target=TARGET, hold=60.0)
    told.until("the way back is closed", "the way back is open", "the way back is closed", deadline=60)
    with field.journal(read_only=True) as journal:
        wait_for(lambda: journal.events(seq, kind="notified", limit=1), "what came of it")
