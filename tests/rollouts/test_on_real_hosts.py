"""Whole rollouts over real sshd hosts, by the real command: what is said, what is journalled, what the hosts' disks hold."""

import contextlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from quarterdeck.history.errors import LockHeld
from quarterdeck.history.identity import current_operator
from quarterdeck.history.lease import WorkerLock, lock_is_held
from quarterdeck.history.records import RolloutState, StepState
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.plans.plan import Action
from tests.field import TARGET, Field, tarball
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


def everywhere(field: Field, version: str | None) -> list[str | None]:
    return [version] * len(field.hosts)


def its_worker_leaves(field: Field, rollout: int) -> None:
    """Whatever it waits for: one that was superseded keeps no connections for the rest of its pause."""
    wait_for(lambda: not lock_is_held(field.state, rollout), f"the worker of rollout {rollout} leaves", 60)


def answered_late(field: Field, rollout: int) -> set[str]:
    """Hosts that the rollback did not wait for, as may be on a busy machine: it looks at them once more when it is their turn."""
    with field.journal(read_only=True) as journal:
        return {step.host for step in journal.steps(rollout) if step.body.get("look_first")}


def test_deploy_bad_release_and_rollback(field: Field) -> None:
    first = field.deploy("v1")
    assert first["status"] == "succeeded"
    assert {host["version"] for host in first["hosts"]} == {"v1"}
    field.deploy("v2")
    assert field.running() == everywhere(field, "v2")
    bad = field.deploy("bad", status=3)
    assert bad["status"] == "rolled_back"
    assert "host-" in bad["reason"]
    assert "does not run after it was started" in bad["reason"]
    assert field.running() == everywhere(field, "v2")
    back = field.rollback()
    assert back["status"] == "succeeded"
    assert field.running() == everywhere(field, "v1")


def test_a_bad_first_release_leaves_nothing_running(field: Field) -> None:
    result = field.deploy("bad", status=3)
    assert "nothing" in result["reason"]
    assert field.running() == everywhere(field, None)
    for host in field.hosts.hosts:
        assert not (field.home(host) / "current").exists()


def test_a_release_that_was_bad_goes_out_again_only_by_force_with_a_reason(field: Field) -> None:
    field.deploy("v1")
    field.deploy("bad", status=3)
    done = field.qd("deploy", TARGET, "bad", "--wait", status=5)
    assert "marked bad" in done.stderr
    refused = field.qd("deploy", TARGET, "bad", "--wait", "--force", status=5)
    assert "--reason" in refused.stderr
    field.deploy("bad", status=3, arguments=["--force", "--reason", "once more"])


def test_rollback_puts_the_configuration_back_and_says_that_a_secret_has_changed(field: Field) -> None:
    secret = field.directory / "password"
    secret.write_text("first-value-of-it\n")
    field.write(
        env={"GREETING": "old"},
        files={"conf/app.ini": {"content": "level=old\n"}},
        secrets={"PASSWORD": {"file": str(secret)}},
    )
    field.deploy("v1")
    field.write(env={"GREETING": "new"}, files={"conf/app.ini": {"content": "level=new\n"}})
    field.deploy("v2")
    secret.write_text("second-value-of-it\n")
    done = field.qd("rollback", TARGET, "--plan", "--json", status=0)
    plan = json.loads(done.stdout)
    assert plan["secrets"] == {"PASSWORD": "changed"}
    assert any("secret PASSWORD has changed" in warning for warning in plan["warnings"])
    assert field.running() == everywhere(field, "v2"), "a plan changes nothing"
    field.rollback()
    for host in field.hosts.hosts:
        current = field.home(host) / "current"
        assert 'GREETING="old"' in (current / "qd.env").read_text()
        assert (current / "conf" / "app.ini").read_text() == "level=old\n"
        assert "second-value-of-it" in (current / "qd.secrets.env").read_text()
        assert (current / "qd.secrets.env").stat().st_mode & 0o077 == 0
    for path in [*field.state.rglob("*")]:
        if path.is_file():
            assert b"-value-of-it" not in path.read_bytes(), f"a secret's value is in {path}"


def test_a_secret_that_can_not_be_read_stops_a_deploy_but_no_rollback(field: Field) -> None:
    secret = field.directory / "password"
    secret.write_text("the-value\n")
    field.write(secrets={"PASSWORD": {"file": str(secret)}})
    field.deploy("v1")
    field.deploy("v2")
    secret.unlink()
    refused = field.qd("deploy", TARGET, "v3", "--wait")
    assert refused.returncode != 0
    assert "PASSWORD" in refused.stderr
    assert field.running() == everywhere(field, "v2")
    field.rollback()
    assert field.running() == everywhere(field, "v1")
    for host in field.hosts.hosts:
        assert "the-value" in (field.home(host) / "current" / "qd.secrets.env").read_text()


