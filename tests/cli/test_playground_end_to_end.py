"""The whole way, on the playground, with the real command: what the README shows, and what becomes of a bad release."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.playground import Playground, describe, stop
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED
from tests.cli.qd_command import Qd

pytestmark = pytest.mark.timeout(300)

LONG = 150.0  # seconds: the machine may be busy with other things


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qd]:
    """A playground after ``qd demo up``: v1 runs everywhere. Commands find it by themselves."""
    qd = Qd(tmp_path_factory.mktemp("play"))
    try:
        shown = qd("demo", "up", timeout=LONG)
        fleet_file = qd.directory / "xdg" / "quarterdeck" / "playground" / "fleet.yml"
        assert str(fleet_file) in shown.stdout.splitlines()
        assert f"export QD_FLEET={fleet_file}" in shown.stdout
        yield qd
    finally:
        stop(qd.directory / "xdg" / "quarterdeck" / "playground")


def playground(qd: Qd) -> Playground:
    return describe(qd.directory / "xdg" / "quarterdeck" / "playground")


def runs(qd: Qd, target: str) -> list[str]:
    """What the hosts themselves say: the releases that ``current`` points to, read from their disks."""
    environment, _, service = target.partition("/")
    return [
        Path(os.readlink(host.home / service / "current")).name.partition("-")[0]
        for host in playground(qd).hosts_of(environment)
    ]


def status(qd: Qd, target: str) -> dict[str, object]:
    document = json.loads(qd("status", target, "--json", timeout=LONG).stdout)
    found: dict[str, object] = document["targets"][0]
    return found


def test_deploy_and_rollback_as_the_readme_says(play: Qd) -> None:
    done = play("deploy", "staging/web", "v2", "--wait", timeout=LONG)
    assert "using the running playground's" in done.stderr
    assert runs(play, "staging/web") == ["v2", "v2"]
    now = status(play, "staging/web")
    assert (now["version"], now["health"], now["rollout"]) == ("v2", "healthy", None)

    ended = json.loads(play("rollback", "staging/web", "--yes", "--wait", "--json", timeout=LONG).stdout)
    assert {"rollout", "kind", "target", "from", "to", "status", "seconds", "hosts", "reason"} <= set(ended)
    assert (ended["kind"], ended["status"], ended["target"]) == ("rollback", "succeeded", "staging/web")
    assert {host["version"] for host in ended["hosts"]} == {"v1"}
    assert runs(play, "staging/web") == ["v1", "v1"]
    assert status(play, "staging/web")["version"] == "v1"
    report = play("report", "staging/web", timeout=LONG).stdout
    assert "staging/web went back from v2 to v1" in report
    assert f"It made well what rollout {int(ended['rollout']) - 1}" in report
    assert "INFO web v1 started" in report.partition("## Logs around it")[2], "the hosts' own lines"


def test_a_bad_release_comes_back_by_itself(play: Qd) -> None:
    done = play("deploy", "staging/api", "v3", "--json", status=3, timeout=LONG)
    ended = json.loads(done.stdout)
    assert ended["status"] == "rolled_back"
    assert "stg-1" in ended["reason"]
    assert "http 500" in ended["reason"]
    assert runs(play, "staging/api") == ["v1", "v1"]
    assert status(play, "staging/api")["version"] == "v1"
    assert "marked bad" in play("deploy", "staging/api", "v3", status=5, timeout=LONG).stderr


def test_break_can_be_aborted(play: Qd) -> None:
    """Before it has come back by itself, on a busy machine too."""
    file = playground(play).fleet_file  # `demo break` takes no other one
    before, deadline = file.read_text(), "healthy_deadline: 8s"
    assert deadline in before
    file.write_text(before.replace(deadline, "healthy_deadline: 60s"))
    try:
        begun = json.loads(play("demo", "break", "dev/api", "--detach", "--json", timeout=LONG).stdout)
        ended = json.loads(play("abort", str(begun["rollout"]), "--wait", "--json", status=3, timeout=LONG).stdout)
    finally:
        file.write_text(before)
    assert ended["status"] in {"rolled_back", "cancelled"}  # cancelled: it had not begun yet
    assert runs(play, "dev/api") == ["v1"]


def test_a_plan_changes_nothing(play: Qd) -> None:
    before = runs(play, "dev/api")
    done = play("deploy", "dev/api", "v2", "--plan", "--json", timeout=LONG)
    card = json.loads(done.stdout)
    assert (card["status"], card["version"], card["target"]) == ("planned", "v2", "dev/api")
    assert [step["action"] for step in card["steps"]][:2] == ["stage", "hook"]
    assert {"summary", "readiness", "hosts", "secrets", "warnings", "digest"} <= set(card)
    assert runs(play, "dev/api") == before
    assert "nothing was changed" in play("deploy", "dev/api", "v2", "--plan", timeout=LONG).stdout
    assert status(play, "dev/api")["rollout"] is None


def test_a_version_that_does_not_exist(play: Qd) -> None:
    told = play("deploy", "dev/web", "v99", status=2, timeout=LONG).stderr
    assert "v99" in told
    assert runs(play, "dev/web") == ["v1"]


def test_detached_then_watched(play: Qd) -> None:
    begun = json.loads(play("deploy", "dev/worker", "v2", "--detach", "--json", timeout=LONG).stdout)
    watched = play("watch", str(begun["rollout"]), timeout=LONG)
    assert "dev-1" in watched.stdout
    assert "succeeded" in watched.stdout.splitlines()[-1]
    assert runs(play, "dev/worker") == ["v2"]


def test_a_timeout_ends_the_waiting_and_not_the_rollout(play: Qd) -> None:
    told = play("deploy", "dev/api", "v2", "--timeout", "0.05", status=7, timeout=LONG).stderr
    assert "follow it with: qd watch" in told
    play("watch", "dev/api", status=0, timeout=LONG)
    assert runs(play, "dev/api") == ["v2"]


def answered(play: Qd, answer: str) -> tuple[int, str]:
    """``qd rollback dev/worker`` on a real pseudo-terminal, with ``answer`` typed once it asks."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        play.command("rollback", "dev/worker"),
        cwd=play.directory,
        env=play.environ({"TERM": "xterm"}),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    shown, asked, deadline = b"", False, time.monotonic() + LONG
    try:
        while time.monotonic() < deadline:
            ready, _, _ = select.select([leader], [], [], 0.2)
            if ready:
                try:
                    shown += os.read(leader, 65536)
                except OSError:  # the other end is closed: it has ended
                    break
            if not asked and b"[y/n]" in shown:
                os.write(leader, answer.encode())
                asked = True
        return process.wait(timeout=LONG), shown.decode()
    finally:
        process.kill()
        os.close(leader)


