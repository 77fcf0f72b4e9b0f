"""The table that ends ``make trust``: every promise of the design has a test; what failed, was skipped, counted too little or never ran is
not called kept; and it says the same in one process and in several.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sshd import wait_for
from tests.trust import kept
from tests.trust.kept import Figure, Ran, State
from tests.trust.promised import PROMISES, TESTS, Promise, files_of_promises

ROOT = TESTS.parent
CONFTEST = """
from tests.trust import recording
from tests.trust.recording import promise as promise

def pytest_addoption(parser):
    recording.add_options(parser)

def pytest_configure(config):
    config.addinivalue_line("markers", "trust: a promise")
    recording.register(config)
"""
KEPT = """
import pytest
pytestmark = pytest.mark.trust(4)

@pytest.mark.parametrize("number", range(4))
def test_it(promise, number):
    promise(4).count("sessions killed", 5)
"""


def test_every_promise_of_the_design_has_a_test() -> None:
    """A file that has none of its own number would leave its row without a figure."""
    numbers = set().union(*files_of_promises().values())
    assert [promise.number for promise in PROMISES] == list(range(1, 28))
    assert numbers == set(range(1, 28))


def test_every_file_with_a_promise_is_named_where_promises_are_told() -> None:
    told = (ROOT / "docs" / "promises.md").read_text()
    assert [file.name for file in files_of_promises() if f"{file.name}`" not in told] == []


class Run:
    """A directory with tests of promises, run by pytest in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tests = directory / "checks"
        self.status = 0
        self.tests.mkdir()
        (directory / "pytest.ini").write_text(
            "[pytest]\ntestpaths = checks\naddopts = -p no:cacheprovider --import-mode=importlib\n"
        )
        (self.tests / "conftest.py").write_text(CONFTEST)

    def write(self, name: str, text: str) -> None:
        (self.tests / f"test_{name}.py").write_text(text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pytest", "--promises", "-p", "no:randomly", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        own = {
            name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"
        }  # of the run that this is a part of
        return {**own, "PYTHONPATH": str(ROOT), "QD_TRUST": "full", "COLUMNS": "200"}

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert "INTERNALERROR" not in done.stdout, done.stdout
        self.status = done.returncode
        return done.stdout + done.stderr

    @property
    def written(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory / "build" / "trust.json").read_text())
        return found

    def row(self, number: int) -> dict[str, Any]:
        return next(row for row in self.written["promises"] if row["number"] == number)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.parametrize("processes", [(), ("-n", "2", "--dist", "loadfile")], ids=["one process", "two processes"])
def test_what_tests_counted_is_added_up_and_a_failed_one_makes_it_fail(run: Run, processes: tuple[str, ...]) -> None:
    run.write("kept", KEPT)
    run.write(
        "failed",
        """
import pytest

@pytest.mark.trust(5, 7)
def test_it(promise):
    promise(5).count("holders killed", 30)
    promise(5).count("holders killed", 30)
    assert False

@pytest.mark.trust(7)
def test_too_few(promise):
    promise(7).count("busy writers killed", 3)

@pytest.mark.trust(8)
def test_counts_nothing():
    pass

@pytest.mark.trust(9)
def test_skipped(promise):
    promise(9).count("broken hosts", 100)
    pytest.skip("no disk to fill")

@pytest.mark.trust(10)
def test_finds_what_must_not_be(promise):
    promise(10).count("holders named", 2)
    promise(10).none("not named", 1)

@pytest.mark.trust(12)
def test_takes_too_long(promise):
    promise(12).count("other hosts rolled back meanwhile", 98)
    promise(12).most("s until it is named", 3.0, 12.0)
    promise(12).most("s until it is named", 14.5, 12.0)

@pytest.fixture
def broken():
    raise RuntimeError

@pytest.mark.trust(13)
def test_never_begins(broken):
    pass

def test_of_something_else():
    assert False
""",
    )
    said = run(*processes)
    assert {row["number"]: row["state"] for row in run.written["promises"]} == {
        **dict.fromkeys(range(1, 28), "incomplete"),
        4: "pass",
        **dict.fromkeys([5, 7, 10, 12, 13], "FAIL"),
        8: "no figure",
        9: "skipped",
    }
    assert "1 of 27 promises kept" in said
    assert [(one["what"], one["value"], one["needed"]) for one in run.row(4)["figures"]] == [
        ("sessions killed", 20, 20)
    ]
    assert run.row(5)["figures"][0]["value"] == 60, "also of a test that failed: how far it came"
    assert "1 of 1 tests failed, checks/test_failed.py::test_it" in run.row(5)["reason"]
    assert run.row(9)["reason"] == "1 of 1 tests: no disk to fill"
    assert run.row(10)["reason"] == "it was counted: 1 not named"
    assert run.row(12)["reason"] == "it was counted: at most 14.5 s until it is named"
    assert "20 sessions killed" in said


