"""What the shell is told while somebody types, and the scripts that make it ask."""

import shutil
import subprocess

import pytest

from tests.cli.qd_command import Qd
from tests.requirements_here import need


def complete(qd: Qd, line: str) -> list[str]:
    """The words that argcomplete answers for ``line``, with the cursor at its end."""
    answer = qd.directory / "answer"
    answer.write_text("")
    environment = {
        "_ARGCOMPLETE": "3",  # the command takes three words: python -m module
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "fish",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line.replace("qd", "python -m qd", 1),
        "COMP_POINT": str(len(line.replace("qd", "python -m qd", 1))),
    }
    done = qd(status=None, environment=environment)
    assert "Traceback" not in done.stderr
    return sorted(word.split("\t")[0].strip() for word in answer.read_text().splitlines() if word.strip())


def test_commands(fleet: Qd) -> None:
    assert {"rollback", "rollouts"} == set(complete(fleet, "qd roll"))


def test_targets_come_from_the_fleet_file(fleet: Qd) -> None:
    assert complete(fleet, "qd deploy prod") == ["production/api", "production/web"]
    assert complete(fleet, "qd rollback stag") == ["staging/api", "staging/web"]
    assert "staging" in complete(fleet, "qd status sta")
    other = fleet.directory / "other.yml"
    other.write_text(fleet.fleet_file.read_text().replace("production", "prod"))
    assert complete(fleet, f"qd --fleet {other} deploy prod") == ["prod/api", "prod/web"]


def test_the_control_room_is_completed_too(fleet: Qd) -> None:
    assert complete(fleet, "qd prod") == ["production/api", "production/web"]
    assert "--slow" in complete(fleet, "qd --sl")


def test_releases_rollouts_and_hosts_come_from_the_journal(filled: Qd) -> None:
    assert {"v1", "v2", "v3"} <= set(complete(filled, "qd rollback production/api --to v"))
    assert complete(filled, "qd deploy production/api v") == ["v1", "v2", "v3"]
    assert {word.partition("-")[0] for word in complete(filled, "qd diff v")} == {"v1", "v2", "v3", "v9"}
    assert "v1" in complete(filled, "qd diff --target production/api v")
    assert [word for word in complete(filled, "qd watch ") if word.isdigit()] == ["1", "2", "3", "4"]
    assert complete(filled, "qd rollback production/api --only web-") == ["web-1", "web-2"]


def test_options(fleet: Qd) -> None:
    assert "--supersede" in complete(fleet, "qd deploy --su")


def test_a_broken_fleet_file_completes_nothing_and_prints_nothing(fleet: Qd) -> None:
    fleet.fleet_file.write_text("nonsense: [")
    assert complete(fleet, "qd deploy prod") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_can_read(qd: Qd, shell: str) -> None:
    script = qd("completion", shell).stdout
    assert "qd" in script
    program = shutil.which(shell)
    need(shell != "bash" or program is not None, "bash")
    if program is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True, timeout=30)
    assert qd.json("completion", shell)["script"] in script