def test_on_a_terminal_the_card_is_shown_and_yes_is_needed(play: Qd) -> None:
    play("deploy", "dev/worker", "v2", status=None, timeout=LONG)
    ended, shown = answered(play, "n\n")
    assert ended == 5
    for part in ("ROLL BACK", "from", "v2-", "to", "v1-", "dev-1", "1 of 1 host", "Roll dev/worker back? [y/n]"):
        assert part in shown
    assert runs(play, "dev/worker") == ["v2"]
    ended, shown = answered(play, "y\n")
    assert ended == 0
    assert "succeeded" in shown
    assert runs(play, "dev/worker") == ["v1"]


def wait_for(journal: Journal, rollout: int, *states: str) -> None:
    deadline = time.monotonic() + LONG
    while (now := journal.rollout(rollout)).state not in states:
        assert now.state not in ENDED, now.outcome
        assert time.monotonic() < deadline
        time.sleep(0.02)


def held(play: Qd, journal: Journal) -> int:
    """A deploy of v2 to staging/worker, paused by an operator when its first host has it and the second has not."""
    slow = play.directory / "slow.yml"
    text = playground(play).fleet_file.read_text()
    slow.write_text(text.replace("{rolling: {max_unavailable: 1}}", "{rolling: {batches: [1], pause: 15s}}"))
    begun = play("--fleet", str(slow), "deploy", "staging/worker", "v2", "--detach", "--json", timeout=LONG)
    rollout = int(json.loads(begun.stdout)["rollout"])
    wait_for(journal, rollout, "running")
    assert (
        f"rollout {rollout}" in play("pause", str(rollout), timeout=LONG).stdout
    )  # answered, or asked and not answered yet
    wait_for(journal, rollout, "paused")
    assert sorted(runs(play, "staging/worker")) in (["v1", "v1"], ["v1", "v2"])
    return rollout


def test_pause_and_resume(play: Qd) -> None:
    with Journal.open(playground(play).state) as journal:
        rollout = held(play, journal)
        assert f"rollout {rollout}" in play("deploy", "staging/worker", "v2", status=5, timeout=LONG).stderr
        [shown] = [
            one
            for one in json.loads(play("rollouts", "--active", "--json").stdout)["rollouts"]
            if one["rollout"] == rollout
        ]
        assert shown["status"] == "paused"
        play("resume", "staging/worker", "--wait", timeout=LONG)
    assert runs(play, "staging/worker") == ["v2", "v2"]
    play("rollback", "staging/worker", "--yes", timeout=LONG)


def test_a_paused_rollout_whose_worker_died_can_be_aborted(play: Qd) -> None:
    with Journal.open(playground(play).state) as journal:
        for row in journal.releases("staging/worker"):
            journal.judge(row.id, "good", "whatever the test before left")
        rollout = held(play, journal)
        worker = journal.worker(rollout)
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        told = play("watch", str(rollout), status=7, timeout=LONG).stderr
        assert "orphaned" in told
        assert f"qd resume {rollout}" in told
        play("abort", "staging/worker", "--wait", status=3, timeout=LONG)
        assert journal.rollout(rollout).state == "rolled_back"
        asked = [
            journal.request(event.body["request"]).kind for event in journal.events(rollout=rollout, kind="request")
        ]
    assert asked == ["pause", "abort"]
    assert runs(play, "staging/worker") == ["v1", "v1"]