def test_hooks_run_where_they_say_and_reversible_ones_are_reversed(field: Field) -> None:
    note = field.directory / "note"
    field.write(
        hooks={
            "before": [{"run": "echo up >> ../../hooks", "where": "one", "on_rollback": "echo down >> ../../hooks"}],
            "after": [
                {"run": "echo warm >> ../../hooks", "where": "each"},
                {"run": f'echo "$QD_VERSION" >> {note}', "where": "here"},
            ],
        }
    )
    field.deploy("v1")
    field.deploy("v2")
    hooks = [(field.home(host) / "hooks").read_text().split() for host in field.hosts.hosts]
    assert hooks == [["up", "warm", "up", "warm"]] + [["warm", "warm"]] * (len(field.hosts) - 1)
    assert note.read_text().split() == ["v1", "v2"]
    field.rollback()
    assert (field.home(field.hosts[0]) / "hooks").read_text().split()[-1] == "down"


def test_a_failing_hook_takes_the_rollout_back_and_is_named(field: Field) -> None:
    field.deploy("v1")
    field.write(hooks={"after": [{"run": "echo out of luck; exit 7", "where": "one"}]})
    result = field.deploy("v2", status=3)
    assert "ended with 7: out of luck" in result["reason"]
    assert field.running() == everywhere(field, "v1")


def test_recreate_stops_everywhere_before_it_starts(field: Field) -> None:
    field.write(strategy="recreate")
    field.deploy("v1")
    field.deploy("v2")
    assert field.running() == everywhere(field, "v2")
    with field.journal(read_only=True) as journal:
        steps = journal.steps(journal.rollouts(TARGET, limit=1)[0].id)
    stops = [step for step in steps if step.action == Action.STOP]
    switches = [step for step in steps if step.action == Action.SWITCH]
    assert len(stops) == len(switches) == len(field.hosts)
    assert max(step.ended or "" for step in stops) <= min(step.started or "~" for step in switches)


def test_pause_holds_between_batches_resume_goes_on_abort_takes_back(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "12s"}})
    rollout = field.begin("deploy", "v2")
    field.in_state(rollout, RolloutState.RUNNING)
    paused = field.qd("pause", str(rollout), "--json", status=0)
    assert json.loads(paused.stdout)
    field.in_state(rollout, RolloutState.PAUSED)
    assert "v1" in field.running()
    field.qd("resume", str(rollout), status=0)
    field.until(rollout, lambda now: now.state is not RolloutState.PAUSED)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    again = field.begin("deploy", "v3")
    field.in_state(again, RolloutState.RUNNING)
    field.qd("abort", str(again), "--wait", status=3)
    assert field.ended(again).state is RolloutState.ROLLED_BACK
    assert field.running() == everywhere(field, "v2")
    late = field.qd("abort", str(again))
    assert late.returncode == 5
    with field.journal(read_only=True) as journal:
        release = journal.release(journal.rollout(again).to_release or "")
        assert release is not None
        assert release.verdict == "untried"


def test_without_automatic_rollback_a_failure_stands_still_until_somebody_decides(field: Field) -> None:
    field.write(
        rollback={"automatic": False},
        health={"command": "test -e ../../well", "interval": "1s", "healthy_deadline": "1s"},
    )
    for host in field.hosts.hosts:
        field.home(host).mkdir(parents=True)
        (field.home(host) / "well").touch()
    field.deploy("v1")
    sick = field.hosts[2]
    (field.home(sick) / "well").unlink()
    rollout = field.begin("deploy", "v2")
    paused = field.in_state(rollout, RolloutState.PAUSED)
    assert sick.name in paused.outcome
    (field.home(sick) / "well").touch()
    field.qd("retry", str(rollout), status=0)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert field.running() == everywhere(field, "v2")


def test_a_deploy_while_another_runs_is_refused_with_who_or_supersedes_it(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "10m"}})
    first = field.begin("deploy", "v2")
    field.in_state(first, RolloutState.RUNNING)
    refused = field.qd("deploy", TARGET, "v3", "--wait", status=5)
    assert f"rollout {first} " in refused.stderr
    assert current_operator().label in refused.stderr
    field.write(strategy={"rolling": {"max_unavailable": "100%"}})
    result = field.deploy("v3", arguments=["--supersede"])
    assert result["status"] == "succeeded"
    assert result["from"].startswith("v1-"), "from what was stable, not from what was half done"
    assert field.ended(first).state is RolloutState.SUPERSEDED
    assert field.running() == everywhere(field, "v3")
    its_worker_leaves(field, first)


