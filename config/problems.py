"""What is wrong with a fleet file: all of it, each with its place, for people and as JSON. It decides nothing."""

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import msgspec

from quarterdeck.config.nodes import Node, Source

MOST_PROBLEMS = 500  # a file with more is no fleet file; the rest is counted only
MOST_SUGGESTIONS = 100  # looking for near names is slow; no person reads further
WIDEST_LINE = 160


class Problem(msgspec.Struct, frozen=True):
    """One error. ``line`` and ``column`` count from 1; ``text`` is the line as it stands in the file."""

    file: Path
    line: int
    column: int
    text: str
    message: str
    expected: str | None = None  # what would have been right, when that is a kind of value
    nearest: str | None = None  # the known name that is closest to what was written

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class FleetFileErrors(Exception):
    """A fleet file can't be used. ``problems`` holds every error, in the order of the files and lines; at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} error{'s' if count != 1 else ''}; first: {self.problems[0]}" if count else "no error"
        )


class SettingsFaults(FleetFileErrors):
    """The same of an operator's settings file."""


class Problems(msgspec.Struct):
    """Collects errors while a file is read. The same one at the same place (an alias, many targets) counts once."""

    found: dict[tuple[Path, int, int, str], Problem] = msgspec.field(default_factory=dict)
    files: dict[Path, int] = msgspec.field(default_factory=dict)  # in the order in which they were read
    more: int = 0
    suggestions: int = 0
    hidden: set[tuple[Path, int]] = msgspec.field(default_factory=set)  # lines that no error may show

    def add(self, at: Node, message: str, *, expected: str | None = None, nearest: str | None = None) -> None:
        self.add_at(at.source, at.line, at.column, message, expected=expected, nearest=nearest)

    def add_at(
        self,
        source: Source,
        line: int,
        column: int,
        message: str,
        *,
        expected: str | None = None,
        nearest: str | None = None,
    ) -> None:
        place = (source.path, line, column, message)
        if place in self.found:
            return
        if len(self.found) >= MOST_PROBLEMS:
            self.more += 1
            return
        self.reading(source.path)
        self.found[place] = Problem(source.path, line, column, source.line(line), message, expected, nearest)

    def hide(self, at: Node) -> None:
        """No error shows the line of ``at``: it holds what must not get into a terminal's memory or a pipeline's log."""
        self.hidden.add((at.source.path, at.line))

    def reading(self, file: Path) -> None:
        """Says that ``file`` is read next: problems are listed in this order."""
        self.files.setdefault(file, len(self.files))

    def nearest(self, name: str, known: Iterable[str]) -> str | None:
        """The known name that is most like ``name``, or None."""
        self.suggestions += 1
        return nearest(name, known) if self.suggestions <= MOST_SUGGESTIONS else None

    def raise_if_any(self) -> None:
        """Raises ``FleetFileErrors`` with everything that was found."""
        if not self.found:
            return
        shown = [
            msgspec.structs.replace(problem, text="") if (problem.file, problem.line) in self.hidden else problem
            for problem in self.found.values()
        ]
        problems = sorted(shown, key=lambda p: (self.files[p.file], p.line, p.column))
        if self.more:
            last = problems[-1]
            problems.append(Problem(last.file, last.line, last.column, "", f"and {self.more} more errors"))
        raise FleetFileErrors(problems)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name`` (case set aside), or None when none is like it."""
    if not name or len(name) > 80:
        return None
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def render(problems: Iterable[Problem]) -> str:
    """As plain text: ``file:line:column: message``, the line with a caret below it, what may have been meant."""
    return "\n".join(_render_one(problem) for problem in problems)


def to_values(problems: Iterable[Problem]) -> list[dict[str, str | int | None]]:
    """The problems as JSON values: file, line, column, text, message, expected, nearest."""
    return [
        {
            "file": str(problem.file),
            "line": problem.line,
            "column": problem.column,
            "text": problem.text,
            "message": problem.message,
            "expected": problem.expected,
            "nearest": problem.nearest,
        }
        for problem in problems
    ]


def _render_one(problem: Problem) -> str:
    lines = [_visible(str(problem))]
    if problem.text.strip():
        text, column = _window(problem.text, problem.column)
        before = _visible(text[:column])
        lines += [f"    {_visible(text)}", f"    {' ' * _width(before)}^"]
    if problem.nearest:
        lines.append(f"    did you mean `{_visible(problem.nearest)}`?")
    return "\n".join(lines)


def _window(text: str, column: int) -> tuple[str, int]:
    """The part of a long line that is around ``column`` (from 1), and where the column is in it (from 0)."""
    at = min(column - 1, len(text))
    if len(text) <= WIDEST_LINE:
        return text.rstrip(), at
    start = max(0, at - WIDEST_LINE // 2)
    end = start + WIDEST_LINE
    head = "…" if start else ""
    return head + text[start:end] + ("…" if end < len(text) else ""), at - start + len(head)


def _visible(text: str) -> str:
    """Text that can't move the cursor or reorder itself on a terminal: whatever is not printable is shown as ``?``."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "?" for c in text)


def _width(text: str) -> int:
    """Columns that ``text`` takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
