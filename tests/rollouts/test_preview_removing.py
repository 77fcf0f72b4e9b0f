"""What `qd env remove` leaves alone and says so: what somebody has changed meanwhile, what the fleet file does not lead to any more, what
is not known to be its own, and what did not stop."""

import json
import shutil
from datetime import UTC, datetime
from typing import Any

import pytest

from quarterdeck.config.problems import FleetFileErrors
from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import WorkerLock
from quarterdeck.history.records import RolloutKind
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.logs.merged import open_backend
from quarterdeck.rollouts.previews import declaring
from quarterdeck.rollouts.previews.removing import OnHost, remove_target
from quarterdeck.rollouts.refusals import Refused
from tests.field import Field
from tests.rollouts.previewed import START, clone, home, listed, put_back, runs, street_of
from tests.slot_field import SlotField
from tests.sshd import SshdFleet, wait_for

pytestmark = pytest.mark.sshd


@pytest.fixture
def street(field: Field) -> Field:
    return street_of(field)


def remove(field: Field, *arguments: str, status: int) -> dict[str, Any]:
    done = field.qd("env", "remove", *(arguments or ("pr-7",)), "--yes", "--json", status=status)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def test_what_is_extended_or_made_anew_meanwhile_is_not_removed(street: Field) -> None:
    third = street.hosts.hosts[2]
    clone(street, "--deploy")
    fleet = street.fleet()
    target = fleet.targets["pr-7/web"]
    seen: list[OnHost] = []
    with street.journal() as journal:
        control = Control(fleet, journal, current_operator())
        street.qd("env", "extend", "pr-7", "--for", "2d", status=0)
        with pytest.raises(Refused, match="another end meanwhile"):
            await remove_target(control, open_backend(fleet), target, seen.append)
        assert seen == []
        assert runs(third, "pr-7") == "v2"
        with pytest.raises(Refused, match="another end meanwhile"):
            declaring.forget(control, "pr-7")
        assert "pr-7" in listed(street)

        # From a fleet that was read before: the time comes on top of what somebody else has given it.
        until = datetime.fromisoformat(listed(street)["pr-7"]["until"])
        declaring.extend(control, "pr-7", 86400)
        assert (datetime.fromisoformat(listed(street)["pr-7"]["until"]) - until).total_seconds() == 86400

        street.qd("env", "remove", "pr-7", "--yes", status=0)
        with pytest.raises(Refused, match="somebody has just removed"):
            declaring.extend(control, "pr-7", 86400)
        assert "pr-7" not in listed(street)
        with pytest.raises(Refused, match="somebody has just removed"):
            await remove_target(control, open_backend(fleet), target, seen.append)

        clone(street, "--for", "1h", "--deploy")
        with pytest.raises(Refused, match="made it anew"):
            await remove_target(control, open_backend(fleet), target, seen.append)
        assert runs(third, "pr-7") == "v2"


async def test_what_is_extended_while_it_is_stopped_stays_declared(street: Field) -> None:
    clone(street, "--deploy")
    fleet = street.fleet()
    with street.journal() as journal:
        control = Control(fleet, journal, current_operator())

        def said(_one: OnHost) -> None:
            if listed(street)["pr-7"]["until"] == fleet.previews["pr-7"].until:
                street.qd("env", "extend", "pr-7", "--for", "2d", status=0)

        await remove_target(control, open_backend(fleet), fleet.targets["pr-7/web"], said)
        with pytest.raises(Refused):
            declaring.forget(control, "pr-7")
    assert "pr-7" in listed(street)


def test_a_busy_one_does_not_keep_the_others(street: Field) -> None:
    clone(street, "--deploy")
    hosts = street.hosts[4].name
    street.qd("env", "clone", "staging", "pr-8", "--hosts", hosts, "--deploy", status=0)
    for name in ("pr-7", "pr-8"):
        put_back(street, name)
    with street.journal() as journal:
        busy = journal.arm("pr-7/web", RolloutKind.DEPLOY)
        lock = WorkerLock.acquire(street.state, busy.id)
        journal.begin(busy.id, preempt="nothing")
        try:
            found = remove(street, "--expired", status=5)
        finally:
            lock.release()
    assert found["removed"] == ["pr-8"]
    (refused,) = found["refused"]
    assert (refused["environment"], "is busy" in refused["why"]) == ("pr-7", True)
    assert runs(street.hosts[2], "pr-7") == "v2"
    assert runs(street.hosts[4], "pr-8") is None
    assert list(listed(street)) == ["staging", "production", "pr-7"]