def test_a_rollback_preempts_a_running_deploy(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "10m"}})
    first = field.begin("deploy", "v2")
    wait_for(lambda: "v2" in field.running(), "the first host has changed")
    result = field.rollback()
    assert result["status"] == "succeeded"
    assert result["to"].startswith("v1-")
    assert field.ended(first).state is RolloutState.SUPERSEDED
    assert field.running() == everywhere(field, "v1")
    late, (changed, *others) = answered_late(field, result["rollout"]), field.hosts.hosts
    assert len(field.starts(changed)) == 3
    assert {len(field.starts(host)) for host in others if host.name not in late} <= {1}, "other hosts are not touched"
    its_worker_leaves(field, first)


def test_a_rollback_preempts_a_deploy_that_somebody_paused(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "10m"}})
    first = field.begin("deploy", "v2")
    wait_for(lambda: "v2" in field.running(), "the first host has changed")
    field.qd("pause", str(first), status=0)
    field.in_state(first, RolloutState.PAUSED)
    assert field.rollback()["status"] == "succeeded"
    assert field.running() == everywhere(field, "v1")
    its_worker_leaves(field, first)


def test_an_unreachable_host_stops_a_deploy_before_anything_changes(field: Field) -> None:
    field.deploy("v1")
    field.hosts[4].stop()
    try:
        done = field.qd("deploy", TARGET, "v2", "--wait", status=6)
        assert field.hosts[4].name in done.stderr
        assert "nothing was changed" in done.stderr
        assert field.running() == everywhere(field, "v1")
    finally:
        field.hosts[4].start()


def test_an_unreachable_host_does_not_stop_a_rollback_and_is_owed(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    field.hosts[4].stop()
    try:
        result = field.rollback(status=4)
        assert field.hosts[4].name in result["reason"]
        assert field.running() == ["v1"] * 4 + ["v2"]
    finally:
        field.hosts[4].start()
    field.qd("retry", str(result["rollout"]), "--wait", status=0)
    assert field.running() == everywhere(field, "v1")


def test_an_sshd_that_is_restarted_in_the_middle_is_survived(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "5s"}})
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: "v2" in field.running(), "the first host has changed")
    field.hosts[3].restart()
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert field.running() == everywhere(field, "v2")


def test_an_orphaned_deploy_is_held_and_named_and_can_be_resumed(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "8s"}})
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: "v2" in field.running(), "the first host has changed")
    field.kill_worker(rollout)
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        wait_for(lambda: control.tend(), "it is found")
    assert field.until(rollout, lambda now: True).state is RolloutState.ORPHANED
    assert field.running().count("v2") == 1
    field.qd("resume", str(rollout), "--wait", status=0)
    assert field.running() == everywhere(field, "v2")


def test_an_orphaned_rollback_is_resumed_by_itself(field: Field) -> None:
    field.write(rollback={"max_unavailable": 1})
    field.deploy("v1")
    field.deploy("v2")
    rollout = field.begin("rollback")
    wait_for(lambda: "v1" in field.running(), "the first host is back")
    field.kill_worker(rollout)
    wait_for(lambda: not lock_is_held(field.state, rollout), "the worker is gone")
    field.qd("rollouts", status=0)
    assert field.ended(rollout).state is RolloutState.SUCCEEDED
    assert field.running() == everywhere(field, "v1")


def executions(field: Field) -> list[int]:
    return [host.log.count("Starting session: command") for host in field.hosts.hosts]


def quiet(field: Field, rollout: int) -> None:
    """Its worker is gone: cleaning up comes after the end that ``--wait`` waits for, and is an execution too."""

    def gone() -> bool:
        with contextlib.suppress(LockHeld):
            WorkerLock.acquire(field.state, rollout).release()
            return True
        return False

    wait_for(gone, f"the worker of rollout {rollout} to end")


@pytest.mark.parametrize(("health", "most"), [("tcp", 2), ("command", 3)])
def test_a_rollback_takes_two_executions_a_host(field: Field, health: str, most: int) -> None:
    """Looking and switching in one, cleaning up. A health check by HTTP or TCP is no execution; one by a command is one every time that
    it is made, and one that is well at once is made once."""
    if health == "tcp":
        field.write(health={"tcp": {"port": field.hosts[0].port, "host": field.hosts[0].address}, "interval": "1s"})
    field.deploy("v1")
    quiet(field, field.deploy("v2")["rollout"])
    before = executions(field)
    back = field.rollback()
    quiet(field, back["rollout"])
    late, names = answered_late(field, back["rollout"]), [host.name for host in field.hosts.hosts]
    used = {name: now - then for name, now, then in zip(names, executions(field), before, strict=True)}
    assert all(0 < count <= most for name, count in used.items() if name not in late), (used, late)


