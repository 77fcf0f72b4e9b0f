"""The floors of the house: an import only ever goes down, and the command line loads nothing heavy before it needs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
FLOORS = ["config", "history", "backends", "rollouts", "tui"]  # from the ground up
HEAVY = ["textual", "docker", "asyncssh", "httpx", "cryptography"]
# Between two floors, which the order of the floors alone would allow.
APART = {"backends": ["history"]}


def lint(project: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over ``project``, which is the directory that it runs in: nothing that is installed comes first."""
    program = "import sys; from importlinter.cli import lint_imports_command; sys.argv[0] = 'lint-imports'; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-logo", "--no-cache"],
        cwd=project,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program's own code and its contracts, to be broken."""
    for floor in FLOORS:
        shutil.copytree(PROJECT / floor, tmp_path / floor, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PROJECT / "quarterdeck", tmp_path / "quarterdeck", symlinks=True)
    shutil.copy(PROJECT / ".importlinter", tmp_path)
    return tmp_path


def test_every_floor_is_a_link_beside_the_package() -> None:
    for floor in FLOORS:
        assert (PROJECT / "quarterdeck" / floor).resolve() == PROJECT / floor


def test_imports_only_go_down() -> None:
    done = lint(PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kept, 0 broken" in done.stdout


BROKEN = [
    (
        "config/model.py",
        "import quarterdeck.history",
        "quarterdeck.config is not allowed to import quarterdeck.history",
    ),
    (
        "config/names.py",
        "from quarterdeck.tui import main",
        "quarterdeck.config is not allowed to import quarterdeck.tui",
    ),
    (
        "history/__init__.py",
        "from ..backends import errors",
        "quarterdeck.history is not allowed to import quarterdeck.backends",
    ),
    (
        "backends/errors.py",
        "def later():\n    import quarterdeck.rollouts.control",
        "quarterdeck.backends is not allowed to import quarterdeck.rollouts",
    ),
    (
        "rollouts/__init__.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from quarterdeck.tui import main",
        "quarterdeck.rollouts is not allowed to import quarterdeck.tui",
    ),
    ("backends/__init__.py", "from quarterdeck.history import errors", "a backend knows no journal BROKEN"),
    ("backends/secrets/__init__.py", "import textual.app", "quarterdeck.backends is not allowed to import textual"),
    (
        "history/records.py",
        "def show():\n    from rich.text import Text",
        "quarterdeck.history is not allowed to import rich",
    ),
    ("config/scalars.py", "import httpx", "quarterdeck.config is not allowed to import httpx"),
]


def test_every_import_that_does_not_go_down_is_found(copy: Path) -> None:
    for file, line, _ in BROKEN:
        with (copy / file).open("a") as module:
            module.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode != 0
    assert [told for _, _, told in BROKEN if told not in done.stdout] == []
    assert "0 kept, 4 broken" in done.stdout


def test_a_module_beside_the_floors_is_found(copy: Path) -> None:
    (copy / "quarterdeck" / "cellar.py").write_text("")
    done = lint(copy)
    assert done.returncode != 0
    assert "cellar" in done.stdout


def python(program: str, *arguments: str) -> list[str]:
    """What ``program`` prints last, as JSON, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


WHOLE_FLOOR = """
import importlib, json, pkgutil, sys
package = importlib.import_module(f"quarterdeck.{sys.argv[1]}")
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
floors = {name.split(".")[1] for name in sys.modules if name.startswith("quarterdeck.")}
print(json.dumps([*floors, *{"textual"}.intersection(sys.modules)]))
"""


@pytest.mark.parametrize("floor", FLOORS[:-1])
def test_a_floor_stands_on_the_lower_ones_alone_when_all_of_it_is_imported(floor: str) -> None:
    """What the contracts say of the text, seen at run time: no import that a linter does not see goes up."""
    allowed = set(FLOORS[: FLOORS.index(floor) + 1]) - set(APART.get(floor, []))
    assert set(python(WHOLE_FLOOR, floor)) <= allowed


LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""


@pytest.mark.parametrize(
    "module",
    [
        "quarterdeck.tui.main",
        "quarterdeck.config",
        "quarterdeck.history",
        "quarterdeck.rollouts",
        "quarterdeck.backends.hosts.contract",
        "quarterdeck.backends.artifacts",
        "quarterdeck.backends.secrets",
    ],
)
def test_what_is_imported_first_loads_nothing_heavy(module: str) -> None:
    assert python(LOADED, module, *HEAVY) == []


RUN = """
import json, sys
from quarterdeck.tui.main import main
main(sys.argv[1].split())
print(json.dumps([name for name in sys.argv[2:] if name in sys.modules]))
"""


@pytest.mark.parametrize("command", ["--version", "--help", "deploy --help"])
def test_a_command_that_only_answers_loads_nothing_heavy(command: str) -> None:
    assert python(RUN, command, *HEAVY) == []


def test_the_test_of_what_is_loaded_sees_what_is_loaded() -> None:
    assert python(LOADED, "quarterdeck.backends.artifacts.http_place", *HEAVY) == ["httpx"]