def test_logs_of_all_hosts(play: Qd) -> None:
    lines = [
        json.loads(line)
        for line in play("logs", "production/web", "--json", "-n", "5", timeout=LONG).stdout.splitlines()
    ]
    assert {line["host"] for line in lines} == {"prod-1", "prod-2", "prod-3"}
    assert any("started" in line["text"] for line in lines)
    only = play("logs", "production/web", "--host", "prod-2", "--grep", "started", timeout=LONG).stdout.splitlines()
    assert only
    assert all(line.startswith("prod-2") and "started" in line for line in only)


def test_one_host_that_is_down_is_named_and_the_rest_goes_on(play: Qd) -> None:
    """The host's server is stopped in a fleet file of our own, by a name that leads nowhere."""
    broken = play.directory / "broken.yml"
    broken.write_text(
        playground(play).fleet_file.read_text().replace("prod-2: {ssh: prod-2", 'prod-2: {ssh: "play@127.0.0.1:1"')
    )
    shown = play("--fleet", str(broken), "logs", "production/web", "-n", "2", timeout=LONG)
    assert shown.stderr.count("prod-2") >= 1
    assert "prod-1" in shown.stdout
    [target] = json.loads(play("--fleet", str(broken), "status", "production/web", "--json", timeout=LONG).stdout)[
        "targets"
    ]
    errors = {host["host"]: host["error"] for host in target["hosts"]}
    assert errors["prod-1"] is None
    assert "prod-2" in errors["prod-2"]
    document = json.loads(
        play("--fleet", str(broken), "doctor", "production/web", "--json", status=6, timeout=LONG).stdout
    )
    faults = [finding for finding in document["findings"] if finding["verdict"] == "fail"]
    assert [finding["subject"] for finding in faults] == ["host prod-2"]
    assert faults[0]["fix"]


def test_doctor_finds_no_fault_on_the_playground(play: Qd) -> None:
    document = json.loads(play("doctor", "--json", timeout=LONG).stdout)
    assert document["ok"] is True
    subjects = {finding["subject"] for finding in document["findings"]}
    assert {
        "fleet file",
        "journal engine",
        "state directory",
        "operator",
        "detachment",
        "host prod-3",
        "artifact dev/web",
    } <= subjects


def test_the_hosts_anchor_the_audit_chain(play: Qd) -> None:
    document = json.loads(play("audit", "verify", "--json", timeout=LONG).stdout)
    assert document["ok"] is True
    assert document["anchors"]


def test_a_lost_journal_is_adopted_and_rollback_works(play: Qd) -> None:
    play("deploy", "dev/web", "v2", timeout=LONG)
    state = playground(play).state
    state.rename(play.directory / "lost")
    assert "no earlier release" in play("rollback", "dev/web", "--yes", status=5, timeout=LONG).stderr
    adopted = {one["target"]: one for one in json.loads(play("adopt", "--json", timeout=LONG).stdout)["targets"]}
    assert adopted["dev/web"]["changed"] is True
    assert adopted["dev/web"]["current"].startswith("v2-")
    assert adopted["dev/web"]["previous"].startswith("v1-")
    assert adopted["production/web"]["current"].startswith("v1-")
    again = json.loads(play("adopt", "--json", timeout=LONG).stdout)["targets"]
    assert not [one for one in again if one["changed"]]
    assert json.loads(play("audit", "verify", "--json", timeout=LONG).stdout)["ok"] is True
    play("rollback", "dev/web", "--yes", "--wait", timeout=LONG)
    assert runs(play, "dev/web") == ["v1"]


def test_traffic(play: Qd) -> None:
    document = json.loads(
        play("demo", "load", "production/web", "--seconds", "1", "--rate", "20", "--json", timeout=LONG).stdout
    )
    assert (document["failed"], document["target"]) == (0, "production/web")
    assert document["requests"] >= 10
    assert play("demo", "load", "production/nope", "--seconds", "1", status=2).stderr


def test_the_story(play: Qd) -> None:
    """What ``make demo`` runs, here for the second time on a playground that was used."""
    done = play("demo", "--json", timeout=LONG)
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert [chapter["ok"] for chapter in document["chapters"]] == [True] * 4
    assert [chapter.get("exit_status") for chapter in document["chapters"]] == [None, None, 3, 0]
    assert runs(play, "staging/web") == ["v2", "v2"]
    assert runs(play, "production/web") == ["v1", "v1", "v1"]
    assert "qd demo down" in done.stderr


def test_down_leaves_nothing_behind(play: Qd) -> None:
    """The last test of this file: it takes the playground away."""
    directory = playground(play).directory
    assert json.loads(play("demo", "down", "--json", timeout=LONG).stdout) == {"removed": True}
    assert not directory.exists()
    assert json.loads(play("demo", "down", "--json").stdout) == {"removed": False}
    assert "no fleet file" in play("status", status=2).stderr
