"""What needs no fleet file: help, version, wrong usage, and that nothing heavy is loaded for it."""

import subprocess
import sys

import pytest

from quarterdeck import __version__
from quarterdeck.rollouts.status import LOOK
from quarterdeck.tui.cli.exits import MEANINGS
from quarterdeck.tui.cli.parser import COMMANDS
from tests.cli.qd_command import Qd

NAMES = [command.name for command in COMMANDS]
NESTED = [
    "audit verify",
    "audit export",
    "env setup",
    "env diff",
    "env clone",
    "env list",
    "env extend",
    "env remove",
    "notify test",
    "demo up",
    "demo down",
    "demo load",
    "demo break",
]
HEAVY = {"asyncssh", "httpx", "h11", "textual", "jsonschema", "yaml", "sqlite3", "pysqlite3", "asyncio"}


@pytest.mark.parametrize("name", [*NAMES, *NESTED])
def test_every_command_has_a_manual_with_an_example(qd: Qd, name: str) -> None:
    shown = qd.inside(*name.split(), "--help")
    assert shown.stdout.startswith(f"usage: qd {name}")
    examples = shown.stdout.partition("\nexample")[2]
    assert f"qd {name}" in examples
    assert "--json" in shown.stdout
    assert "--fleet" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert qd.inside("help", *name.split()).stdout == shown.stdout
    assert shown.stderr == ""


@pytest.mark.parametrize("group", ["demo", "audit", "env", "notify"])
def test_a_list_of_actions_shows_whole_sentences(qd: Qd, group: str) -> None:
    """Each action's first sentence, as its own manual begins."""
    listed = " ".join(qd.inside(group, "--help").stdout.partition("what to do:")[2].split())
    for name in [nested for nested in NESTED if nested.startswith(group)]:
        manual = " ".join(qd.inside(*name.split(), "--help").stdout.partition("\n\n")[2].split())
        assert f"{name.split()[1]} {manual.partition('. ')[0]}".rstrip(".") in listed


def test_the_time_that_a_host_gets_is_the_one_that_the_manual_names(qd: Qd) -> None:
    manual = " ".join(qd.inside("status", "--help").stdout.split())
    assert f"gives no answer for {LOOK:g} seconds" in manual


def test_the_overview_names_all_commands_and_exit_statuses(qd: Qd) -> None:
    text = qd("--help").stdout
    for name in NAMES:
        assert f"\n    {name} " in text
    for status, meaning in MEANINGS.items():
        assert f"{status.value:>3}  {meaning}" in text
    assert qd("help").stdout == text


def test_version(qd: Qd) -> None:
    assert qd("--version").stdout == f"qd {__version__}\n"
    assert qd("--version", "--json").stdout == f'{{\n  "version": "{__version__}"\n}}\n'


@pytest.mark.parametrize(
    ("words", "barred"),
    [
        (["--version"], HEAVY | {"argparse", "json"}),
        (["help"], HEAVY),
        (["rollback", "--help"], HEAVY),
        (["rollback", "production/api"], HEAVY),  # refused before anything is read
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(qd: Qd, words: list[str], barred: set[str]) -> None:
    program = (
        "import sys\n"
        "from quarterdeck.tui.main import main\n"
        f"main({words!r})\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=qd.environ(),
        cwd=qd.directory,
        stdin=subprocess.DEVNULL,
    )
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert "sys" in loaded, done.stderr
    assert not loaded & barred


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["rolback"], "did you mean rollback?"),
        (["deploy", "a/b", "v1", "--superseed"], "did you mean --supersede? See: qd deploy --help"),
        (["deploy", "a/b", "v1", "v2"], "unrecognized arguments: v2; see: qd deploy --help"),
        (["deploy", "a/b", "v1", ""], "unrecognized arguments: ; see: qd deploy --help"),
        (["deploy"], "TARGET"),
        (["deploy", "staging/api", "v1", "--wait", "--detach"], "not allowed with"),
        (["watch", "1", "--timeout", "soon"], "is no duration"),
        (["rollouts", "--limit", "0"], "is no number above 0"),
        (["--color", "purple", "check"], "purple"),
        (["audit", "verfy"], "there is verify, export"),
        (["audit"], "qd audit verify"),
        (["help", "rollbck"], "did you mean rollback"),
        (["completion", "tcsh"], "bash, zsh, fish"),
        (["logs", "staging/api", "--grep", "["], "no regular expression"),
        ([], "a command is missing"),
        (["status", "--frobnicate"], "--frobnicate"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(qd: Qd, words: list[str], told: str) -> None:
    done = qd.inside(*words, status=2)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("qd: ")
    assert told in last
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_global_options_stand_before_or_after_the_command(fleet: Qd) -> None:
    outside = fleet.directory / "elsewhere.yml"
    fleet.fleet_file.rename(outside)
    before = fleet("--fleet", str(outside), "--json", "check").stdout
    after = fleet("check", "--json", "--fleet", str(outside)).stdout
    assert before == after != ""
