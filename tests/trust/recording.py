"""A pytest plugin: tests of promises say what they have counted, and a run of them ends with the table of it.

What a test counts travels in its reports, so that it reaches the table from whatever process the test ran in. The table is of what was
reported alone: it never asks how much should have been done.
"""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.counts import counts_are_full
from tests.trust import kept
from tests.trust.kept import Figure, Kind, Ran
from tests.trust.promised import PROMISES, files_of_promises, numbers_in

_PROPERTY = "promise"
_PHASES = ("setup", "call", "teardown")


class Recorder:
    """What one test counts for one promise."""

    def __init__(self, figures: list[Any], number: int) -> None:
        self._figures = figures
        self._number = number

    def count(self, what: str, number: int = 1) -> None:
        """So many were tried, and were right: call it after the checks, so that a test that fails tells how far it came."""
        self._add("count", what, number)

    def none(self, what: str, number: int = 0) -> None:
        """So many were found of what there must be none of."""
        self._add("none", what, number)

    def most(self, what: str, value: float, limit: float) -> None:
        """What was measured, of which the table tells the largest."""
        self._add("most", what, float(value), limit)

    def _add(self, kind: Kind, what: str, value: float, limit: float | None = None) -> None:
        new = Figure(self._number, kind, what, float(value), limit)
        for place, plain in enumerate(self._figures):
            before = Figure(*plain)
            if (before.promise, before.kind, before.what) == (new.promise, new.kind, new.what):
                before.add(new)
                self._figures[place] = before.plain()
                return
        self._figures.append(new.plain())


class Promises:
    """``promise(16).count("encodings")`` in a test that is marked ``trust(16)``."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self._properties = properties

    def __call__(self, number: int) -> Recorder:
        assert number in self._properties["numbers"], f"this test is not marked trust({number})"
        return Recorder(self._properties["figures"], number)


@pytest.fixture
def promise(request: pytest.FixtureRequest) -> Promises:
    found = _properties(request.node.user_properties)
    assert found is not None, "what a test counts for a promise needs the mark trust(number)"
    return Promises(found)


def _properties(all_of_them: Sequence[tuple[str, Any]]) -> dict[str, Any] | None:
    return next((value for name, value in all_of_them if name == _PROPERTY), None)


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("promises")
    group.addoption("--promises", action="store_true", help="end with the table of promises; also in build/trust.json")
    group.addoption("--write-docs", action="store_true", help="with --promises: what was kept goes into README.md")


def register(config: pytest.Config) -> None:
    config.pluginmanager.register(_Marks(), "promises-marks")
    if config.getoption("--promises") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Table(config), "promises-table")


class _Marks:
    """In every process that runs tests: which promises a test keeps."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            marks = list(item.iter_markers("trust"))
            if not marks:
                continue
            numbers = sorted({number for mark in marks for number in mark.args})
            if not numbers or not all(isinstance(number, int) for number in numbers):
                raise pytest.UsageError(f"{item.nodeid}: the mark trust names the promises: trust(16), trust(1, 2)")
            item.user_properties.append((_PROPERTY, {"numbers": numbers, "figures": []}))


class _Table:
    """Where reports of all tests arrive."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._root = config.rootpath
        self._tests: dict[str, Ran] = {}
        self._expected: set[str] = set()
        self._done: set[str] = set()
        self._status = int(pytest.ExitCode.INTERRUPTED)
        self._json = self._root / "build" / "trust.json"

    def pytest_sessionstart(self) -> None:
        """A run that is killed leaves no word of an earlier one."""
        self._json.parent.mkdir(exist_ok=True)
        self._json.write_text(json.dumps({"complete": False, "promises": []}) + "\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._expected |= {item.nodeid for item in session.items}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._expected |= set(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        found = _properties(report.user_properties)
        if found is not None:
            numbers = frozenset(found["numbers"])
        elif report.when in _PHASES:  # a test of something else
            numbers = frozenset[int]()
        else:  # the process that ran it has died, and could tell nothing
            numbers = frozenset(numbers_in(self._root / file))
        test = self._tests.setdefault(report.nodeid, Ran(file, numbers))
        test.seconds += report.duration
        if found is not None:
            test.figures = [Figure(*plain) for plain in found["figures"]]
        if report.failed:
            test.outcome, test.reason = "failed", f"{report.nodeid} in its {report.when}"
        elif report.skipped and test.outcome == "passed":
            test.outcome, test.reason = "skipped", _why(report)
        if report.when == "teardown" or report.when not in _PHASES:
            self._done.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """A whole run at full counts fails, too, where a promise was skipped or counted too little."""
        self._status = int(exitstatus)
        table, complete = self._rows()
        kept_all = all(one.state is kept.State.PASS for one in table)
        if complete and counts_are_full() and not kept_all and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        table, complete = self._rows()
        terminalreporter.section("promises")
        width = terminalreporter._tw.fullwidth
        for line in kept.lines(table, complete=complete, full=counts_are_full(), width=width):
            terminalreporter.line(line)
        whole = {"complete": complete, "full": counts_are_full(), "promises": [one.plain() for one in table]}
        self._json.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        if self._config.getoption("--write-docs"):
            terminalreporter.line("")
            terminalreporter.line(self._write_docs(table, complete))

    def _rows(self) -> tuple[tuple[kept.Row, ...], bool]:
        """The table, and whether every test of a promise came to its end."""
        unfinished: dict[int, list[str]] = {}
        selected = {self._root / nodeid.partition("::")[0] for nodeid in self._expected}
        for file, numbers in files_of_promises(self._root / self._config.getini("testpaths")[0]).items():
            if file not in selected:
                for number in numbers:
                    unfinished.setdefault(number, []).append(f"{file.relative_to(self._root)} was left out")
        for nodeid in sorted(self._expected - self._done):
            test = self._tests.get(nodeid)
            numbers = set(test.numbers) if test else numbers_in(self._root / nodeid.partition("::")[0])
            for number in numbers:
                unfinished.setdefault(number, []).append(f"{nodeid} did not come to its end")
        ended = self._status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        return kept.rows(PROMISES, self._tests.values(), unfinished), ended and not unfinished and not self._filtered()

    def _filtered(self) -> bool:
        """Whether tests may have been left out that no file tells of."""
        option = self._config.option
        chosen = option.markexpr not in ("", "trust") or option.keyword or getattr(option, "deselect", None)
        chosen = chosen or getattr(option, "lf", False) or getattr(option, "stepwise", False)
        return bool(chosen) or any("::" in argument for argument in self._config.args)

    def _write_docs(self, table: Sequence[kept.Row], complete: bool) -> str:
        if not complete or not counts_are_full():
            return "README.md was left as it was: its table is of a complete run at full counts."
        readme = self._root / "README.md"
        readme.write_text(kept.with_table(readme.read_text(), table))
        return "README.md has the promises that were kept, and no other."


def _why(report: pytest.TestReport) -> str:
    """The reason of a skip."""
    words = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return str(words).removeprefix("Skipped: ")
