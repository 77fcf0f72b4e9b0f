"""Previews, whole, on real SSH hosts with the real `qd`: made of an environment, deployed to, over, given more time, removed, and found
again after the bastion was lost."""

import json
import os
import shutil

import pytest

from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.statistics import judged
from tests.driver import TARGET
from tests.field import Field
from tests.rollouts.previewed import clone, events, home, listed, put_back, runs, street_of

pytestmark = pytest.mark.sshd


@pytest.fixture
def street(field: Field) -> Field:
    return street_of(field)


def test_from_its_making_to_its_end(street: Field) -> None:
    first, second, third = street.hosts.hosts[:3]
    before = street.file.read_text()
    made = clone(street, "--for", "2d", "--env", "GREETING=hi there", "--deploy")
    assert (made["environment"], made["from"], made["services"]) == ("pr-7", "staging", ["web"])
    (rollout,) = made["rollouts"]
    assert (rollout["target"], rollout["status"], rollout["to"].rpartition("-")[0]) == ("pr-7/web", "succeeded", "v2")
    assert street.file.read_text() == before, "the reviewed file is nobody's to change"

    # It runs beside staging, with staging's configuration and its own variable, by the same digest.
    assert [runs(host, "pr-7") for host in (first, second, third)] == [None, "v2", "v2"]
    assert [runs(host, "staging") for host in (first, second, third)] == ["v2", "v2", None]
    assert (home(third, "pr-7") / "starts").read_text().endswith(" hi there\n")
    status = json.loads(street.qd("status", "--cached", "--json", status=0).stdout)["targets"]
    seen = {one["target"]: one for one in status}
    assert seen["pr-7/web"]["digest"] == seen[TARGET]["digest"]
    assert seen["pr-7/web"]["preview"] == {"from": "staging", "until": made["until"], "expired": False}
    assert seen[TARGET]["preview"] is None
    assert list(listed(street)) == ["staging", "production", "pr-7"]

    # The other versions go out to it without order, soak or people; the way back is there.
    street.qd("deploy", "pr-7/web", "v3", "--wait", status=0)
    street.qd("rollback", "pr-7/web", "--yes", "--wait", status=0)
    assert runs(third, "pr-7") == "v2"

    # Over: nothing goes out, a rollback still does, and it says so where one looks.
    put_back(street)
    refused = street.qd("deploy", "pr-7/web", "v3", status=5).stderr
    assert "the preview pr-7 is over since 2020-01-01T00:00:00Z; qd env extend pr-7 --for 2d" in refused
    assert "x the preview pr-7 of staging is over since" in street.qd("status", "--cached", status=0).stdout
    assert "OVER since 2020-01-01 00:00Z" in street.qd("env", "list", status=0).stdout
    street.qd("env", "extend", "pr-7", "--for", "1d", status=0)
    assert not listed(street)["pr-7"]["expired"]
    street.qd("deploy", "pr-7/web", "v1", "--wait", status=0)

    with street.journal(read_only=True) as journal:
        deployed = len(judged(journal.changes()).deployments)

    # Removed: stopped, gone from the hosts, declared no more; staging has not noticed.
    assert "give --yes" in street.qd("env", "remove", "pr-7", status=5).stderr
    assert runs(third, "pr-7") == "v1"
    gone = json.loads(street.qd("env", "remove", "pr-7", "--yes", "--json", status=0).stdout)
    assert (gone["removed"], gone["left"]) == (["pr-7"], [])
    for host in (second, third):
        assert runs(host, "pr-7") is None
        assert sorted(path.name for path in home(host, "pr-7").iterdir() if path.name != "starts") == [".quarterdeck"]
    assert [runs(host, "staging") for host in (first, second)] == ["v2", "v2"]
    assert "pr-7" not in listed(street)
    assert "there is no environment 'pr-7'" in street.qd("deploy", "pr-7/web", "v1", status=2).stderr
    assert [event.body["environment"] for event in events(street, "preview.removed")] == ["pr-7"]
    assert len(events(street, "preview.made")) == 1
    street.qd("audit", "verify", status=0)

    with street.journal(read_only=True) as journal:
        assert len(judged(journal.changes()).deployments) == deployed, "a removal is no deployment"
    newest = street.qd("rollouts", status=0).stdout.splitlines()[1].split()
    assert newest[2:5] == ["pr-7/web", "removed", "succeeded"]

    # The same name again begins from nothing.
    clone(street)
    with street.journal(read_only=True) as journal:
        assert journal.current_release("pr-7/web") is None
    street.qd("deploy", "pr-7/web", "v1", "--wait", status=0)
    assert runs(third, "pr-7") == "v1"