def test_a_release_that_was_good_and_fails_later_is_offered_by_no_host(field: Field) -> None:
    """The hosts are told by the run that found it bad, in no more executions than a rollback has."""
    well = field.directory / "well"
    well.touch()
    field.write(
        health={"command": f'test "$QD_VERSION" != v1 || test -e {well}', "interval": "1s", "healthy_deadline": "1s"}
    )
    field.deploy("v1")
    quiet(field, field.deploy("v2")["rollout"])
    well.unlink()
    failed = field.deploy("v1", status=3)
    quiet(field, failed["rollout"])
    assert field.running() == everywhere(field, "v2")
    with field.journal(read_only=True) as journal:
        steps = journal.steps(failed["rollout"])
    last = max(step.seq for step in steps if step.action == Action.SWITCH)
    told = [step for step in steps if step.seq > last]
    assert {step.host for step in told} == {
        step.host for step in steps if step.action == Action.SWITCH and step.attempt
    }
    assert {(step.action, step.state) for step in told} == {(Action.FINISH, StepState.DONE)}
    shutil.rmtree(field.state)
    adopted = json.loads(field.qd("adopt", "--json", status=0).stdout)
    assert "v1" not in str(adopted.get("previous")), adopted
    refused = field.qd("rollback", TARGET, "--yes", "--wait")
    assert refused.returncode != 0, refused.stdout
    assert field.running() == everywhere(field, "v2")


def test_hosts_that_could_not_be_reached_are_in_the_result_with_their_state(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    field.hosts[4].stop()
    try:
        stopped = field.deploy("v3", status=6)["hosts"]
        assert [host["host"] for host in stopped] == [host.name for host in field.hosts.hosts]
        assert [host["state"] for host in stopped] == ["unchanged"] * 4 + ["unreachable"]
        assert "refused" in stopped[4]["error"]
        back = field.rollback(status=4)["hosts"]
        assert [(host["state"], host["version"]) for host in back[:4]] == [("changed", "v1")] * 4
        assert (back[4]["host"], back[4]["state"]) == (field.hosts[4].name, "unreachable")
        assert back[4]["error"]
        with field.journal(read_only=True) as journal:
            said = journal.rollouts(TARGET, limit=1)[0].outcome
        assert said.count(f"{field.hosts[4].name}: ") == 1, said
        assert "?." not in said, said
    finally:
        field.hosts[4].start()


def test_one_secret_that_can_not_be_read_leaves_the_others_masked(field: Field) -> None:
    kept, lost = field.directory / "kept", field.directory / "lost"
    kept.write_text("the-readable-value\n")
    lost.write_text("the-other-value\n")
    field.write(secrets={"KEPT": {"file": str(kept)}, "LOST": {"file": str(lost)}})
    field.make_version(
        "loud", start='if test -e ../../loud; then echo "at $KEPT"; exit 3; fi; echo "$QD_RELEASE" > ../../running'
    )
    field.deploy("loud")
    field.deploy("v2")
    for host in field.hosts.hosts:
        (field.home(host) / "loud").touch()
    lost.unlink()
    result = field.rollback(status=4)
    assert "at ****" in result["reason"]
    for path in field.state.rglob("*"):
        assert not path.is_file() or b"the-readable-value" not in path.read_bytes(), path


def test_what_was_kept_for_a_rollback_is_never_removed(field: Field) -> None:
    field.write(keep={"releases": 1})
    field.deploy("v1")
    for number in range(4):
        field.make_version(f"w{number}")
        field.deploy(f"w{number}")
    host = field.hosts[0]
    wait_for(lambda: len(os.listdir(field.home(host) / "releases")) <= 3, "old releases are removed")
    kept = sorted(name.rpartition("-")[0] for name in os.listdir(field.home(host) / "releases"))
    assert {"w2", "w3"} <= set(kept)
    field.rollback()
    assert field.running() == everywhere(field, "w2")


@pytest.mark.parametrize(
    ("member", "said"),
    [("../outside", "outside"), ("/etc/outside", "outside"), ("link", "link")],
)
def test_a_tarball_that_leads_out_is_refused_before_anything_changes(field: Field, member: str, said: str) -> None:
    field.deploy("v1")
    path = field.directory / "artifacts" / "web-evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(member)
        if member == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, "../../../../etc"
            archive.addfile(entry)
        else:
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"x"))
    import hashlib

    Path(f"{path}.sha256").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    done = field.qd("deploy", TARGET, "evil", "--wait")
    assert done.returncode == 1
    assert said in done.stderr
    assert field.running() == everywhere(field, "v1")


