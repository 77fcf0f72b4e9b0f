"""What the containers of a target use, a row each: processor, memory, network, and how often they were ended. Pure."""

from collections.abc import Sequence
from typing import Final

from quarterdeck.history.records import Metric
from quarterdeck.rollouts.health import ContainerSeen
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.room.ages import coarse, since
from quarterdeck.tui.room.figures import NOTHING, columns, count, percent, relative_levels, size, spark, use_levels
from quarterdeck.tui.room.rows import Role, Row, Span, pad, row

OLD: Final = 60.0  # seconds
FULL: Final = 0.9  # of the memory that it may use: worth a look
NAME: Final = 14  # columns
LEAST_DRAWN, MOST_DRAWN = 8, 60  # columns of a sparkline


def container_rows(containers: Sequence[ContainerSeen], last: int, width: int) -> list[Row]:
    """The head row, and one a container. ``last``: the number of the newest bucket of their series. Two releases are told apart by their
    versions. Where there is room, how the processor and the memory went lately is drawn."""
    several = len({one.release for one in containers}) > 1
    name = NAME + (9 if several else 0)
    head = f" {pad('CONTAINER ON', name)} {'CPU':>5} {'MEM':>10} {'RST':>3} {'OOM':>3} {'NET IN/OUT':>11}  SEEN"
    drawn = min((width - len(head) - 5) // 2, MOST_DRAWN)
    drawn = drawn if drawn >= LEAST_DRAWN else 0
    charts = f"  {pad('CPU', drawn)} {pad('MEM', drawn)}" if drawn else ""
    rows = [row(Span(head + charts, Role.DIM))]
    return rows + [_row(one, name, several, last, drawn) for one in containers]


def _row(one: ContainerSeen, name: int, several: bool, last: int, drawn: int) -> Row:
    found = one.figures
    seconds = since(one.newest)
    old = seconds >= OLD
    ended = bool(found.get(Metric.CONTAINER_RESTARTS)) or bool(found.get(Metric.CONTAINER_OUT_OF_MEMORY))
    label = pad(one.host, NAME) + (f" {pad(version_of(one.release) or NOTHING, 8)}" if several else "")
    spans = [
        Span(f" {pad(label, name)} "),
        Span(f"{percent(found.get(Metric.CONTAINER_CPU)):>5} ", Role.STALE if old else Role.PLAIN),
        Span(f"{memory(one):>10} ", Role.STALE if old else Role.WARN if _is_full(one) else Role.PLAIN),
        Span(
            f"{count(found.get(Metric.CONTAINER_RESTARTS)):>3} {count(found.get(Metric.CONTAINER_OUT_OF_MEMORY)):>3} ",
            Role.STALE if old else Role.DRIFT if ended else Role.PLAIN,
        ),
        Span(f"{network(one):>11}", Role.STALE if old else Role.PLAIN),
        Span(f"  {pad(coarse(seconds), 4)}", Role.STALE if old else Role.DIM),
    ]
    if drawn:
        cpu = use_levels(columns(one.series[Metric.CONTAINER_CPU], last, drawn))
        used = relative_levels(columns(one.series[Metric.CONTAINER_MEMORY], last, drawn))
        spans.append(Span(f"  {pad(spark(cpu), drawn)} {pad(spark(used), drawn)}", Role.DIM))
    return tuple(spans)


def memory(one: ContainerSeen) -> str:
    """``612M/1.0G``; of one without a limit ``612M``."""
    used, limit = one.figures.get(Metric.CONTAINER_MEMORY), one.figures.get(Metric.CONTAINER_LIMIT)
    return size(used) + (f"/{size(limit)}" if limit is not None else "")


def network(one: ContainerSeen) -> str:
    """``9K/300K``: bytes a second, in and out; ``-`` of one that shares its host's network."""
    came, went = one.figures.get(Metric.CONTAINER_RECEIVED), one.figures.get(Metric.CONTAINER_SENT)
    return NOTHING if came is None and went is None else f"{size(came)}/{size(went)}"


def _is_full(one: ContainerSeen) -> bool:
    used, limit = one.figures.get(Metric.CONTAINER_MEMORY), one.figures.get(Metric.CONTAINER_LIMIT)
    return used is not None and limit is not None and used >= FULL * limit


def in_short(containers: Sequence[ContainerSeen]) -> list[str]:
    """For the target's card, the most telling first: the highest of each, and what was counted added up."""
    if not containers:
        return []

    def highest(metric: Metric) -> float | None:
        return max((one.figures[metric] for one in containers if metric in one.figures), default=None)

    def total(metric: Metric) -> float | None:
        known = [one.figures[metric] for one in containers if metric in one.figures]
        return sum(known) if known else None

    fullest = max(containers, key=lambda one: one.figures.get(Metric.CONTAINER_MEMORY, -1.0))
    top = "top " if len(containers) > 1 else ""
    parts = [
        f"{top}cpu {percent(highest(Metric.CONTAINER_CPU))}",
        f"{top}mem {memory(fullest)}",
        f"restarts {count(total(Metric.CONTAINER_RESTARTS))}",
        f"OOM kills {count(total(Metric.CONTAINER_OUT_OF_MEMORY))}",
    ]
    if len(containers) == 1 and network(fullest) != NOTHING:
        parts.append(f"net {network(fullest)}")
    oldest = max(since(one.newest) for one in containers)
    if oldest >= OLD:
        parts.insert(0, f"{coarse(oldest)} ago:")
    return parts