def test_too_little_is_not_kept_and_no_success(run: Run) -> None:
    run.write("kept", KEPT.replace("range(4)", "range(3)"))
    said = run()
    assert (run.row(4)["state"], run.row(4)["reason"]) == ("too few", "15 of 20 sessions killed")
    assert run.written["complete"] is True
    assert run.status == 1, "though all tests have passed"
    assert "0 of 27 promises kept" in said


@pytest.mark.parametrize("processes", [(), ("-n", "2", "--dist", "loadfile")], ids=["one process", "two processes"])
def test_a_run_that_is_interrupted_says_so(run: Run, processes: tuple[str, ...]) -> None:
    begun = run.directory / "begun"
    run.write("kept", KEPT)
    run.write(
        "waits",
        f"""
import pathlib, pytest, time
pytestmark = pytest.mark.trust(5)

def test_one(promise):
    promise(5).count("holders killed", 100)

def test_two():
    pathlib.Path({str(begun)!r}).touch()
    time.sleep(60)
""",
    )
    reset = "import signal, os, sys; signal.signal(signal.SIGINT, signal.default_int_handler); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", reset, *run.command(*processes)],
        cwd=run.directory,
        env=run.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(begun.exists, "the second test runs", 60)
        assert run.written["complete"] is False, "a run that is killed leaves no word of an earlier one"
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "This run is incomplete" in said
    assert run.written["complete"] is False
    row = run.row(
        5
    )  # a process that dies of the signal before the one that hears of it may be told as one that crashed in its test
    assert row["state"] == "incomplete" or (processes and row["state"] == "FAIL"), row
    assert "test_two" in row["reason"]


@pytest.mark.parametrize(
    "chosen", [("-k", "it"), ("checks/test_kept.py",), ("-x",), ("--deselect", "checks/test_other.py::test_b")]
)
def test_a_part_of_the_tests_is_no_complete_run(run: Run, chosen: tuple[str, ...]) -> None:
    run.write("kept", KEPT)
    run.write(
        "other",
        "import pytest\n@pytest.mark.trust(5)\ndef test_a(): assert False\n@pytest.mark.trust(5)\ndef test_b(): pass\n",
    )
    run(*chosen)
    assert run.written["complete"] is False
    assert run.row(4)["state"] in ("pass", "incomplete")


def test_a_process_that_dies_fails_its_promise(run: Run) -> None:
    run.write("dies", "import os, pytest\n@pytest.mark.trust(6)\ndef test_it(): os._exit(3)\n")
    run("-n", "1", "--max-worker-restart=0")
    assert run.row(6)["state"] == "FAIL"


def test_a_mark_without_a_number_is_refused(run: Run) -> None:
    run.write("bare", "import pytest\n@pytest.mark.trust\ndef test_it(): pass\n")
    assert "the mark trust names the promises" in run()


def test_the_table_goes_into_the_readme_when_all_of_it_ran(run: Run) -> None:
    readme = run.directory / "README.md"
    readme.write_text(f"before\n{kept.BEGIN}\nold\n{kept.END}\nafter\n")
    run.write("kept", KEPT)
    said = run("--write-docs")
    assert "README.md has the promises that were kept" in said
    assert readme.read_text() == (
        f"before\n{kept.BEGIN}\n| # | promise | counted by the last full run | where |\n|---|---|---|---|\n"
        f"| 4 | {PROMISES[3].words} | 20 sessions killed | `checks/test_kept.py` |\n{kept.END}\nafter\n"
    )
    run("--write-docs", "-k", "it")
    assert "20 sessions killed" in readme.read_text(), "a part of the tests changes nothing"


def test_a_row_fits_the_screen() -> None:
    long = Promise(1, "words " * 40, {})
    ran = Ran("tests/trust/test_01_x.py", frozenset({1}), figures=[Figure(1, "count", "kills", 12345.0)])
    (row,) = kept.rows([long], [ran], {})
    assert row.state is State.PASS
    lines = kept.lines([row], complete=True, full=True, width=80)
    assert max(map(len, lines)) <= 80
    assert any("12 345 kills" in line for line in lines)
    assert kept.with_table(f"{kept.BEGIN}{kept.END}", [row]).count("`tests/trust/test_01_*`") == 1
    with pytest.raises(ValueError, match="no place"):
        kept.with_table("nothing", [row])