def test_a_service_that_is_declared_no_more_is_left_and_named(street: Field) -> None:
    second, third = street.hosts.hosts[1:3]
    clone(street, "--deploy")
    body = json.loads(street.file.read_text())
    body["services"]["shop"] = body["services"].pop("web")
    body["services"]["web"] = {
        **body["services"]["shop"],
        "environments": {"staging": None},
        "path": "~/other/{environment}",
    }
    declared = street.file.read_text()
    street.file.write_text(json.dumps(body))
    file = street.state / "previews" / "pr-7.yml"
    file.write_text(file.read_text().replace('["web"]', '["web", "shop"]'))
    found = remove(street, status=4)
    assert found["removed"] == []
    left = {one["host"]: one for one in found["left"] if one["target"] == "pr-7/web"}
    assert set(left) == {second.name, third.name}
    assert left[third.name]["release"].startswith("v2-")
    assert "web is not in staging any more" in left[third.name]["error"]
    assert "in ~/srv/pr-7 there, by the journal" in left[third.name]["error"]
    assert "pr-7" in listed(street)
    file.write_text(file.read_text().replace('["web", "shop"]', '["web"]'))
    street.file.write_text(declared)
    assert remove(street, status=0)["removed"] == ["pr-7"]
    assert runs(third, "pr-7") is None


def test_where_it_was_put_before_its_path_or_its_hosts_changed_is_left_and_named(street: Field) -> None:
    second, third = street.hosts.hosts[1:3]
    clone(street, "--deploy")
    street.write(path="~/elsewhere/{environment}")
    found = remove(street, status=4)
    assert sorted(one["host"] for one in found["left"]) == [second.name, third.name]
    assert all("in ~/srv/pr-7 there, by the journal" in one["error"] for one in found["left"])
    assert runs(third, "pr-7") == "v2"
    street.write(path="~/srv/{environment}")
    file = street.state / "previews" / "pr-7.yml"
    whole = file.read_text()
    file.write_text(whole.replace(f', "{third.name}"', ""))
    (one,) = remove(street, status=4)["left"]
    assert (one["host"], one["release"].rpartition("-")[0]) == (third.name, "v2")
    assert (runs(second, "pr-7"), runs(third, "pr-7")) == (None, "v2")
    file.write_text(whole)
    assert remove(street, status=0)["removed"] == ["pr-7"]
    assert runs(third, "pr-7") is None
    # What was removed is no trace any more.
    street.write(path="~/elsewhere/{environment}")
    file.write_text(whole)
    assert remove(street, status=0)["left"] == []


def test_what_was_given_up_is_no_trace_for_another_of_the_same_name(street: Field) -> None:
    third = street.hosts[2]
    made = clone(street, "--deploy")
    street.write(path="~/elsewhere/{environment}")
    assert len(remove(street, "pr-7", "--forget", status=0)["left"]) == 2
    assert runs(third, "pr-7") == "v2"
    with street.journal(read_only=True) as journal:
        began = journal.rollout(made["rollouts"][0]["rollout"]).created[:19]
    wait_for(lambda: datetime.now(UTC).isoformat()[:19] > began, "the next second")
    clone(street)
    assert remove(street, status=0)["left"] == []


def test_what_the_journal_does_not_know_is_not_stopped(street: Field) -> None:
    third = street.hosts[2]
    clone(street, "--deploy")
    shutil.rmtree(street.state)
    street.qd("adopt", status=0)
    clone(street)
    (one, _) = remove(street, status=4)["left"]
    assert "the journal does not know it as a release of pr-7/web: qd adopt pr-7/web" in one["error"]
    assert runs(third, "pr-7") == "v2"
    street.qd("adopt", "pr-7", status=0)
    assert remove(street, status=0)["removed"] == ["pr-7"]
    assert runs(third, "pr-7") is None