def test_what_is_refused_declares_nothing(street: Field) -> None:
    first = street.hosts[0].name

    def refused(*arguments: str, status: int = 5) -> str:
        told = street.qd("env", "clone", *arguments, status=status).stderr
        assert not list((street.state / "previews").glob("*"))
        return told

    assert "there is an environment production already" in refused("staging", "production", "--hosts", first)
    assert "did you mean staging" in refused("stagin", "pr-7", "--hosts", first, status=2)
    assert "there is no host 'host-99'" in refused("staging", "pr-7", "--hosts", "host-99", status=2)
    assert "there is no service 'api' in staging" in refused(
        "staging", "pr-7", "--hosts", first, "--services", "api", status=2
    )
    assert "is no name for an environment" in refused("staging", "../x", "--hosts", first, status=2)
    assert "--env takes KEY=VALUE" in refused("staging", "pr-7", "--hosts", first, "--env", "nonsense", status=2)
    assert "90 days at most" in refused("staging", "pr-7", "--hosts", first, "--for", "91d")
    assert "--read-only" in refused("staging", "pr-7", "--hosts", first, "--read-only")
    assert "of the fleet file, no preview" in street.qd("env", "remove", "staging", "--yes", status=2).stderr
    assert [runs(host, "staging") for host in street.hosts.hosts[:2]] == ["v2", "v2"]

    street.write(path="~/srv")  # which all environments would share
    told = street.qd("env", "clone", "staging", "pr-7", "--hosts", first, status=5).stderr
    assert f"pr-7/web and staging/web are both in ~/srv on {first}" in told
    assert "nothing was declared" in told
    street.write(path="~/srv/{environment}", health={"http": {"port": 8080}})
    assert "would both be port 8080" in street.qd("env", "clone", "staging", "pr-7", "--hosts", first, status=5).stderr
    assert not list((street.state / "previews").glob("*.yml"))
    # Of two previews that are in each other's way the older one stays, whatever they are called.
    street.write(path="~/srv", health={"command": "true"})
    third = street.hosts[2].name
    street.qd("env", "clone", "staging", "pr-9", "--hosts", third, status=0)
    told = street.qd("env", "clone", "staging", "a-1", "--hosts", third, status=5).stderr
    assert f"are both in ~/srv on {third}" in told
    assert list(listed(street)) == ["staging", "production", "pr-9"]
    assert listed(street)["pr-9"]["fault"] is None
    street.qd("env", "remove", "pr-9", "--yes", status=0)
    street.extra["operators"] = {"deploy": ["@nobody-is-in-this-group"]}
    street.write()
    assert "may not change anything" in street.qd("env", "clone", "staging", "pr-7", "--hosts", first, status=5).stderr
    assert not list((street.state / "previews").glob("*.yml"))


def test_a_host_that_does_not_answer_keeps_the_declaration(street: Field) -> None:
    clone(street, "--deploy")
    third = street.hosts[2]
    third.stop()
    try:
        done = street.qd("env", "remove", "pr-7", "--yes", "--json", status=4)
        left = json.loads(done.stdout)["left"]
        assert [one["host"] for one in left] == [third.name]
        assert "pr-7" in listed(street)
        assert runs(street.hosts[1], "pr-7") is None
    finally:
        third.start()
    assert runs(third, "pr-7") == "v2"
    put_back(street)
    street.qd("env", "remove", "--expired", "--yes", status=0)
    assert runs(third, "pr-7") is None
    assert "pr-7" not in listed(street)
    assert "nothing to do" in street.qd("env", "remove", "--expired", "--yes", status=0).stdout


def test_after_the_bastion_was_lost(street: Field) -> None:
    clone(street, "--deploy")
    street.qd("deploy", "pr-7/web", "v3", "--wait", status=0)
    shutil.rmtree(street.state)
    street.qd("adopt", status=0)
    clone(street)  # the same words again: it is declared, and what runs there is not touched
    found = json.loads(street.qd("adopt", "pr-7", "--json", status=0).stdout)["targets"][0]
    assert (found["current"].rpartition("-")[0], found["previous"].rpartition("-")[0]) == ("v3", "v2")
    street.qd("rollback", "pr-7/web", "--yes", "--wait", status=0)
    assert runs(street.hosts[2], "pr-7") == "v2"
    # A removal that was killed in the middle is taken up by the next one.
    with street.journal() as journal:
        killed = journal.arm("pr-7/web", RolloutKind.DEPLOY, options={"removes": True})
        journal.begin(killed.id, preempt="nothing")
    assert "qd env remove pr-7" in street.qd("resume", str(killed.id), status=5).stderr
    street.qd("env", "remove", "pr-7", "--yes", status=0)
    with street.journal(read_only=True) as journal:
        assert journal.rollout(killed.id).state is RolloutState.SUPERSEDED
    assert runs(street.hosts[2], "pr-7") is None


def test_declared_beside_the_fleet_file_it_outlives_the_bastion(street: Field) -> None:
    street.extra["previews"] = "previews"
    street.write()
    clone(street, "--deploy")
    assert (street.directory / "previews" / "pr-7.yml").exists()
    shutil.rmtree(street.state)
    street.qd("adopt", status=0)
    status = json.loads(street.qd("status", "pr-7", "--cached", "--json", status=0).stdout)["targets"]
    assert [(one["target"], one["version"]) for one in status] == [("pr-7/web", "v2")]


def test_a_preview_that_can_not_be_used_any_more_is_in_nobodys_way(street: Field) -> None:
    clone(street)
    street.extra["environments"]["production"]["hosts"] = [street.hosts[3].name]
    file = street.state / "previews" / "pr-7.yml"
    file.write_text(file.read_text().replace(street.hosts[2].name, "host-99"))
    (street.state / "previews" / "pr-8.yml").write_text("from: [")
    street.deploy("v3")
    checked = street.qd("check", status=0).stdout
    assert "! the preview pr-7 is left out: there is no host host-99" in checked
    assert "! the preview pr-8 is left out: pr-8.yml:" in checked
    assert "there is no host host-99" in street.qd("env", "list", status=0).stdout
    assert "can't be asked to stop it" in street.qd("env", "remove", "pr-7", "--yes", status=5).stderr
    for name in ("pr-7", "pr-8"):
        told = street.qd("env", "remove", name, "--yes", "--forget", status=0).stderr
        assert name == "pr-8" or "was not touched" in told
    assert not os.listdir(street.state / "previews")
