"""The four keys of delivery over the screen: of the fleet or a part of it, by week, month, service or environment. It changes nothing."""

import textwrap
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.commits import commit_times
from quarterdeck.rollouts.four_keys import FourKeys, four_keys
from quarterdeck.rollouts.statistics import FAILED_WITHIN, Judged, judged
from quarterdeck.tui.evidence.stats_words import HEADERS, cells, remarks, sentences
from quarterdeck.tui.room.aside import aside
from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, pad, row

GROUPS: Final = {"w": "week", "m": "month", "s": "service", "e": "environment"}
SPANS: Final = (30, 90, 365)  # days
ROOM_FOR_ALL: Final = 92  # columns: below them the 90th percentiles are left out
_P90: Final = frozenset({6, 8})  # of the columns


class StatsCard(Card):
    """``targets``: None: all of them. What is counted is read once, when it opens."""

    changes = False

    def __init__(self, of: str, targets: Collection[str] | None, now: datetime) -> None:
        super().__init__()
        self.of = of
        self.by = "week"
        self.days = 90
        self._targets = targets
        self._now = now
        self._found: Judged | None = None
        self._keys: FourKeys | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self.begin(self._read, "stats")

    async def _read(self) -> None:
        targets, fleet = self._targets, self.room.fleet
        known = await self.room.desk.ask(lambda journal: journal.release_commits())
        commits = await aside(lambda: commit_times(fleet, known)) if known else {}

        def count(journal: Journal) -> Judged:
            return judged(journal.changes(), commits=commits).only(targets)

        self._found = await self.room.desk.ask(count)
        self._count()

    def _count(self) -> None:
        if self._found is not None:
            since = self._now - timedelta(days=self.days)
            self._keys = four_keys(self._found, since, self._now, by=self.by)
            self.top = 0
        self.renew()

    def sheet(self, width: int) -> Sheet:
        keys = [(key, f"by {name}") for key, name in GROUPS.items()]
        foot = [EMPTY, *keys_rows(width, *keys, ("t", "time"), ("j k", "scroll"), ("esc", "back"))]
        right = f"{self.days} days, by {self.by}"
        return Sheet(f"stats  {self.of}", self._rows(width), foot, right=right, width=max(width, 78))

    def _rows(self, width: int) -> list[Row]:
        found = self._keys
        if found is None:
            return [row(Span(self.said or "counting ...", Role.BAD if self.said else Role.DIM))]
        rows: list[Row] = [
            row(Span(pad(name, 23), Role.DIM), Span(words, Role.STRONG)) for name, words in sentences(found)
        ]
        rows += [EMPTY, *_table(found, self.by, width), EMPTY]
        for remark in remarks(found, FAILED_WITHIN / timedelta(hours=1)):
            rows += [row(Span(piece, Role.DIM)) for piece in textwrap.wrap(remark, max(width, 20))]
        return rows

    def pressed(self, key: str) -> None:
        page = max(self.app.size.height - 8, 1)
        match key:
            case "escape" | "q" | "enter":
                self.leave()
            case "w" | "m" | "s" | "e":
                self.by = GROUPS[key]
                self._count()
            case "t":
                self.days = SPANS[(SPANS.index(self.days) + 1) % len(SPANS)]
                self._count()
            case "ctrl+d" | "pagedown" | "space":
                self.top += page
            case "ctrl+u" | "pageup":
                self.top = max(0, self.top - page)
            case "g" | "home":
                self.top = 0
            case "G" | "end":
                self.top = len(self._rows(78))


def _table(found: FourKeys, by: str, width: int) -> list[Row]:
    shown = [at for at in range(len(HEADERS)) if width >= ROOM_FOR_ALL or at not in _P90]
    lines = [(group.name, *(cells(group)[at] for at in shown)) for group in found.groups]
    heads = (by.upper(), *(HEADERS[at] for at in shown))
    if not lines:
        return [row(Span(f"no {by} to show", Role.DIM))]
    widths = [max(len(line[at]) for line in (heads, *lines)) for at in range(len(heads))]
    widths[0] = min(widths[0], max(width - sum(widths[1:]) - 2 * len(widths), 8))
    rows = [row(Span(_line(heads, widths), Role.DIM))]
    for group, line in zip(found.groups, lines, strict=True):
        bad = bool(group.failed)
        rows.append(
            row(Span(_line(line, widths), Role.DIM if not group.deployments else Role.WARN if bad else Role.PLAIN))
        )
    return rows


def _line(line: tuple[str, ...], widths: list[int]) -> str:
    """The name to the left, figures to the right."""
    name = pad(line[0][: widths[0]], widths[0])
    return "  ".join([name, *(figure.rjust(size) for figure, size in zip(line[1:], widths[1:], strict=True))])
