"""What goes wrong, in one sentence and with the exit status that pipelines rely on."""

import contextlib
import json
import os
import pty
import pwd
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends import errors as backend_errors
from quarterdeck.config.locate import NoFleetFile
from quarterdeck.history import errors as journal_errors
from quarterdeck.history.lease import WorkerLock
from quarterdeck.history.records import RolloutKind
from quarterdeck.rollouts.refusals import Refused, UnknownTarget
from quarterdeck.tui.cli import steering
from quarterdeck.tui.cli.exits import Exit, Interrupted, MissingConfirmation, UsageError, explain
from tests.cli.qd_command import Qd, fill

ERRORS: list[tuple[BaseException, Exit]] = [
    (UsageError("no"), Exit.USAGE),
    (MissingConfirmation("give --yes"), Exit.REFUSED),
    (Interrupted("it goes on"), Exit.INTERRUPTED),
    (KeyboardInterrupt(), Exit.INTERRUPTED),
    (NoFleetFile((Path("fleet.yml"),)), Exit.USAGE),
    (Refused("a freeze", "wait"), Exit.REFUSED),
    (UnknownTarget("api", ["staging/api"]), Exit.USAGE),
    (journal_errors.JournalBusy(12, "process 12", 3.0), Exit.REFUSED),
    (journal_errors.JournalTooNew("history.db", 9, 1), Exit.FAULT),
    (journal_errors.JournalOnNetwork("/state", "nfs", "/mnt"), Exit.USAGE),
    (journal_errors.JournalFull("history.db"), Exit.FAULT),
    (journal_errors.JournalCorrupt("history.db", "malformed"), Exit.FAULT),
    (journal_errors.JournalMissing("there is no journal"), Exit.USAGE),
    (journal_errors.EpochLost(1, 2, 3, "rollout 4"), Exit.REFUSED),
    (journal_errors.UnknownRollout(7), Exit.USAGE),
    (journal_errors.RequestRefused("it has ended"), Exit.REFUSED),
    (journal_errors.LockHeld(3, 42), Exit.REFUSED),
    (backend_errors.Unreachable("web-1", "connect", "refused"), Exit.UNREACHABLE),
    (backend_errors.HostKeyRejected("web-1", "connect", "changed"), Exit.UNREACHABLE),
    (backend_errors.LoginRefused("web-1", "connect", "no key"), Exit.UNREACHABLE),
    (backend_errors.Fenced("web-1", "switch", epoch=1, seen=2), Exit.REFUSED),
    (backend_errors.HostLockBusy("web-1", "switch", "held"), Exit.REFUSED),
    (backend_errors.CommandFailed("web-1", "start", "exit 1", exit_status=1), Exit.FAULT),
    (backend_errors.NoSpace("web-1", "stage", "full"), Exit.FAULT),
    (backend_errors.NotPermitted("web-1", "stage", "no"), Exit.FAULT),
    (backend_errors.ArtifactMissing("here", "resolve", "gone"), Exit.FAULT),
    (backend_errors.SecretUnavailable("here", "resolve", "gone"), Exit.FAULT),
    (
        ExceptionGroup("two", [backend_errors.Unreachable("web-1", "connect", "refused"), ValueError()]),
        Exit.UNREACHABLE,
    ),
    (FileNotFoundError(2, "No such file", "x"), Exit.USAGE),
    (PermissionError(13, "Permission denied", "/state"), Exit.FAULT),
    (OSError(28, "No space left on device", "/state"), Exit.FAULT),
    (ZeroDivisionError("division by zero"), Exit.FAULT),
]


@pytest.mark.parametrize(("error", "status"), ERRORS, ids=lambda value: type(value).__name__)
def test_every_kind_of_error_has_its_status_and_one_sentence(error: BaseException, status: Exit) -> None:
    told = explain(error)
    assert told.status is status
    assert told.text
    assert "\n" not in told.text


def test_without_a_fleet_file(qd: Qd) -> None:
    for command in (["status"], ["check"], ["deploy", "a/b", "v1"], ["rollouts"]):
        done = qd.inside(*command, status=2)
        assert done.stderr.count("\n") == 1
        assert "--fleet FILE" in done.stderr


