"""Promise 16: two canaries among the secrets of a service on SSH hosts, through deploys, releases and hooks that print them in every
encoding, a traceback that names them, a worker that crashes while it holds them, a rollback, the control room and its pictures: they are
in no journal, log, argument of a process, command's output, notification, report, screen or SVG.

Seen to fail, by what commands print first of all, with the mask taken out; with that over the worker's own log taken out; and as long as
what hooks had printed lay on their hosts for all to read. They are where they have to be: in each release's ``qd.secrets.env`` on its host,
for its user alone, as is what its hooks printed.
"""

import html
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.rollouts.spawn import worker_log
from screenshots.drawing import svg
from tests.counts import counts_are_full
from tests.field import TARGET, Field
from tests.room.terminal import Terminal
from tests.sshd import wait_for
from tests.told import service
from tests.trust.canaries import IN_ONE_LINE, Canaries, of_this_run, printing
from tests.trust.docker_truth import dying
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(16), pytest.mark.sshd, pytest.mark.timeout(300)]

URL, TOKEN = of_this_run("url"), of_this_run("plain")
SECRETS = Canaries(URL, TOKEN)
NAMES = ("DATABASE_URL", "TOKEN")
PARTS = 4 if counts_are_full() else 1
"""An output is shown and kept by its last lines: each of so many releases prints another part of the encodings."""
RUNS = 'echo "$QD_RELEASE" > ../../running'
RAISES = f"python3 -c 'import os; raise ValueError([os.environ[name] for name in {list(NAMES)}])'".replace(
    "['DATABASE_URL', 'TOKEN']", '("DATABASE_URL", "TOKEN")'
)
EVENTS = ["started", "waiting", "rolling_back", "succeeded", "rolled_back", "failed", "cancelled", "superseded"]


@pytest.fixture
def with_secrets(field: Field) -> Field:
    """Their values lie in files that only the bastion has."""
    place = field.directory / "secrets"
    place.mkdir()
    for name, value in zip(NAMES, (URL, TOKEN), strict=True):
        (place / name).write_text(value)
    field.make_version("v1", start=f"{printing(*NAMES)}; {RUNS}")
    field.make_version("v2", start=f'set -x; : "$DATABASE_URL $TOKEN"; {RUNS}')
    for part in range(1, PARTS + 1):
        field.make_version(f"loud{part}", start=f"{printing(*NAMES, part=f'{part}/{PARTS}')}; exit 3")
    field.make_version("raises", start=RAISES)
    field.write(secrets={name: {"file": str(place / name)} for name in NAMES})
    return field


@pytest.fixture
def said(with_secrets: Field) -> "Said":
    return Said(with_secrets)


class Said:
    """All that commands have printed."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self.text = ""

    def qd(self, *arguments: str, status: int | None = 0, **more: Any) -> str:
        done = self._field.qd(*arguments, status=None, **more)
        self.text += done.stdout + done.stderr
        if status is not None and done.returncode != status:
            # Not by what it printed: a canary in it would be in this report.
            raise AssertionError(f"{arguments[0]} ended with {done.returncode}, not {status}")
        return done.stdout


def hooks(field: Field, ends: str = "") -> list[dict[str, Any]]:
    everywhere = {"run": f"{printing(*NAMES, part='1/3')}{ends}", "where": "each"}
    return [{**everywhere, "on_rollback": printing(*NAMES, part="2/3")}]


def crash(field: Field, said: Said) -> int:
    """The worker meets an error of its own in the middle of a deploy, which names what is secret."""
    died = field.directory / "crashed"
    with pytest.MonkeyPatch.context() as patch, dying(patch, "raise 1", died):
        patch.setenv("QD_TEST_SAYS", f"{URL} and {TOKEN}")
        rollout = field.begin("deploy", "v1", force=True, reason="a worker that crashes")
    field.until(rollout, field.worker_has_left, 180)
    assert died.exists()
    said.qd("abort", str(rollout), "--wait", status=3)
    return rollout


def look_round(terminal: Terminal, rollout: int, pictures: list[str]) -> None:
    """Every view of the control room, a rollout's screen, and the cards."""
    views = [
        ("1", "web"),
        ("2", "rollouts"),
        ("3", "logs"),
        ("4", "health"),
        ("5", "history"),
        ("6", "drift"),
        ("7", "readiness"),
    ]
    for key, shown in [*views, ("8", "artifacts"), ("2", f">{rollout:4}")]:
        terminal.send(key)
        terminal.wait_for(shown)
        pictures.append(svg(terminal.screen))
    for keys, shown in (("\r", f"== rollout {rollout}"), ("G", "what happened")):
        terminal.send(keys)
        terminal.wait_for(shown)
        pictures.append(svg(terminal.screen))
    terminal.send("\x1b")
    terminal.wait_gone("enter: a step whole")
    for key, shown in (("R", "ROLL BACK"), ("D", "versions of")):
        terminal.send(key)
        terminal.wait_for(shown)
        terminal.wait_for("esc ")
        pictures.append(svg(terminal.screen))
        terminal.send("\x1b")
        terminal.wait_gone(shown)


