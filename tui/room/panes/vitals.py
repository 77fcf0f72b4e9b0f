"""Vitals of the hosts of the chosen target: load, processor, memory, disk, each with the age of what is shown; and of its containers. Below
them the nodes of a Swarm."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.history.records import Metric
from quarterdeck.rollouts.health import HostFigures, TargetHealth
from quarterdeck.rollouts.picture.hosts import names_of
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.ages import coarse, since
from quarterdeck.tui.room.figures import load, percent
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.containers import container_rows
from quarterdeck.tui.room.rows import Joined, Lazily, Role, Row, Span, pad, row

FULL = 90.0  # percent of memory or disk: worth a look
OLD = 60.0  # seconds


def vitals_rows(seen: TargetSeen, found: TargetHealth | None, width: int = 80) -> Sequence[Row]:
    head = [row(Span(f" {pad('HOST', 14)} {'CPU':>5} {'LOAD':>6} {'MEM':>5} {'DISK':>5}  SEEN", Role.DIM))]
    mine = found if found is not None and found.target == seen.target else None
    figures = {one.host: one for one in mine.hosts} if mine is not None else {}
    names = names_of(seen.hosts)
    hosts = Lazily(len(names), lambda at: _row(names[at], figures.get(names[at])))
    if mine is None or not mine.containers:
        return Joined(head, hosts)
    return Joined(head, hosts, [row(), *container_rows(mine.containers, mine.last_bucket, width)])


def _row(host: str, found: HostFigures | None) -> Row:
    if found is None or not found.vitals:
        return row(Span(f" {pad(host, 14)} "), Span("no data", Role.STALE))
    seconds = since(found.newest)
    full = max(found.vitals.get(Metric.MEMORY, 0.0), found.vitals.get(Metric.DISK, 0.0)) >= FULL
    return row(
        Span(f" {pad(host, 14)} "),
        Span(
            f"{percent(found.vitals.get(Metric.CPU)):>5} {load(found.vitals.get(Metric.LOAD)):>6}"
            f" {percent(found.vitals.get(Metric.MEMORY)):>5} {percent(found.vitals.get(Metric.DISK)):>5}",
            Role.STALE if seconds >= OLD else Role.WARN if full else Role.PLAIN,
        ),
        Span(f"  {coarse(seconds)}", Role.STALE if seconds >= OLD else Role.DIM),
    )


class Vitals(Pane):
    name_of: ClassVar[str] = "vitals"

    def heading(self) -> str:
        return f"vitals of the hosts of {self.room.place.target or '-'}"

    def build(self, size: Size) -> Sequence[Row]:
        seen = self.room.target
        if seen is None:
            return []
        rows = vitals_rows(seen, self.room.measures.chosen, size.width)
        if seen.on_swarm:
            from quarterdeck.tui.room.swarm_rows import node_rows

            return Joined(rows, [row(), *node_rows(seen, self.room.picture, size.width)])
        return rows
