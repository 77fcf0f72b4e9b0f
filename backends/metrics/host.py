"""What a host tells of the service as a source: restarts, kills for want of memory, memory and processor. The value is the worst host's."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from quarterdeck.backends.errors import BackendError, SourceFailed
from quarterdeck.backends.hosts.contract import ServiceFigures
from quarterdeck.backends.metrics.asking import LEFT, MEASURE, of_host, on_each_host, side_by_side
from quarterdeck.backends.metrics.contract import Measurement, Subject
from quarterdeck.config.analyses import HostFigure, HostMetric
from quarterdeck.config.release import Release

ReadFigures = Callable[[str, Release], Awaitable[ServiceFigures]]
"""Of the release on the host of that name: ``Connection.service_figures``."""

_WORDS: Final = {
    HostFigure.RESTARTS: "how often the service was restarted",
    HostFigure.OOM_KILLS: "what was killed for want of memory",
    HostFigure.MEMORY_PERCENT: "what memory the service uses",
    HostFigure.CPU_PERCENT: "what the service uses of the processor",
}


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class HostSource:
    """``read`` is how hosts are asked; the connections are somebody else's. ``clock``: seconds, the same for all who measure in turn."""

    def __init__(self, metric: HostMetric, read: ReadFigures, clock: Callable[[], float] = _boottime) -> None:
        self._figure = metric.figure
        self._read = read
        self._clock = clock

    @property
    def name(self) -> str:
        return f"host {self._figure}"

    async def measure(self, subjects: Sequence[Subject], *, deadline: float) -> tuple[Measurement, ...]:
        return await side_by_side(self.name, subjects, self._one, deadline=deadline)

    async def _one(self, subject: Subject) -> Measurement:
        started = time.monotonic()
        measured = await on_each_host(self.name, subject, self._on_host)
        values = tuple(value for one in measured for value in one.values)
        return Measurement(
            value=max(values, default=None),
            values=values,
            marks={host: mark for one in measured for host, mark in one.marks.items()},
            beginning=not values,
            detail="; ".join(one.detail for one in measured if one.values) or "counted from now on",
            seconds=time.monotonic() - started,
        )

    async def _on_host(self, subject: Subject) -> Measurement:
        [host] = subject.hosts
        try:
            figures = await self._read(host, subject.release)
        except BackendError as error:
            raise of_host(self.name, host, error) from None
        if self._figure is HostFigure.CPU_PERCENT:
            return self._processor(host, figures, subject.marks.get(host, ""))
        value = _value(self._figure, figures)
        if value is None:
            raise self._untold(host)
        return Measurement(values=(value,), detail=f"{host}: {value:.6g}")

    def _processor(self, host: str, figures: ServiceFigures, mark: str) -> Measurement:
        """Percent of one core since the last measurement. Where the service was started anew since, it has used what it has."""
        used, now = figures.cpu_seconds, self._clock()
        if used is None:
            raise self._untold(host)
        marks = {host: f"{now:.3f} {used:.6f}"}
        if not mark:
            return Measurement(marks=marks)
        at, before = map(float, mark.split())
        value = 100 * (used - before if used >= before else used) / max(now - at, 0.001)
        return Measurement(values=(value,), marks=marks, detail=f"{host}: {value:.3g} % of a core")

    def _untold(self, host: str) -> SourceFailed:
        advice = "Look whether the service runs there; of a unit, systemd must account it (MemoryAccounting=, CPUAccounting=)"
        problem = f"the host does not tell {_WORDS[self._figure]}"
        return SourceFailed(f"{self.name} of {host}", MEASURE, problem, left=LEFT, advice=advice)

    async def close(self) -> None:
        """The connections are not its own."""


def _value(figure: HostFigure, figures: ServiceFigures) -> float | None:
    match figure:
        case HostFigure.RESTARTS:
            return figures.restarts
        case HostFigure.OOM_KILLS:
            return figures.oom_kills
        case _:
            if figures.memory is None or not figures.memory_limit:
                return None
            return 100 * figures.memory / figures.memory_limit
