"""Practised rollbacks on real hosts, by the command: there and back again, whatever goes wrong on the way."""

import json
import os
import signal
from typing import Any

import pytest

from quarterdeck.history.lease import lock_is_held
from quarterdeck.history.records import RolloutState
from tests.field import TARGET, Field
from tests.sshd import wait_for

pytestmark = pytest.mark.sshd


def declare(field: Field, **environment: Any) -> None:
    hosts = [host.name for host in field.hosts.hosts]
    field.extra["environments"] = {"staging": {"hosts": hosts, **environment}}
    field.write()


def drills(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(field.qd("drill", "--json", status=0).stdout)["drills"][0]
    return found


def two_releases(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")


def test_it_goes_back_and_comes_again_and_measures_both(field: Field) -> None:
    two_releases(field)
    assert drills(field)["last"] is None
    planned = json.loads(field.qd("drill", TARGET, "--plan", "--json", status=0).stdout)
    assert planned["kind"] == "drill"
    assert planned["to"].startswith("v1-")
    assert "give it with --yes" in field.qd("drill", TARGET, status=5).stderr
    done = json.loads(field.qd("drill", TARGET, "--yes", "--wait", "--json", status=0).stdout)
    assert done["status"] == "succeeded"
    assert field.running() == ["v2"] * 5
    for host in field.hosts.hosts:
        assert [release.partition("-")[0] for release in field.starts(host)] == ["v1", "v2", "v1", "v2"]
    assert "v1 was back on 5 hosts after" in done["reason"]
    assert "health checks failed; v2 runs again: v2 on 5 hosts" in done["reason"]
    lines = field.qd("watch", str(done["rollout"]), status=0).stdout
    assert "v1 is back everywhere after" in lines
    assert "aborting" not in lines
    last = drills(field)["last"]
    assert last["rollout"] == done["rollout"]
    assert last["seconds"] > 0
    assert last["checked"] >= 5
    with field.journal(read_only=True) as journal:
        (told,) = journal.events(rollout=done["rollout"], kind="drilled")
        assert set(told.body["hosts"]) == {host.name for host in field.hosts.hosts}
        verdicts = {row.release.version: row.verdict for row in journal.releases(TARGET)}
        assert verdicts == {"v1": "good", "v2": "good"}, "a drill judges nothing"
        assert str(journal.current_release(TARGET)).startswith("v2-")
    status = json.loads(field.qd("status", "--json", status=0).stdout)["targets"][0]
    assert status["version"] == "v2"
    assert not [host for host in status["hosts"] if host["drift"]]
    assert field.rollback()["to"].startswith("v1-"), "and the real way back leads where it led before"


def test_a_release_that_does_not_come_back_well_fails_the_drill_and_nothing_else(field: Field) -> None:
    field.write(health={"command": "test ! -e ../../sick", "interval": "1s", "healthy_deadline": "1s"})
    two_releases(field)
    field.make_version("unused")
    # v1 as it was once put there turns out to be ill by now
    for host in field.hosts.hosts:
        (path,) = (field.home(host) / "releases").glob("v1-*")
        (path / "start").write_text('touch ../../sick; echo "$QD_RELEASE" > ../../running\n')
        (path2,) = (field.home(host) / "releases").glob("v2-*")
        (path2 / "start").write_text('rm -f ../../sick; echo "$QD_RELEASE" > ../../running\n')
    failed = json.loads(field.qd("drill", TARGET, "--yes", "--json", status=3).stdout)
    assert failed["status"] == "rolled_back"
    assert failed["reason"].startswith("the drill failed: ")
    assert field.running() == ["v2"] * 5
    assert verdicts(field) == {"v1": "good", "v2": "good"}
    assert drills(field)["last"] is None
    assert drills(field)["tried"] is not None
    assert "was a drill; to practise it once more" in field.qd("retry", str(failed["rollout"]), status=5).stderr


def test_an_abort_and_a_dead_worker_bring_the_release_back(field: Field) -> None:
    two_releases(field)
    for host in field.hosts.hosts:
        (path,) = (field.home(host) / "releases").glob("v1-*")
        (path / "start").write_text('sleep 30; echo "$QD_RELEASE" > ../../running\n')
    drill = field.begin("drill")
    wait_for(lambda: len(field.starts(field.hosts[0])) == 3, "the old one is being started")
    busy = field.qd("drill", TARGET, "--yes", status=5)
    assert "is busy" in busy.stderr
    field.qd("abort", str(drill), status=3)
    assert field.ended(drill).state is RolloutState.ROLLED_BACK
    assert field.running() == ["v2"] * 5

    drill = field.begin("drill")
    wait_for(lambda: len(field.starts(field.hosts[0])) == 5, "the old one is being started again")
    with field.journal(read_only=True) as journal:
        pid = journal.rollout(drill).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not lock_is_held(field.state, drill), "the worker is gone")
    field.qd("status", "--cached", status=0)  # whoever comes by gives it a new worker
    assert field.ended(drill).state is RolloutState.ROLLED_BACK
    assert field.running() == ["v2"] * 5


def verdicts(field: Field) -> dict[str, str]:
    with field.journal(read_only=True) as journal:
        return {row.release.version: row.verdict for row in journal.releases(TARGET)}


def test_a_rollback_takes_the_place_of_a_drill(field: Field) -> None:
    undone = {version: field.directory / f"undone-{version}" for version in ("v1", "v2")}
    for version, note in undone.items():
        hook = {"run": "true", "where": "here", "on_rollback": f"touch {note}", "reversible": True}
        field.write(hooks={"before": [hook]})
        field.deploy(version)
    for host in field.hosts.hosts:
        (path,) = (field.home(host) / "releases").glob("v1-*")
        (path / "start").write_text(
            'test -e ../../slow || { touch ../../slow; sleep 30; }; echo "$QD_RELEASE" > ../../running\n'
        )
    drill = field.begin("drill", skip_hooks=True)
    wait_for(lambda: len(field.starts(field.hosts[0])) == 3, "the old one is being started")
    field.rollback()
    assert field.ended(drill).state is RolloutState.SUPERSEDED
    assert field.running() == ["v1"] * 5
    assert verdicts(field) == {"v1": "good", "v2": "bad"}, "what the drill brought is not what is left"
    assert undone["v2"].exists()
    assert not undone["v1"].exists()


def test_a_drill_that_could_not_come_back_is_finished_by_a_rollback_that_judges_nothing(field: Field) -> None:
    two_releases(field)
    for host in field.hosts.hosts:  # what runs now is gone when it is to come back, and the old one stays
        (path,) = (field.home(host) / "releases").glob("v1-*")
        (path / "start").write_text('rm -rf ../v2-*; echo "$QD_RELEASE" > ../../running\n')
    failed = json.loads(field.qd("drill", TARGET, "--yes", "--json", status=4).stdout)
    assert "To finish: qd rollback" in failed["reason"]
    assert field.rollback()["to"].startswith("v2-")
    assert field.running() == ["v2"] * 5
    assert verdicts(field) == {"v1": "good", "v2": "good"}


def test_where_none_is_practised(field: Field) -> None:
    assert "nothing runs on" in field.qd("drill", TARGET, "--yes", status=5).stderr
    field.deploy("v1")
    assert "no rollback to practise" in field.qd("drill", TARGET, "--yes", status=5).stderr
    field.deploy("v2")
    declare(field, drills="refused")
    assert "drills: refused" in field.qd("drill", TARGET, "--yes", status=5).stderr
    frozen = {"from": "2000-01-01", "to": "2900-01-01", "reason": "year end"}
    declare(field, freezes=[frozen], drills={"every": "1s"})
    assert "staging is frozen until" in field.qd("drill", TARGET, "--yes", status=5).stderr
    assert "staging is frozen" in field.qd("drill", "--due", "--yes", status=0).stderr
    declare(field)
    (field.home(field.hosts[2]) / "running").unlink()
    assert "a drill needs a target that is whole" in field.qd("drill", TARGET, "--yes", status=5).stderr
    assert field.running().count("v2") == 4


def test_hooks_are_not_practised_unnoticed(field: Field) -> None:
    note = field.directory / "undone"
    field.deploy("v1")
    field.write(hooks={"before": [{"run": "true", "where": "here", "on_rollback": f"touch {note}"}]})
    field.deploy("v2")
    refused = field.qd("drill", TARGET, "--yes", status=5).stderr
    assert "a drill runs no hooks" in refused
    assert "--skip-hooks" in refused
    field.qd("drill", TARGET, "--yes", "--skip-hooks", status=0)
    assert field.running() == ["v2"] * 5
    assert not note.exists()


def test_what_is_due_is_practised_and_an_old_drill_holds_up_a_deploy(field: Field) -> None:
    two_releases(field)
    declare(field, require={"max_drill_age": "30d"}, drills={"every": "7d"})
    refused = field.qd("deploy", TARGET, "v3", status=5).stderr
    assert "its rollback was never practised" in refused
    assert drills(field)["due"] is True
    assert "give it with --yes" in field.qd("drill", "--due", status=5).stderr
    field.qd("drill", "--due", "--yes", status=0)
    assert "no drill is due" in field.qd("drill", "--due", "--yes", status=0).stdout
    field.deploy("v3")
    assert field.running() == ["v3"] * 5
    units = field.directory / "units"
    told = field.qd("drill", "--timer", str(units), status=0).stdout
    assert "systemctl --user enable --now qd-drill-field.timer" in told
    service = (units / "qd-drill-field.service").read_text()
    assert f'drill --due --yes --fleet "{field.file}"' in service
    (units / "qd-drill-field.timer").write_text("[Timer]\nmine\n")
    assert "holds something else" in field.qd("drill", "--timer", str(units), status=2).stderr