def test_all_faults_of_a_fleet_file_at_once(fleet: Qd) -> None:
    text = fleet.fleet_file.read_text()
    fleet.fleet_file.write_text(
        text.replace("commands:", "comands:").replace("hosts: [web-1, web-2]", "hosts: [web-1, web-3]")
    )
    done = fleet.inside("check", status=2)
    faults = [line for line in done.stderr.splitlines() if line.startswith(("fleet.yml:", str(fleet.fleet_file)))]
    assert len(faults) >= 3
    assert "did you mean `commands`?" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("qd: the fleet file has ")
    document = fleet.json("check", status=2)
    assert document["ok"] is False
    assert {"file", "line", "column", "message", "nearest"} <= set(document["problems"][0])
    assert fleet("status", "--cached", status=2).stdout == ""


def test_an_unknown_target_shows_the_nearest(fleet: Qd) -> None:
    for words in (
        ["deploy", "productoin/api", "v1"],
        ["rollback", "productoin/api", "--yes"],
        ["status", "productoin/api"],
        ["logs", "productoin/api"],
    ):
        assert "production/api" in fleet.inside(*words, status=2).stderr


def test_without_a_terminal_a_rollback_needs_yes_and_says_so(filled: Qd) -> None:
    done = filled("rollback", "production/api", status=5)
    assert "--yes" in done.stderr
    assert len(filled.json("rollouts")["rollouts"]) == 4  # nothing was armed


@pytest.mark.parametrize(
    "words",
    [
        ["deploy", "staging/api", "v1"],
        ["rollback", "production/api", "--yes"],
        ["pause", "4"],
        ["resume", "4"],
        ["abort", "4"],
        ["retry", "3"],
        ["adopt"],
        ["note", "x"],
    ],
    ids=lambda words: words[0],
)
def test_read_only_refuses_every_command_that_changes(filled: Qd, words: list[str]) -> None:
    with filled.journal() as journal:
        before = journal.head()
    done = filled.inside("--read-only", *words, status=5)
    assert "--read-only" in done.stderr
    with filled.journal() as journal:
        assert journal.head() == before


def test_read_only_still_reads(filled: Qd) -> None:
    assert filled.json("--read-only", "rollouts")["rollouts"]
    assert filled.json("--read-only", "status")["targets"]
    filled.state.rename(filled.directory / "gone")
    assert "no journal" in filled("--read-only", "rollouts", status=2).stderr
    assert not filled.state.exists()


def test_a_role_that_may_not_deploy(filled: Qd) -> None:
    filled.fleet_file.write_text(filled.fleet_file.read_text() + 'operators: {deploy: ["@nobody-is-in-this-group"]}\n')
    for words in (["deploy", "staging/api", "v1"], ["rollback", "production/api", "--yes"], ["abort", "4"], ["adopt"]):
        assert "may not change anything" in filled.inside(*words, status=5).stderr


def test_a_role_that_may_not_even_look(filled: Qd) -> None:
    text = filled.fleet_file.read_text()
    filled.fleet_file.write_text(text + 'operators: {view: ["@nobody-is-in-this-group"]}\n')
    for words in (["status", "--cached"], ["rollouts"], ["show", "4"], ["audit", "export"], ["logs", "production/api"]):
        done = filled.inside(*words, status=5)
        assert "may not look" in done.stderr
        assert done.stdout == ""
    filled.inside("check")  # the file itself is theirs to read
    me = pwd.getpwuid(os.getuid()).pw_name
    filled.fleet_file.write_text(text + f'operators: {{view: [{me}], deploy: ["@nobody-is-in-this-group"]}}\n')
    filled.inside("rollouts")
    for words in (["deploy", "staging/api", "v1"], ["rollback", "production/api", "--yes"]):
        done = filled.inside(*words, status=5)
        assert "may not change anything" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    filled.fleet_file.write_text(text + f"operators: {{view: [], deploy: [{me}]}}\n")
    filled.inside("rollouts")  # who may change things may look at them