def on_the_hosts(field: Field) -> list[Path]:
    """Everything there, but for what must hold the secrets, or what the release itself has printed: the latter is kept in its log, which is
    its own, and for a retry of its operation, which is for its user alone."""
    found = []
    for host in field.hosts.hosts:
        for file in [path for path in host.directory.rglob("*") if path.is_file() and not path.is_symlink()]:
            if file.name == "qd.secrets.env" or file.suffix == ".out":
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
            elif file != field.home(host) / "shared" / "log" / "service.log":
                found.append(file)
        kept = (field.home(host) / "current" / "qd.secrets.env").read_bytes()
        assert SECRETS.found_in(kept), "they are where they have to be"
    return found


def on_the_bastion(field: Field) -> list[Path]:
    """Journal, workers' logs, caches, reports."""
    return [path for path in field.directory.rglob("*") if path.is_file() and "secrets" not in path.parts]


def test_a_canary_is_nowhere_to_be_seen(
    with_secrets: Field, said: Said, monkeypatch: pytest.MonkeyPatch, promise: Promises
) -> None:
    field = with_secrets
    environment = {**os.environ, "XDG_STATE_HOME": str(field.directory / "xdg"), "TERM": "xterm-256color"}
    for name in ("TMUX", "COLUMNS", "LINES"):
        environment.pop(name, None)
    pictures: list[str] = []
    with service() as told, SECRETS.watched_arguments() as arguments:
        monkeypatch.setenv("HOOK_URL", told.url())
        field.extra["notify"] = [{"to": {"env": "HOOK_URL"}, "on": EVENTS, "title": "{{event}}"}]
        field.write(hooks={"after": hooks(field)}, logs={"files": ["~/srv/starts"]})
        said.qd("deploy", TARGET, "v1", "--wait")
        said.qd("deploy", TARGET, "v2", "--wait")
        with Terminal([*field.command(), TARGET], size=(160, 50), environment=environment) as terminal:
            terminal.wait_until(lambda: "LIVE" in terminal.rows[0], "the journal to be read")
            failing = [f"loud{part}" for part in range(1, PARTS + 1)] + ["raises"]
            for version in failing:
                said.qd("deploy", TARGET, version, "--wait", "--debug", status=3)
                pictures.append(svg(terminal.screen))
            assert field.running() == ["v2"] * len(field.hosts)
            field.write(hooks={"after": hooks(field, "; exit 7")})
            said.qd("deploy", TARGET, "v1", "--wait", "--json", "--force", "--reason", "a hook that fails", status=3)
            field.write(hooks={"after": hooks(field)})
            crashed = crash(field, said)
            said.qd("rollback", TARGET, "--yes", "--wait", "--to", "v1")
            assert field.running() == ["v1"] * len(field.hosts)
            with field.journal(read_only=True) as journal:
                last = journal.rollouts(TARGET, limit=1)[0].id
            look_round(terminal, last, pictures)
            screen = bytes(terminal.received)
            terminal.send("Q")
            terminal.wait_ended()
        for command in (
            ("status", "--json"), ("doctor",), ("history", "--json", "--steps"), ("releases", TARGET, "--json"), ("rollouts", "--json"),
            ("logs", TARGET), ("diff", TARGET, "v1", "v2"), ("rollback", TARGET, "--plan"), ("audit", "export"), ("ready", "--json"),
            ("exec", TARGET, "--all", "--", "sh", "-c", "cat ~/srv/current/qd.secrets.env"),
            ("report", str(last - 1), "--to", str(field.directory / "report.md")),
        ):  # fmt: skip
            said.qd(*command, status=None)
        for rollout in range(1, last + 1) if counts_are_full() else (crashed, last):
            said.qd("show", str(rollout))
            said.qd("report", str(rollout))
        wait_for(lambda: len(told.came) >= 2 * last - 2, "the notifications")

    assert arguments.with_one == []
    assert arguments.lines > 100
    assert SECRETS.found_in(said.text.encode()) == []
    assert SECRETS.in_part_in(screen) == []
    drawn = "\n".join(pictures)
    assert SECRETS.in_part_in(drawn.encode() + html.unescape(drawn).encode()) == []
    assert SECRETS.found_in(repr(told.came).encode()) == []
    assert SECRETS.files_with_one(on_the_bastion(field)) == {}
    assert SECRETS.files_with_one(on_the_hosts(field)) == {}
    log = worker_log(field.state, crashed).read_text()
    assert "Traceback (most recent call last)" in log, "a worker's own traceback is among what was read"
    assert "ValueError" in said.text, "so is a release's"
    assert "****" in said.text
    kept = promise(16)
    kept.count("encodings searched for over SSH", len(IN_ONE_LINE))
    kept.count("command lines of processes read", arguments.lines)
    kept.count("pictures of the screen read", len(pictures))
    kept.count("notifications read", len(told.came))
