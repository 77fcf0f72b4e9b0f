"""``qd exec`` and ``x`` on real hosts: what comes back, who may, what the journal keeps; on a terminal as a person has it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.field import TARGET, Field
from tests.room.terminal import Terminal
from tests.sshd import wait_for

pytestmark = [pytest.mark.sshd]
CANARY = "s3cret-canary-4711"


@pytest.fixture
def released(field: Field) -> Field:
    """v1 runs on all five hosts, and has a secret."""
    secret = field.directory / "secret"
    secret.write_text(f"{CANARY}\n")
    field.write(secrets={"TOKEN": {"file": str(secret)}})
    field.deploy("v1")
    return field


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("QD_")}


def events(field: Field) -> list[tuple[str, str | None, dict[str, Any]]]:
    with field.journal(read_only=True) as journal:
        return [(e.kind, e.host, e.body) for e in journal.events(limit=5000) if e.kind.startswith("exec")]


def test_on_one_host_everything_is_the_commands_own(released: Field) -> None:
    done = released.qd(
        "exec", TARGET, "--host", "host-2", "--", "sh", "-c", "cat; echo e >&2; exit 7", input="a\x1b[1mb\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "a\x1b[1mb\n", "e\n")
    (begun, where, what), (ended, also, how) = events(released)
    assert (begun, ended, where, also) == ("exec", "exec.ended", "host-2", "host-2")
    assert what["command"] == how["command"] == "sh -c 'cat; echo e >&2; exit 7'"
    assert how["exit_status"] == 7


def test_options_behind_the_dashes_are_the_commands(released: Field) -> None:
    words = ["--json", "--", "--debug", "-h", "--fleet"]
    done = released.qd("exec", TARGET, "--host", "host-1", "--", "printf", "<%s>", *words, status=0)
    assert done.stdout == "".join(f"<{word}>" for word in words)


def test_on_all_hosts_each_line_has_its_host_and_the_worst_status_counts(released: Field) -> None:
    command = ["sh", "-c", 'case $PWD in *host-3*) exit 4 ;; esac; echo "$QD_VERSION"']
    done = released.qd("exec", TARGET, "--all", "--", *command)
    assert done.returncode == 4
    assert sorted(done.stdout.splitlines()) == [f"{f'host-{n}':<12} v1" for n in (1, 2, 4, 5)]
    released.hosts[4].stop()
    try:
        done = released.qd("exec", TARGET, "--all", "--json", "--", "true")
    finally:
        released.hosts[4].start()
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 6
    assert sorted(one["host"] for one in said if one.get("exit_status") == 0) == [f"host-{n}" for n in (1, 2, 3, 4)]
    assert [one["host"] for one in said if "error" in one] == ["host-5"]


def test_several_hosts_have_to_be_said(released: Field) -> None:
    done = released.qd("exec", TARGET, "--", "true", status=2)
    assert "--host (host-1, host-2" in done.stderr
    assert released.qd("exec", TARGET, "--host", "nowhere", "--", "true").returncode == 2
    assert events(released) == []


def test_who_may_not_change_anything_runs_nothing(released: Field) -> None:
    mark = released.directory / "ran"
    command = ["exec", TARGET, "--host", "host-1", "--", "touch", str(mark)]
    assert "--read-only" in released.qd("--read-only", *command, status=5).stderr
    released.extra["operators"] = {"deploy": ["somebody-else"]}
    released.write()
    assert "may not change anything" in released.qd(*command, status=5).stderr
    assert not mark.exists()
    assert events(released) == []


def test_no_secret_gets_into_the_journal_nor_onto_a_terminal(released: Field) -> None:
    show = f'echo "$TOKEN" {CANARY} | tr a-z A-Z; echo "$TOKEN"'
    done = released.qd("exec", TARGET, "--host", "host-1", "--json", "--", "sh", "-c", show, status=0)
    assert CANARY.upper() in done.stdout, "the command has its environment"
    assert CANARY not in done.stdout
    assert "****" in events(released)[0][2]["command"]
    assert CANARY not in json.dumps(events(released))
    # One that can't be read may be any of the words.
    (released.directory / "secret").unlink()
    released.qd("exec", TARGET, "--host", "host-1", "--", "echo", CANARY, status=0)
    assert events(released)[-1][2]["command"].startswith("echo … (1 words are not kept")


def test_a_command_that_takes_too_long_is_124(released: Field) -> None:
    done = released.qd("exec", TARGET, "--host", "host-1", "--timeout", "1", "--", "sleep", "600", status=124)
    assert "ended after 1 s" in done.stderr
    assert "ended after 1 s" in events(released)[-1][2]["error"]


def test_with_a_terminal_on_both_ends_it_is_a_session(released: Field) -> None:
    command = released.command("exec", TARGET, "--host", "host-1", "--", "sh", "-c", "PS1='there> ' exec sh -i")
    with Terminal(command, size=(91, 27), environment=environment()) as terminal:
        terminal.wait_for("there>")
        terminal.send("stty size\r")
        terminal.wait_for("27 91")
        terminal.resize(100, 33)
        # the shell is told a moment later
        terminal.send("while test \"$(stty size)\" != '33 100'; do sleep 0.1; done; echo re''sized\r")
        terminal.wait_for("resized")
        terminal.send(
            "sh -c 'echo slee''ping; exec sleep 600'\r"
        )  # not what is typed, but what it prints says that it runs
        terminal.wait_for("sleeping")
        terminal.send("\x03")
        terminal.send("echo still ''here; exit 5\r")
        terminal.wait_for("still here")
        assert terminal.wait_ended() == 5
    assert events(released)[0][2]["terminal"] is True
    assert events(released)[-1][2]["exit_status"] == 5


def test_a_terminal_that_goes_away_ends_the_command_and_that_is_written_down(released: Field) -> None:
    command = released.command("exec", TARGET, "--host", "host-1", "--", "sh", "-c", "echo be$()gun; sleep 600")
    with Terminal(command, environment=environment()) as terminal:
        terminal.wait_for("begun")
        terminal.hang_up()
        wait_for(lambda: len(events(released)) == 2, "the end to be journalled")
    assert events(released)[-1][2]["error"] == "its reader left"


def test_a_long_command_and_long_lines_are_seen_whole_at_80x24_without_colour(released: Field) -> None:
    """In the line that is typed, in the card, and in what is printed; by keys alone."""
    env = environment() | {"NO_COLOR": "1"}
    with Terminal(released.command(TARGET), size=(80, 24), environment=env) as terminal:
        terminal.wait_for("[=v1")
        terminal.send("x")
        terminal.wait_for("on host:")
        terminal.send("\x15host-4\r")
        terminal.wait_for("on host-4 $")
        terminal.send("printf %0120d 0; echo ' end of a long''er line'; : " + "x" * 260 + " ends''here")
        terminal.wait_for("ends''here")
        assert "on host-4 $ printf" in terminal.text, "the beginning is still there"
        terminal.send("\r")
        terminal.wait_for("ended with 0")
        terminal.wait_for("end of a longer line")  # broken at the edge
        assert ".." in terminal.text
        assert "ends''here" not in terminal.text
        terminal.wait_for("whole command")
        terminal.send("c")
        terminal.wait_for("ends''here")
        terminal.send("c")
        terminal.wait_for("end of a longer line")
        terminal.send("w")
        terminal.wait_gone("end of a longer line")
        terminal.wait_for("left right sideways")
        terminal.send("\x1b[C" * 4)
        terminal.wait_for("end of a longer line")
        terminal.send("\x1b[D" * 4)
        terminal.wait_gone("end of a longer line")
        terminal.send("w")
        terminal.wait_for("end of a longer line")
        terminal.send("\x1b")
        terminal.wait_gone("exec  staging")
        terminal.wait_for("[=v1")


def test_x_in_the_room_shows_what_a_command_prints(released: Field) -> None:
    with Terminal(released.command(TARGET), size=(120, 35), environment=environment()) as terminal:
        terminal.wait_for("LIVE")
        terminal.send("x")
        terminal.wait_for("on host:")
        terminal.send("\x15host-4\r")
        terminal.wait_for("on host-4 $")
        terminal.send("seq 1000; echo \"last of $QD_VERSION\"; printf '\\033[2Jred\\n'; exit 3\r")
        terminal.wait_for("ended with 3")
        terminal.wait_for("last of v1")
        assert "red" in terminal.text
        terminal.send("g")
        terminal.wait_gone("last of v1")
        terminal.send("\x1b")
        terminal.wait_gone("exec  staging")
        assert Path(f"/proc/{terminal.pid}").exists()
        # One that still runs ends with the card.
        terminal.send(f":exec {TARGET} echo be$()gun; sleep 600\r")
        terminal.wait_for("begun")
        terminal.send("\x1b")
        terminal.wait_until(lambda: len(events(released)) == 12, "every host's command to be ended and journalled")
    assert {body.get("exit_status", "left") for kind, _, body in events(released) if kind == "exec.ended"} == {
        3,
        "left",
    }
