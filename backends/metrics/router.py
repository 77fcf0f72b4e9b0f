"""The service's router as a source: what it counted of the slot in which a release lives, and how long that slot's requests took.

Everything is of the time since the last measurement. One look is both slots' at once, so that what hits the router hits both. A router that
counts anew (a reload) has no such time: that look begins it.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from quarterdeck.backends.errors import BackendError, SourceFailed, SourceTimedOut
from quarterdeck.backends.metrics.asking import LEFT, MEASURE
from quarterdeck.backends.metrics.contract import Counters, Measurement, Subject
from quarterdeck.backends.routers.contract import RouterConnection, RouterState, RouterStatistics, Slot, TimedRequests
from quarterdeck.config.analyses import RouterFigure, RouterMetric

KEPT: Final = 400  # requests of a measurement that are handed on; of more, one in so many
MARK: Final = "router"  # what the mark is kept under
_LATER: Final = 1.0  # seconds after our deadline that of the router's calls is, so that ours speaks


class _Counted(msgspec.Struct, frozen=True):
    """Since the router's process began."""

    requests: int = 0
    with_5xx: int = 0
    broken: int = 0  # connections that failed, answers that broke off
    retries: int = 0

    def since(self, before: "_Counted") -> "_Counted":
        return _Counted(*(now - then for now, then in zip(_numbers(self), _numbers(before), strict=True)))

    @property
    def bad(self) -> int:
        """What failed for good was answered with 5xx mostly, and is in both counts: it is counted once. Never more than the requests,
        though one may have been tried several times."""
        return min(self.requests, max(self.with_5xx, self.broken) + self.retries)


class _Mark(msgspec.Struct, frozen=True):
    """How far it was counted: when (seconds), by which process, of which slots."""

    at: float
    since: str
    slots: str
    counted: _Counted


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RouterSource:
    """``router`` is this source's own, and closed with it. ``clock``: seconds, the same for all who measure in turn."""

    def __init__(self, metric: RouterMetric, router: RouterConnection, clock: Callable[[], float] = _boottime) -> None:
        self._figure = metric.figure
        self._router = router
        self._clock = clock

    @property
    def name(self) -> str:
        return f"router {self._router.host}"

    async def measure(self, subjects: Sequence[Subject], *, deadline: float) -> tuple[Measurement, ...]:
        """Raises ``SourceFailed`` besides what the router raises where a release is in none of its slots."""
        if not subjects:
            return ()
        started = time.monotonic()
        look = self._timed if self._figure.timed else self._counted
        try:
            async with asyncio.timeout(deadline):
                found = await look(subjects, deadline + _LATER)
        except TimeoutError:
            raise SourceTimedOut(self.name, MEASURE, f"no answer within {deadline:g} s", left=LEFT) from None
        except BackendError as error:
            raise SourceFailed(self.name, MEASURE, error.problem, left=LEFT, advice=error.advice) from None
        seconds = time.monotonic() - started
        return tuple(msgspec.structs.replace(one, seconds=seconds) for one in found)

    def _slots(self, state: RouterState, subject: Subject) -> tuple[Slot, ...]:
        wanted = subject.release.id
        found = tuple(slot for slot in Slot if state.slots[slot].release == wanted)
        if not found:
            there = ", ".join(f"{slot}: {state.slots[slot].release or 'nothing'}" for slot in Slot)
            raise SourceFailed(
                self.name,
                MEASURE,
                f"{wanted} is in none of its slots ({there})",
                advice="A release is counted while it is behind the router",
            )
        return found

    # counts

    async def _counted(self, subjects: Sequence[Subject], deadline: float) -> list[Measurement]:
        state, statistics = await self._router.read(deadline=deadline), await self._router.statistics(deadline=deadline)
        now = self._clock()
        marks = [_marked(now, statistics, self._slots(state, subject)) for subject in subjects]
        before = [_read(subject.marks.get(MARK, "")) for subject in subjects]
        pairs = [(then, mark) for then, mark in zip(before, marks, strict=True) if then and _follows(mark, then)]
        if len(pairs) < len(marks):
            # Of one side alone nothing is known by it: both begin.
            began = f"{now:.6f}"
            return [
                Measurement(
                    counters=Counters(0, 0, began=began),
                    marks=_kept(mark),
                    beginning=True,
                    detail="counted from now on",
                )
                for mark in marks
            ]
        return [self._of_counts(mark.counted.since(then.counted), mark, mark.at - then.at) for then, mark in pairs]

    def _of_counts(self, counted: _Counted, mark: _Mark, seconds: float) -> Measurement:
        requests = counted.requests
        bad = counted.with_5xx if self._figure is RouterFigure.RATE_5XX else counted.bad
        match self._figure:
            case RouterFigure.REQUESTS:
                value: float | None = 60 * requests / max(seconds, 0.001)
            case _:
                value = bad / requests if requests else None
        told = (
            f"{mark.slots}: {requests} requests in {seconds:.0f} s, {counted.with_5xx} answered with 5xx, "
            f"{counted.broken} broken off, {counted.retries} tried again"
        )
        return Measurement(
            value=value,
            values=() if value is None else (value,),
            # What came since the last measurement: every measurement's counters begin anew.
            counters=Counters(requests, bad, began=f"{mark.at:.6f}"),
            marks=_kept(mark),
            detail=told,
        )

    # times

    async def _timed(self, subjects: Sequence[Subject], deadline: float) -> list[Measurement]:
        state = await self._router.read(deadline=deadline)
        slots = [self._slots(state, subject) for subject in subjects]
        after = {subject.marks.get(MARK, "") for subject in subjects}
        [known] = after if len(after) == 1 else [""]
        found = await self._router.times(known, deadline=deadline)
        if not known:
            return [
                Measurement(times=(), marks={MARK: found.mark}, beginning=True, detail="counted from now on")
                for _ in subjects
            ]
        return [self._of_times(found, of) for of in slots]

    def _of_times(self, found: TimedRequests, slots: tuple[Slot, ...]) -> Measurement:
        seen = [one for slot in slots for one in found.slots[slot]]
        well = sorted(one for one in seen if not math.isnan(one))
        value = _figure(self._figure, well)
        # One in so many of all, well or not: so the shares stay what they are.
        handed = seen[:: math.ceil(len(seen) / KEPT)] if seen else []
        times = tuple(one for one in handed if not math.isnan(one))
        told = f"{'+'.join(slots)}: {len(seen)} requests, {len(seen) - len(well)} of them not answered well"
        lost = (
            "; there were others, of which the router knows no more: its ring is too small for them, or it was reloaded"
        )
        return Measurement(
            value=value,
            values=() if value is None else (value,),
            times=times,
            bad=len(handed) - len(times),
            marks={MARK: found.mark},
            detail=told if found.complete else told + lost,
        )

    async def close(self) -> None:
        await self._router.close()