def test_a_busy_target_names_who_holds_it(filled: Qd) -> None:
    done = filled.inside("deploy", "production/web", "v1", status=5)
    assert "rollout 4" in done.stderr
    assert "alice@bastion-2" in done.stderr
    assert "--supersede" in done.stderr


def test_a_target_is_not_busy_with_a_deploy_whose_worker_died(filled: Qd) -> None:
    with filled.journal() as journal:
        journal.set_worker(4, 1, 0, "of an earlier boot")
    assert "can't find version v1" in filled("deploy", "production/web", "v1", status=2).stderr
    assert "orphaned" in filled("rollouts", "--active").stdout


def test_force_and_override_need_a_reason(filled: Qd) -> None:
    assert "--reason" in filled.inside("deploy", "staging/api", "v1", "--force", status=5).stderr
    assert "--reason" in filled.inside("deploy", "production/api", "v1", "--override", "after", status=5).stderr


def test_no_way_back(filled: Qd) -> None:
    assert "no earlier release" in filled.inside("rollback", "staging/api", "--yes", status=5).stderr
    assert "did you mean" in filled.inside("rollback", "production/api", "--to", "v11", "--yes", status=2).stderr
    assert (
        "has no host web-9" in filled.inside("rollback", "production/api", "--only", "web-9", "--yes", status=2).stderr
    )


def test_unreachable_hosts_change_nothing_and_are_status_6(filled: Qd) -> None:
    done = filled("rollback", "production/api", "--yes", "--json", status=6)
    assert json.loads(done.stdout)["status"] == "cancelled"
    assert "web-1" in done.stderr
    assert filled.json("doctor", "production/api", status=6)["ok"] is False


def test_an_unknown_rollout(filled: Qd) -> None:
    for command in ("show", "watch", "pause", "resume", "abort", "retry"):
        assert "no rollout 99" in filled.inside(command, "99", status=2).stderr
    assert "nothing is under way on production/api" in filled.inside("pause", "production/api", status=2).stderr
    assert "no rollout of staging/api" in filled.inside("watch", "staging/api", status=2).stderr


def test_debug_adds_the_traceback(filled: Qd) -> None:
    assert "Traceback" in filled("--debug", "show", "99", status=2).stderr
    assert "Traceback" not in filled("show", "99", status=2).stderr


def test_a_reader_that_leaves_early_is_no_error(fleet: Qd) -> None:
    with fleet.journal() as journal:
        fill(journal)
        for number in range(3000):
            journal.record("test", body={"number": number})
    with subprocess.Popen(
        fleet.command("history", "--limit", "3000"),
        cwd=fleet.directory,
        env=fleet.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert told == ""


@contextlib.contextmanager
def held(state: Path, rollout: int) -> Iterator[None]:
    """The worker's lock is held, as by a live worker: there is something to wait for."""
    lock = WorkerLock.acquire(state, rollout)
    try:
        yield
    finally:
        lock.release()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", [["--version"], ["rollouts"], ["watch", "2"]], ids=" ".join)
def test_a_closed_standard_stream_is_no_error(filled: Qd, words: list[str], closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *filled.command(*words)],
        cwd=filled.directory,
        env=filled.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["as usual", "unbuffered"])
def test_output_that_can_not_be_written_is_named_and_is_no_success(filled: Qd, unbuffered: str) -> None:
    def into_a_full_disk(*words: str) -> "subprocess.CompletedProcess[str]":
        with open("/dev/full", "w") as full:
            return subprocess.run(
                filled.command(*words),
                cwd=filled.directory,
                env={**filled.environ(), "PYTHONUNBUFFERED": unbuffered},
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )

    listed = into_a_full_disk("rollouts")
    assert (listed.returncode, listed.stderr) == (1, "qd: standard output: no space left on device\n")
    taken_back = into_a_full_disk("watch", "3")
    assert taken_back.returncode == 3, "of one that has ended the status says how"
    with held(filled.state, 4):
        under_way = into_a_full_disk("watch", "4")
    assert under_way.returncode == 130
    assert under_way.stderr == (
        "qd: standard output can't be written (no space left on device); rollout 4 goes on. Follow it with: qd watch 4\n"
    )