def test_where_it_was_never_deployed_nothing_is_removed(street: Field) -> None:
    third = street.hosts[2]
    mine = home(third, "pr-7") / "shared" / "somebody's"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    clone(street)
    assert remove(street, status=0)["removed"] == ["pr-7"]
    assert mine.read_text() == "precious"


def test_releases_that_do_not_say_whose_they_are_stay(street: Field) -> None:
    third = street.hosts[2]
    release = home(third, "pr-7") / "releases" / "v1-0123456789"
    release.mkdir(parents=True)
    (release / "qd.manifest.json").write_text("{}")
    clone(street)
    (one,) = remove(street, status=4)["left"]
    assert (one["host"], "does not say that it is of pr-7/web" in one["error"]) == (third.name, True)
    assert release.exists()


def test_a_stop_that_fails_where_nobody_can_tell_whether_it_runs_is_left(street: Field) -> None:
    third = street.hosts[2]
    stuck = home(third, "pr-7") / "stuck"
    street.write(commands={"start": START, "stop": "test ! -e ../../stuck && rm -f ../../running"})
    clone(street, "--deploy")
    stuck.touch()
    for _ in range(2):  # the second time as the first: it is still known what is to be stopped
        (one,) = remove(street, status=4)["left"]
        assert (one["host"], "stop ended with status 1" in one["error"]) == (third.name, True)
        assert runs(third, "pr-7") == "v2"
        assert (home(third, "pr-7") / "current").is_symlink()
    stuck.unlink()
    assert remove(street, status=0)["removed"] == ["pr-7"]
    assert runs(third, "pr-7") is None


@pytest.mark.parametrize("first", [False, True])
def test_what_a_deploy_that_was_cut_short_left_in_a_slot_is_stopped(
    tmp_path_factory: pytest.TempPathFactory, sshd_fleet: SshdFleet, first: bool
) -> None:
    """``first``: it was the first deploy, and nothing is current."""
    field = SlotField(tmp_path_factory.mktemp("slots"), sshd_fleet)
    field.clear_hosts()
    names = [host.name for host in field.hosts.hosts]
    third = field.hosts.hosts[2]
    field.extra = {"environments": {"staging": {"hosts": names[:1]}}}
    field.write(path="~/srv/{environment}")
    field.qd("env", "clone", "staging", "pr-7", "--hosts", third.name, status=0)
    for version in ("v1", "v2"):
        field.qd("deploy", "pr-7/web", version, "--wait", status=0)
    place = home(third, "pr-7")
    (link,) = (place / "slots").iterdir()
    other = place / "slots" / ("blue" if link.name == "green" else "green")
    old = next(one.name for one in (place / "releases").iterdir() if one.name.startswith("v1-"))
    other.symlink_to(f"../releases/{old}")
    (place / f"running.{other.name}").write_text(f"{old}\n")
    if first:
        (place / "current").unlink()
    found = json.loads(field.qd("env", "remove", "pr-7", "--yes", "--json", status=0).stdout)
    assert found["removed"] == ["pr-7"]
    assert list(place.glob("running.*")) == []
    assert not (place / "releases").exists()


def test_where_no_host_answers_it_says_that_nothing_was_changed(street: Field) -> None:
    third = street.hosts[2]
    street.qd("env", "clone", "staging", "pr-7", "--hosts", third.name, status=0)
    third.stop()
    try:
        assert [one["host"] for one in remove(street, status=6)["left"]] == [third.name]
    finally:
        third.start()
    assert "pr-7" in listed(street)


def test_a_preview_is_not_declared_where_making_it_failed(street: Field) -> None:
    fleet = street.fleet()
    with street.journal() as journal:
        control = Control(fleet, journal, current_operator())
        street.file.write_text("fleet: [")
        with pytest.raises(FleetFileErrors):
            declaring.clone(control, "staging", "pr-7", [street.hosts[2].name])
    assert list((street.state / "previews").iterdir()) == []