def _figure(figure: RouterFigure, well: Sequence[float]) -> float | None:
    """Of times in their order; percentiles by the nearest rank. None where there is no time."""
    if not well:
        return None
    if figure is RouterFigure.MEAN_RESPONSE:
        return math.fsum(well) / len(well)
    percent = int(figure.removeprefix("p"))
    return well[math.ceil(percent * len(well) / 100) - 1]


def _marked(now: float, statistics: RouterStatistics, slots: tuple[Slot, ...]) -> _Mark:
    found = [statistics.slots[slot] for slot in slots]
    counted = _Counted(
        sum(one.requests for one in found),
        sum(one.answers_5xx for one in found),
        sum(one.connection_errors + one.response_errors for one in found),
        sum(one.retries for one in found),
    )
    return _Mark(now, statistics.since, "+".join(slots), counted)


def _follows(mark: _Mark, before: _Mark) -> bool:
    """Whether it went on counting in between: the same process, the same slots, and nothing less than before."""
    same = (mark.since, mark.slots) == (before.since, before.slots)
    return same and all(number >= 0 for number in _numbers(mark.counted.since(before.counted)))


def _numbers(counted: _Counted) -> tuple[int, int, int, int]:
    return counted.requests, counted.with_5xx, counted.broken, counted.retries


def _kept(mark: _Mark) -> dict[str, str]:
    return {MARK: f"{mark.at:.6f} {mark.since} {mark.slots} {' '.join(map(str, _numbers(mark.counted)))}"}


def _read(mark: str) -> _Mark | None:
    words = mark.split()
    if not words:
        return None
    at, since, slots, *numbers = words
    return _Mark(float(at), since, slots, _Counted(*map(int, numbers)))