def test_a_reader_that_leaves_a_rollout_under_way_is_told_that_it_goes_on(filled: Qd) -> None:
    with (
        held(filled.state, 4),
        subprocess.Popen(
            filled.command("watch", "4"),
            cwd=filled.directory,
            env=filled.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if "paused" in line:
                break
        process.stdout.close()
        with filled.journal() as journal:
            journal.note("something happens", "production/web", 4)
        told = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert told == "qd: nobody reads the output any more; rollout 4 goes on. Follow it with: qd watch 4\n"


def test_ctrl_c_while_watching_says_that_it_goes_on(filled: Qd) -> None:
    """The worker's lock is held, as by a live worker, so that there is something to wait for."""
    lock = WorkerLock.acquire(filled.state, 4)
    process = subprocess.Popen(
        filled.command("watch", "4"),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests that run in the background ignore it
        cwd=filled.directory,
        env=filled.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "paused" in line:
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        lock.release()
    assert process.returncode == 130
    assert told.strip() == "qd: interrupted; rollout 4 goes on. Follow it with: qd watch 4"


def test_who_aborts_a_rollout_whose_worker_hangs_learns_what_to_do(filled: Qd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's lock is held and nobody answers, as after a SIGSTOP."""
    monkeypatch.setattr(steering, "ANSWER", 0.2)
    with filled.journal() as journal:
        journal.set_worker(4, 4711, 0, "this boot")
    with held(filled.state, 4):
        told = filled.inside("abort", "4", "--timeout", "0.2", status=7).stderr
    assert "(process 4711) has not answered" in told
    assert "qd rollback production/web" in told


def test_watch_with_a_timeout_is_status_7(filled: Qd) -> None:
    lock = WorkerLock.acquire(filled.state, 4)
    try:
        assert "qd watch 4" in filled("watch", "4", "--timeout", "0.3", status=7).stderr
    finally:
        lock.release()


def test_declining_on_a_terminal_changes_nothing(filled: Qd) -> None:
    """A rollback of hosts that can't be reached has no card: the terminal is told why and nothing is asked."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        filled.command("rollback", "production/api"),
        cwd=filled.directory,
        env=filled.environ({"TERM": "xterm"}),
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(follower)
    try:
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(leader)
    assert process.returncode == 6
    assert "can't be reached" in told
    with filled.journal() as journal:
        assert journal.rollouts("production/api", limit=1)[0].state == "cancelled"
        assert journal.rollouts("production/api", limit=1)[0].kind is RolloutKind.ROLLBACK


def test_a_rollback_to_a_bad_release_is_told_where_else_to_go(filled: Qd) -> None:
    done = filled.inside("rollback", "production/api", "--to", "v3", "--yes", status=5)
    assert "was marked bad" in done.stderr
    assert "; good are v1-" in done.stderr
    assert "; to go there all the same: --force --reason" in done.stderr


def test_a_fleet_file_that_can_not_be_had_is_one_sentence(qd: Qd) -> None:
    done = qd.inside("--fleet", str(qd.directory / "none.yml"), "status", status=2)
    assert done.stderr == f"qd: there is no file {qd.directory / 'none.yml'}; nothing was changed\n"
    qd.fleet_file.mkdir()  # as little to be read as one without the permission, also by root
    done = qd.inside("--fleet", str(qd.fleet_file), "status", status=2)
    assert done.stderr == f"qd: {qd.fleet_file} is not an ordinary file; nothing was changed\n"


def test_a_host_whose_logs_can_not_be_had_is_named_once(filled: Qd) -> None:
    text = filled.fleet_file.read_text()
    filled.fleet_file.write_text(
        text.replace("path: /srv/api\n", "path: /srv/api\n    logs: {files: [/var/log/api.log]}\n")
    )
    done = filled("logs", "production/api", status=6)
    silent = [line for line in done.stderr.splitlines() if line.startswith("? ")]
    assert silent
    for line in silent:
        name = line.split(":")[0].removeprefix("? ")
        assert line.count(f"{name}:") == 1, line
