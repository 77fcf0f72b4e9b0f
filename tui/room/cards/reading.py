"""A card to read and scroll: what differs between two releases, the whole outcome of a step. It changes nothing."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import Step
from quarterdeck.rollouts.differences.environments import EnvironmentsDifference
from quarterdeck.rollouts.differences.environments import lines as environment_lines
from quarterdeck.rollouts.differences.releases import Difference, lines
from quarterdeck.tui.cli.times import day_and_clock
from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.rollout_rows import STEP_MARKS, one_line, step_seconds
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, pad, row

if TYPE_CHECKING:
    from quarterdeck.rollouts.commits import Between

_ROLES = {"=": Role.STRONG, "+": Role.OK, "-": Role.BAD}


class ReadingCard(Card):
    """``rows`` are wrapped already, or cut at the edge."""

    changes = False

    def __init__(self, heading: str, rows: Sequence[Row]) -> None:
        super().__init__()
        self.heading = heading
        self.rows = list(rows)

    def sheet(self, width: int) -> Sheet:
        foot = [EMPTY, *keys_rows(width, ("j k", "scroll"), ("esc", "back"))]
        return Sheet(self.heading, self.rows, foot, width=max(width, 78))

    def pressed(self, key: str) -> None:
        page = max(self.app.size.height - 8, 1)
        match key:
            case "escape" | "q" | "c" | "d" | "enter":
                self.leave()
            case "ctrl+d" | "pagedown" | "space":
                self.top += page
            case "ctrl+u" | "pageup":
                self.top = max(0, self.top - page)
            case "g" | "home":
                self.top = 0
            case "G" | "end":
                self.top = len(self.rows)


def difference_card(target: str, difference: Difference | None, commits: "Between | None" = None) -> ReadingCard:
    """Config, env, files, and secrets by their references; and the commits, where they are known."""
    if difference is None:
        words = "nothing to compare with: the journal knows only one of the two"
        return ReadingCard(f"diff  {target}", [row(Span(words, Role.WARN))])
    rows = [row(Span(clean(text).replace("\n", " "), _ROLES.get(mark, Role.PLAIN))) for text, mark in lines(difference)]
    if commits is not None:
        from quarterdeck.rollouts.commits import lines as commit_lines

        rows += [row(Span(clean(text), _ROLES.get(mark, Role.PLAIN))) for text, mark in commit_lines(commits)]
    return ReadingCard(f"diff  {target}", rows)


def environments_card(found: EnvironmentsDifference, service: str | None, width: int) -> ReadingCard:
    """What two environments declare differently, each line whole; ``service``: of that one alone."""
    rows: list[Row] = []
    for text, mark in environment_lines(found):
        role = {**_ROLES, "~": Role.DIM}.get(mark, Role.PLAIN)
        shown = textwrap.wrap(clean(text).replace("\n", " "), max(width, 20), subsequent_indent="    ") or [""]
        rows += [row(Span(piece, role)) for piece in shown]
    about = f"  {service}" if service else ""
    return ReadingCard(f"environments  {found.before} -> {found.after}{about}", rows)


def step_card(target: str, step: Step, width: int) -> ReadingCard:
    """A step whole: what it was to do, and all that came of it."""
    mark, role = STEP_MARKS[step.state]
    took = step_seconds(step)
    rows: list[Row] = [
        row(
            Span(f"{mark} {step.state}", role),
            f"  attempt {step.attempt}" if step.attempt > 1 else "",
            f"  {took}" if took else "",
        ),
        *_pairs(
            {
                "started": _time(step.started),
                "ended": _time(step.ended),
                "wave": step.batch + 1,
                "operation": step.op_id,
            },
            width,
        ),
        EMPTY,
        row(Span("what", Role.STRONG)),
        *_pairs(step.body, width),
        EMPTY,
        row(Span("outcome", Role.STRONG)),
        *(_pairs(step.outcome, width) or [row(Span("none yet", Role.DIM))]),
    ]
    return ReadingCard(f"step {step.seq}  {one_line(step.action)} on {one_line(step.host)}  {target}", rows)


def _time(text: str | None) -> str:
    return f"{day_and_clock(text)} UTC" if text else "-"


def _pairs(values: Mapping[str, object], width: int) -> list[Row]:
    rows: list[Row] = []
    for name, value in values.items():
        head = pad(one_line(name), 11)
        for line in clean(str(value)).splitlines() or [""]:
            for piece in textwrap.wrap(line, max(width - 12, 20)) or [""]:
                rows.append(row(Span(f"{head} ", Role.DIM), piece))
                head = " " * 11
    return rows
