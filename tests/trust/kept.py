"""The table of promises: what the tests of a run have counted, put together and written out. Knows nothing of pytest.

A promise is kept when its tests ran to their end, none failed or was skipped, and they counted what they had to.
"""

import enum
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.trust.promised import Promise

Kind = Literal["count", "none", "most"]
"""count: so many were tried (adds up). none: so many went wrong, of which there must be none. most: the largest that was measured."""


@dataclass(slots=True)
class Figure:
    promise: int
    kind: Kind
    what: str
    value: float
    limit: float | None = None  # of ``most``

    def plain(self) -> list[Any]:
        """As it travels from one process to another."""
        return [self.promise, self.kind, self.what, self.value, self.limit]

    def add(self, other: "Figure") -> None:
        self.value = max(self.value, other.value) if self.kind == "most" else self.value + other.value

    @property
    def broken(self) -> bool:
        return self.value > {"count": float("inf"), "none": 0.0, "most": self.limit or 0.0}[self.kind]

    def __str__(self) -> str:
        number = f"{self.value:,.0f}".replace(",", " ") if self.kind != "most" else f"at most {self.value:.1f}"
        return f"{number} {self.what}"


@dataclass(slots=True)
class Ran:
    """One test, all its phases."""

    file: str
    numbers: frozenset[int]
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    reason: str = ""
    seconds: float = 0.0
    figures: list[Figure] = field(default_factory=list)


class State(enum.StrEnum):
    PASS = "pass"
    FAIL = "FAIL"
    SKIPPED = "skipped"
    INCOMPLETE = "incomplete"
    TOO_FEW = "too few"
    NO_FIGURE = "no figure"


@dataclass(frozen=True, slots=True)
class Row:
    promise: Promise
    state: State
    figures: tuple[Figure, ...]
    reason: str
    seconds: float
    files: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        return {
            "number": self.promise.number,
            "promise": self.promise.words,
            "state": str(self.state),
            "reason": self.reason,
            "figures": [
                {"what": one.what, "kind": one.kind, "value": one.value, "needed": self.promise.least.get(one.what)}
                for one in self.figures
            ],
            "seconds": round(self.seconds, 1),
            "files": list(self.files),
        }


def row(promise: Promise, tests: Sequence[Ran], unfinished: Iterable[str]) -> Row:
    """``unfinished``: what of this promise's tests did not come to its end, in words."""
    added: dict[tuple[Kind, str], Figure] = {}
    for one in (figure for test in tests for figure in test.figures if figure.promise == promise.number):
        if (one.kind, one.what) in added:
            added[one.kind, one.what].add(one)
        else:
            added[one.kind, one.what] = Figure(*one.plain())
    figures = tuple(sorted(added.values(), key=lambda one: ("count", "none", "most").index(one.kind)))
    state, reason = _state(promise, tests, figures, list(unfinished))
    files = tuple(sorted({test.file for test in tests}))
    return Row(promise, state, figures, reason, sum(test.seconds for test in tests), files)


def _state(
    promise: Promise, tests: Sequence[Ran], figures: Sequence[Figure], unfinished: Sequence[str]
) -> tuple[State, str]:
    failed = [test for test in tests if test.outcome == "failed"]
    if failed:
        return State.FAIL, f"{len(failed)} of {len(tests)} tests failed, {failed[0].reason}"
    if broken := [one for one in figures if one.broken]:
        return State.FAIL, f"it was counted: {broken[0]}"
    if not tests:
        return State.INCOMPLETE, "none of its tests was run"
    if unfinished:
        return State.INCOMPLETE, _first(unfinished)
    skipped = [test for test in tests if test.outcome == "skipped"]
    if skipped:
        return State.SKIPPED, f"{len(skipped)} of {len(tests)} tests: {skipped[0].reason}"
    reached = {one.what: one.value for one in figures if one.kind == "count"}
    if not reached:
        return State.NO_FIGURE, "its tests passed and counted nothing"
    few = [f"{reached.get(what, 0):.0f} of {least} {what}" for what, least in promise.least.items()]
    few = [
        words for words, (what, least) in zip(few, promise.least.items(), strict=True) if reached.get(what, 0) < least
    ]
    return (State.TOO_FEW, "; ".join(few)) if few else (State.PASS, "")


def _first(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{words[0]} and {len(words) - 1} more"


def rows(promises: Sequence[Promise], tests: Iterable[Ran], unfinished: Mapping[int, Sequence[str]]) -> tuple[Row, ...]:
    ran = list(tests)
    return tuple(
        row(promise, [test for test in ran if promise.number in test.numbers], unfinished.get(promise.number, ()))
        for promise in promises
    )


def lines(table: Sequence[Row], *, complete: bool, full: bool, width: int) -> list[str]:
    """What ends the run; at most ``width`` columns, 60 at the least."""
    kept = sum(one.state is State.PASS for one in table)
    counts = "full counts" if full else "small counts (QD_TRUST=full for all of it)"
    said = [f"{kept} of {len(table)} promises kept, at {counts}"]
    if not complete:
        said.append("This run is incomplete: what it did not come to is not claimed.")
    said += ["", " #  state       seconds  promise, and what was counted"]
    for one in table:
        head = f"{one.promise.number:2}  {one.state:<10}  {one.seconds:7.1f}  "
        told = [one.promise.words, "; ".join(map(str, one.figures)), one.reason and f"{one.state}: {one.reason}"]
        wrapped = [line for text in told if text for line in textwrap.wrap(text, max(width, 60) - len(head))]
        said += [(head if number == 0 else " " * len(head)) + line for number, line in enumerate(wrapped)]
    return said


BEGIN, END = "<!-- promises: written by `make trust ARGS=--write-docs` -->", "<!-- promises: end -->"


def with_table(document: str, table: Sequence[Row]) -> str:
    """``document`` with what was kept between its marks. Raises ``ValueError`` where they are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no place for the table: {BEGIN} … {END}")
    written = ["", "| # | promise | counted by the last full run | where |", "|---|---|---|---|"]
    for one in table:
        if one.state is State.PASS:
            figures = ", ".join(map(str, one.figures))
            written.append(f"| {one.promise.number} | {one.promise.words} | {figures} | {_where(one)} |")
    return before + begin + "\n".join([*written, ""]) + end + after


def _where(one: Row) -> str:
    own = f"tests/trust/test_{one.promise.number:02}_"
    others = [file for file in one.files if not file.startswith(own)]
    mine = [f"{own}*"] if len(others) < len(one.files) else []
    return ", ".join(f"`{file}`" for file in mine + others)
