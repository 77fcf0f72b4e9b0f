"""The set-up heals itself and explains itself. The interpreter is a stand-in that writes down what it was asked for."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import quarterdeck

ROOT = Path(quarterdeck.__file__).resolve().parent.parent

# As much of python3 as bootstrap.sh uses. $STANDIN is a folder: calls are written to its file "calls"; a file named
# "version", "old", "no-venv", "pip-fails" or "pip-killed" in it changes what happens.
INTERPRETER = r"""#!/bin/sh
case "$*" in
*"sys.version_info < (3, 11)"*) exec test ! -e "$STANDIN/old" ;;
*"import venv, ensurepip"*) exec test ! -e "$STANDIN/no-venv" ;;
*"print(sys.version)"*) cat "$STANDIN/version" 2>/dev/null || echo 3.11.2 ;;
*'"%d.%d"'*) echo 3.11 ;;
--version) if [ -e "$STANDIN/old" ]; then echo Python 3.9.2; else echo Python 3.11.2; fi ;;
"-m venv --clear "*)
    echo "venv" >>"$STANDIN/calls"
    rm -rf .venv
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python ;;
"-m pip --version") ;;
"-m pip install"*)
    echo "pip" >>"$STANDIN/calls"
    case "$*" in *--editable*) exit 0 ;; esac
    if [ -e "$STANDIN/pip-fails" ]; then echo "no network" >&2; exit 1; fi
    if [ -e "$STANDIN/pip-killed" ]; then kill -9 "$PPID"; fi ;;
*) echo "the stand-in does not know: $*" >&2; exit 99 ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    path: Path
    standin: Path

    def set_up(self, kind: str = "runtime") -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.standin / 'bin'}:{os.environ['PATH']}", "STANDIN": str(self.standin)}
        return subprocess.run(
            ["sh", "bootstrap.sh", kind],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def calls(self) -> list[str]:
        """What was asked of the interpreter since the last look."""
        log = self.standin / "calls"
        words = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return words

    def having(self, state: str) -> None:
        (self.standin / state).touch()

    def no_longer(self, state: str) -> None:
        (self.standin / state).unlink()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    path, standin = tmp_path / "checkout", tmp_path / "standin"
    path.mkdir()
    (standin / "bin").mkdir(parents=True)
    for name in ("bootstrap.sh", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, path / name)
    interpreter = standin / "bin/python3"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    return Checkout(path, standin)


def test_installs_once_and_then_asks_the_network_for_nothing(checkout: Checkout) -> None:
    first = checkout.set_up()
    assert first.returncode == 0, first.stderr
    assert checkout.calls() == ["venv", "pip", "pip"]
    second = checkout.set_up()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert checkout.calls() == []


def test_development_includes_what_the_program_needs(checkout: Checkout) -> None:
    checkout.set_up("development")
    checkout.calls()
    assert checkout.set_up("runtime").returncode == 0
    assert checkout.calls() == []


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_installs_again_when_the_lock_or_the_project_changes(checkout: Checkout, name: str) -> None:
    checkout.set_up()
    checkout.calls()
    with (checkout.path / name).open("a") as file:
        file.write("# newer\n")
    assert checkout.set_up().returncode == 0
    assert checkout.calls() == ["pip", "pip"]


def test_begins_afresh_after_an_installation_that_was_killed(checkout: Checkout) -> None:
    checkout.having("pip-killed")
    assert checkout.set_up().returncode == -9
    checkout.no_longer("pip-killed")
    checkout.calls()
    assert checkout.set_up().returncode == 0
    assert checkout.calls() == ["venv", "pip", "pip"]
    checkout.set_up()
    assert checkout.calls() == []


def test_a_failed_installation_is_said_and_not_taken_for_done(checkout: Checkout) -> None:
    checkout.having("pip-fails")
    failed = checkout.set_up()
    assert failed.returncode == 1
    assert "no network" in failed.stderr
    assert "could not install the locked dependencies" in failed.stderr
    checkout.no_longer("pip-fails")
    checkout.calls()
    assert checkout.set_up().returncode == 0
    assert "pip" in checkout.calls()


def test_begins_afresh_when_the_checkout_was_moved_or_its_python_replaced(checkout: Checkout) -> None:
    checkout.set_up()
    checkout.calls()
    moved = Checkout(checkout.path.rename(checkout.path.parent / "moved"), checkout.standin)
    assert moved.set_up().returncode == 0
    assert moved.calls() == ["venv", "pip", "pip"]
    (checkout.standin / "version").write_text("3.13.1\n")
    assert moved.set_up().returncode == 0
    assert moved.calls() == ["venv", "pip", "pip"]


def test_says_which_python_is_needed(checkout: Checkout) -> None:
    checkout.having("old")
    for name in ("python3.11", "python3.12", "python3.13", "python3.14"):
        shutil.copy(checkout.standin / "bin/python3", checkout.standin / "bin" / name)
    refused = checkout.set_up()
    assert refused.returncode == 1
    assert "python3 is Python 3.9.2: Python 3.11 or newer is needed" in refused.stderr
    assert checkout.calls() == []


def test_names_the_debian_package_that_is_missing(checkout: Checkout) -> None:
    checkout.having("no-venv")
    refused = checkout.set_up()
    assert refused.returncode == 1
    assert "apt install python3.11-venv" in refused.stderr
    assert not (checkout.path / ".venv").exists()
