"""Health of the chosen target: the new release beside the old one, what each host answers, how that went lately."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import ClassVar, Final, NamedTuple

from quarterdeck.history.records import Metric
from quarterdeck.rollouts.health import WINDOW, HostFigures, Series, Side, TargetHealth
from quarterdeck.rollouts.picture.host import HostSeen
from quarterdeck.rollouts.picture.hosts import counted
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.ages import coarse, since
from quarterdeck.tui.room.figures import (
    NOTHING,
    columns,
    count,
    load,
    milliseconds,
    percent,
    relative_levels,
    share_levels,
    spark,
    use_levels,
)
from quarterdeck.tui.room.figures import size as size_of
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.containers import container_rows
from quarterdeck.tui.room.rows import Joined, Lazily, Role, Row, Span, ellipsis, pad, row

OLD: Final = 30.0  # seconds without a sample: the figures are not live
NAME: Final = 6  # columns


class Line(NamedTuple):
    """One metric: how it is written, how its sparkline is, and, of a container, what of its ends is counted beside it."""

    name: str
    series: str
    text: Callable[[Side], str]
    levels: Callable[[Sequence[float | None]], list[int | None]]
    counted: tuple[str, Metric] | None = None


def _vital(metric: Metric, write: Callable[[float | None], str]) -> Callable[[Side], str]:
    return lambda side: write(side.vitals.get(metric))


def _own(metric: Metric, write: Callable[[float | None], str]) -> Callable[[Side], str]:
    return lambda side: write(side.own.get(metric))


LINES: Final = (
    Line("fail", "error", lambda side: percent(side.probes.error_rate), share_levels),
    Line("p95", "p95", lambda side: milliseconds(side.probes.p95), relative_levels),
    Line(
        "svc cpu",
        str(Metric.CONTAINER_CPU),
        _own(Metric.CONTAINER_CPU, percent),
        use_levels,
        ("restarts", Metric.CONTAINER_RESTARTS),
    ),
    Line(
        "svc mem",
        str(Metric.CONTAINER_MEMORY),
        _own(Metric.CONTAINER_MEMORY, size_of),
        relative_levels,
        ("OOM kills", Metric.CONTAINER_OUT_OF_MEMORY),
    ),
    Line("cpu", "cpu", _vital(Metric.CPU, percent), use_levels),
    Line("mem", "memory", _vital(Metric.MEMORY, percent), use_levels),
    Line("p50", "p50", lambda side: milliseconds(side.probes.p50), relative_levels),
    Line("disk", "disk", _vital(Metric.DISK, percent), use_levels),
    Line("load", "load", _vital(Metric.LOAD, load), relative_levels),
)
"""The most telling first: a low pane shows the first ones. Those of the service itself are there where it is a container."""
ORDER: Final = ("fail", "p50", "p95", "svc cpu", "svc mem", "load", "cpu", "mem", "disk")
LEAST: Final = 5  # of them, however many hosts there are


def health_rows(
    seen: TargetSeen,
    found: TargetHealth | None,
    timeout: float | None,
    now: datetime,
    size: Size,
    *,
    hosts: bool,
    containers: bool = False,
    parts: Sequence[Sequence[Row]] = (),
) -> Sequence[Row]:
    """``timeout``: of a health check, in seconds: the limit that is declared. ``hosts``: each one in a line of its own; ``containers``:
    likewise, below them; ``parts``: of a Swarm, its tasks and nodes, below the hosts."""
    if found is None or found.target != seen.target:
        rows = [row(Span(" no data yet", Role.DIM))]
        for block in parts:
            rows += [row(), *block]
        return rows
    boxes = found.containers
    figures = {one.host: one for one in found.hosts}
    blocks: list[Sequence[Row]] = []
    if hosts:
        every = seen.hosts
        blocks.append(Lazily(len(every), lambda at: host_row(every[at], figures.get(every[at].host), now, size.width)))
    blocks += parts
    if containers and boxes:
        blocks.append(container_rows(boxes, found.last_bucket, size.width))
    lines = [line for line in LINES if line.counted is None or boxes]
    room = size.height - 1  # the last one is that of the checks
    below = bool(boxes or parts)
    if below:  # the more there is below, the fewer of them
        room = max(room - sum(len(block) for block in blocks), min(LEAST, room))
    fitting = lines[: max(room, 1)] if below or size.height <= len(lines) else lines
    shown = sorted(fitting, key=lambda line: ORDER.index(line.name))
    names = max(NAME, *(len(line.name) + 1 for line in shown))
    rows = [_line(line, found, timeout, size.width, names) for line in shown]
    if found.newest == 0:
        rows = [row(Span(" no data: nothing was measured in the last five minutes", Role.STALE))]
    rows.append(checks_row(seen))
    apart = not below or len(rows) + sum(len(block) + 1 for block in blocks) <= size.height
    return Joined(rows, *(part for block in blocks for part in (([row()], block) if apart else (block,))))


def _line(line: Line, found: TargetHealth, timeout: float | None, width: int, names: int) -> Row:
    """``p95  310ms | 290ms  ....,,::  limit 5s  FAIL``."""
    new, old = line.text(found.new), line.text(found.old) if found.old is not None else ""
    bad = line.name == "fail" and found.new.probes.failed > 0
    spans = [
        Span(f" {pad(line.name, names)}"),
        Span(f"{new:>6}", Role.BAD if bad else Role.DIM if new == NOTHING else Role.NEW if old else Role.PLAIN),
        Span(f" | {old:<6}" if found.old is not None else "", Role.OLD),
    ]
    limit = pad(_limit(line.name, found.new, timeout), 11)
    tail = verdict(found.new) if line.name == "fail" else _counted(line, found.new)
    room = width - sum(len(span.text) for span in spans) - len(limit) - 22
    if room >= 6:
        series: Series = found.series.get(line.series, ())
        drawn = spark(line.levels(columns(series, found.last_bucket, min(room, 60))))
        spans.append(Span(f"  {pad(drawn, min(room, 60))}", Role.BAD if bad else Role.DIM))
    spans.append(Span(f"  {limit}", Role.DIM))
    spans.append(tail)
    return tuple(spans)


def _limit(name: str, side: Side, timeout: float | None) -> str:
    """What is declared; nothing where nothing is."""
    own = side.own.get(Metric.CONTAINER_LIMIT)
    limits = {
        "fail": "0%",
        "p95": milliseconds(timeout) if timeout else "",
        "svc mem": size_of(own) if own is not None else "",
    }
    return f"limit {limits[name]}" if limits.get(name) else ""


def _counted(line: Line, side: Side) -> Span:
    """`` restarts 2``."""
    if line.counted is None:
        return Span("")
    word, metric = line.counted
    value = side.own.get(metric)
    return Span(f" {word} {count(value)}", Role.DRIFT if value else Role.DIM)


def verdict(side: Side) -> Span:
    """What the checks of a release come to, in words; no data is not good."""
    if side.probes.total == 0:
        return Span(" no data", Role.STALE)
    if side.probes.failed:
        return Span(f" FAIL {side.probes.failed} of {side.probes.total}", Role.BAD)
    return Span(" ok", Role.OK)


def checks_row(seen: TargetSeen) -> Row:
    """``checks 7/8 hosts healthy  1 not reachable   2 v143 + 6 v142``."""
    if seen.on_swarm:
        return _tasks_checked(seen)
    total = len(seen.hosts)
    kinds = counted(seen.hosts)
    healthy = seen.healthy
    lost = sum(number for kind, number in kinds if kind.error is not None)
    role = Role.OK if healthy == total else Role.STALE if healthy + lost == total else Role.BAD
    versions: Counter[str] = Counter()
    for kind, number in kinds:
        if kind.seen is not None:
            versions[version_of(kind.release) or "nothing"] += number
    parts = [Span(" checks "), Span(f"{healthy}/{total} hosts healthy", role)]
    if lost:
        parts.append(Span(f"  {lost} not reachable", Role.STALE))
    runs = " + ".join(f"{count} {version}" for version, count in sorted(versions.items(), reverse=True))
    if runs:
        drift = any(kind.drift for kind, _ in kinds)
        parts.append(
            Span(
                f"   {runs}" + (" drift" if drift else " as planned" if seen.moving else ""),
                Role.DRIFT if drift else Role.PLAIN,
            )
        )
    return row(*parts)


def _tasks_checked(seen: TargetSeen) -> Row:
    """``checks degraded   5/6 tasks run, 4 well   v143 drift``: a check of a Swarm is one of all its tasks."""
    (running, total), well = seen.counted, seen.well
    role = {"healthy": Role.OK, "unknown": Role.STALE}.get(seen.health, Role.BAD)
    drift = any(kind.drift for kind, _ in counted(seen.hosts))
    ill = f", {well} well" if seen.moving is None and well < running else ""
    return row(
        Span(" checks "),
        Span(seen.health, role),
        Span(f"   {running}/{total} tasks run{ill}", Role.PLAIN if running >= total and not ill else Role.WARN),
        Span(
            f"   {seen.version or 'nothing'}" + (" drift" if drift else ""),
            Role.DRIFT if drift else Role.PLAIN,
        ),
    )


def host_row(host: HostSeen, figures: HostFigures | None, now: datetime, width: int) -> Row:
    """``= web-1  v143  48ms  http 200 from :8080/healthz``."""
    if host.error is not None:
        seen = f"last seen {age(host.seen, now)} ago" if host.seen else "never seen"
        head = f" ? {pad(host.host, 14)} {pad(host.version or '-', 12)} "
        return row(
            Span(head, Role.STALE), Span(ellipsis(f"{seen}: {host.trouble}", max(width - len(head), 0)), Role.STALE)
        )
    mark, role = {"healthy": ("=", Role.OK), "unhealthy": ("x", Role.BAD)}.get(host.health, ("?", Role.STALE))
    latency = milliseconds(figures.latency) if figures is not None else NOTHING
    failed = figures.probes.failed if figures is not None else 0
    head = f" {mark} {pad(host.host, 14)} {pad(host.version or 'nothing', 12)} {latency:>6} "
    tail = (f"failed {failed}x  " if failed else "") + host.detail
    room = max(width - len(head), 0)
    if host.changed:  # restarts, want of memory, other hands: what the checks may not show
        tail = f"{'; '.join(host.changed)}  {tail}"
    style = Role.BAD if failed else Role.DRIFT if host.changed else Role.DIM
    return row(Span(head, role), Span(ellipsis(tail, room), style))


class HealthPane(Pane):
    name_of: ClassVar[str] = "health"

    @property
    def _found(self) -> TargetHealth | None:
        found = self.room.measures.chosen
        return found if found is not None and found.target == self.room.place.target else None

    def heading(self) -> str:
        target, found = self.room.place.target or "", self._found
        if found is None or found.old is None:
            version = found.new.version if found is not None else None
            return f"health {target}" + (f" {version}" if version else "")
        return f"health {target}, new {found.new.version} | old {found.old.version}"

    def heading_right(self) -> str:
        found = self._found
        if found is None or found.newest == 0:
            return ""
        seconds = since(found.newest)
        text = f"last {WINDOW / 60:.0f} min, newest {coarse(seconds)}"
        return text if seconds < OLD else f"STALE: {text}"

    def build(self, size: Size) -> Sequence[Row]:
        seen = self.room.target
        if seen is None:
            return []
        declared = self.room.fleet.targets.get(seen.target)
        timeout = declared.health.timeout if declared is not None and declared.health is not None else None
        whole = self.room.place.view == "health" or self.room.place.zoom == "health"
        alone = whole and not any(pane.name_of == "vitals" for pane in self.room.visible_panes())
        parts = self._parts(seen, size.width, alone=alone) if whole and seen.on_swarm else ()
        return health_rows(
            seen, self._found, timeout, self.room.now(), size, hosts=whole, containers=alone, parts=parts
        )

    def _parts(self, seen: TargetSeen, width: int, *, alone: bool) -> list[list[Row]]:
        """Tasks, and nodes where no other pane has them."""
        from quarterdeck.tui.room.swarm_rows import node_rows, task_rows

        return [task_rows(seen, width), *([node_rows(seen, self.room.picture, width)] if alone else [])]