def test_a_wrong_checksum_a_missing_artifact_and_an_unknown_target_are_one_sentence_each(field: Field) -> None:
    path = field.directory / "artifacts" / "web-v3.tar.gz"
    tarball(path, {"start": "changed\n"})
    wrong = field.qd("deploy", TARGET, "v3", "--wait", status=1)
    missing = field.qd("deploy", TARGET, "v33", "--wait", status=2)
    unknown = field.qd("deploy", "staging/wep", "v1", "--wait", status=2)
    nonsense = field.qd("deploy", TARGET, "v1;rm", "--wait", status=2)
    assert "v3" in missing.stderr
    assert "staging/web" in unknown.stderr
    for done in (wrong, missing, unknown, nonsense):
        assert "Traceback" not in done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("qd: ")]) == 1
    assert field.running() == everywhere(field, None)


def test_an_operator_without_the_role_is_refused_for_every_verb(field: Field) -> None:
    field.deploy("v1")
    field.deploy("v2")
    field.extra["operators"] = {"view": ["@nobody-at-all"], "deploy": ["somebody-else"]}
    field.write()
    for arguments in (
        ["deploy", TARGET, "v3"],
        ["rollback", TARGET, "--yes"],
        ["abort", "1"],
        ["pause", "1"],
        ["resume", "1"],
        ["retry", "1"],
    ):
        done = field.qd(*arguments, status=5)
        assert current_operator().name in done.stderr
    assert field.running() == everywhere(field, "v2")


def test_the_order_of_environments_is_kept(field: Field) -> None:
    names = [host.name for host in field.hosts.hosts]
    field.extra["environments"] = {
        "staging": {"hosts": names[:2]},
        "production": {"hosts": names[2:], "after": "staging"},
    }
    field.write()
    refused = field.qd("deploy", "production/web", "v1", "--wait", status=5)
    assert "staging/web" in refused.stderr
    field.deploy("v1")
    field.qd("deploy", "production/web", "v1", "--wait", status=0)
    assert field.running() == everywhere(field, "v1")
    field.qd("deploy", "production/web", "v2", "--wait", "--override", "after", "--reason", "hotfix", status=0)
    with field.journal(read_only=True) as journal:
        newest = journal.rollouts("production/web", limit=1)[0]
        assert newest.reason == "hotfix"
        (aside,) = journal.events(rollout=newest.id, kind="override")
        assert (aside.body["policy"], aside.body["reason"]) == ("after", "hotfix")
        assert "production/web takes only what has succeeded in staging/web" in aside.body["words"]
        assert all(step.state is StepState.DONE for step in journal.steps(newest.id) if step.action != Action.FINISH)


def test_an_unreachable_host_is_shown_with_what_was_last_seen_and_when(field: Field) -> None:
    field.deploy("v1")
    before = json.loads(field.qd("status", TARGET, "--json", status=0).stdout)["targets"][0]["hosts"][4]
    field.hosts[4].stop()
    try:
        now = json.loads(field.qd("status", TARGET, "--json", status=0).stdout)["targets"][0]["hosts"][4]
    finally:
        field.hosts[4].start()
    assert now["version"] == "v1"
    assert now["health"] == "unknown"
    assert field.hosts[4].name in now["error"]
    assert now["seen"] == before["seen"]


def test_an_orphan_that_was_paused_goes_on_with_one_resume(field: Field) -> None:
    field.deploy("v1")
    field.write(strategy={"rolling": {"batches": [1, "100%"], "pause": "12s"}})
    rollout = field.begin("deploy", "v2")
    wait_for(lambda: "v2" in field.running(), "the first host has changed")
    field.qd("pause", str(rollout), status=0)
    field.in_state(rollout, RolloutState.PAUSED)
    field.kill_worker(rollout)
    with field.journal() as journal:
        control = Control(field.fleet(), journal, current_operator())
        wait_for(lambda: control.tend(), "it is found")
    field.qd("resume", str(rollout), "--wait", status=0)
    assert field.running() == everywhere(field, "v2")


def test_a_host_that_runs_a_release_the_journal_does_not_know_goes_back_to_it(field: Field) -> None:
    """The journal is new, nothing was adopted: what the hosts run is known from their own manifests."""
    import shutil

    field.deploy("v1")
    shutil.rmtree(field.state)
    result = field.deploy("bad", status=3)
    assert "taken back: v1 on" in result["reason"]
    assert field.running() == everywhere(field, "v1")
