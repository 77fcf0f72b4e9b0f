"""Measuring the new release while a rollout waits, beside the release before where a metric compares.

Every measurement is an event of the rollout, and so a part of the audit chain: the evidence. A worker that takes over goes on from there.
Loaded where something is measured only.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.backends.errors import BackendError, SourceFailed
from quarterdeck.backends.hosts.contract import HealthOutcome, NewLines, ServiceFigures
from quarterdeck.backends.metrics.contract import Measurement, Source, Subject
from quarterdeck.backends.metrics.opening import open_source
from quarterdeck.config.analyses import Analysis, Metric
from quarterdeck.config.model import Health
from quarterdeck.config.release import Release
from quarterdeck.history.identity import process_identity
from quarterdeck.history.records import Step
from quarterdeck.rollouts.analysis.course import Course, Ended, Measure, Wait, begin, conclude, restored, taken
from quarterdeck.rollouts.analysis.course import step as next_step
from quarterdeck.rollouts.analysis.samples import Sample, to_stored
from quarterdeck.rollouts.logs.merged import logs_of
from quarterdeck.rollouts.measured import BEGUN, MEASURED, Begun, analysis_of, begun_of, samples_of
from quarterdeck.rollouts.worker.standing_still import StandingStill

if TYPE_CHECKING:
    from quarterdeck.backends.routers.contract import RouterConnection


class Analysing:
    """Of one step of the rollout that ``of`` carries out."""

    def __init__(self, of: StandingStill, step: Step) -> None:
        self._of = of
        self._step = step
        self._marks: dict[tuple[str, str], Mapping[str, str]] = {}  # of metrics and releases, as last measured

    async def verdict(self, until: float | None) -> Ended:
        """Measures until there is a verdict; ``until`` (CLOCK_BOOTTIME): until then, and judges by what is known. ``Ended`` says how."""
        analysis = self._analysis()
        course = await self._course(analysis)
        sources = {metric.name: self._source(metric) for metric in analysis.metrics}
        try:
            while True:
                now = _boottime()
                if until is not None and now >= until:
                    return conclude(course)
                match next_step(course, now):
                    case Ended() as ended:
                        return ended
                    case Wait(until=due):
                        await asyncio.sleep((due if until is None else min(due, until)) - now)
                    case Measure(metrics=metrics):
                        samples = await asyncio.gather(*(self._measure(one, sources[one.name], now) for one in metrics))
                        course = taken(course, samples)
                        for sample in samples:
                            self._remember(sample)
                        await self._keep(samples)
        finally:
            await asyncio.gather(*(source.close() for source in sources.values()), return_exceptions=True)

    def _analysis(self) -> Analysis:
        return analysis_of(self._step, self._of.work.analyses)

    async def _course(self, analysis: Analysis) -> Course:
        self._marks.clear()
        boot = process_identity(os.getpid())[1]
        events = self._of.journal.reader.events(rollout=self._of.rollout, kind=BEGUN, limit=1000)
        begun = begun_of(events, self._step)
        if begun is not None and begun.boot == boot:
            measured = self._of.journal.reader.events(rollout=self._of.rollout, kind=MEASURED, limit=100_000)
            samples = list(samples_of(measured, self._step, begun.at))
            for sample in samples:
                self._remember(sample)
            return restored(analysis, begun.at, samples)
        # After a restart of this machine its clock has begun anew: so does the analysis.
        begun = Begun(self._step.seq, self._step.op_id, _boottime(), boot)
        await self._record(BEGUN, msgspec.to_builtins(begun))
        return begin(analysis, begun.at)

    async def begin_anew(self) -> None:
        """What was measured stays in the journal; the next analysis of this step begins anew."""
        boot = process_identity(os.getpid())[1]
        await self._record(BEGUN, msgspec.to_builtins(Begun(self._step.seq, self._step.op_id, _boottime(), boot)))

    async def _keep(self, samples: Sequence[Sample]) -> None:
        mask = self._of.work.masker.mask
        stored = [_masked(to_stored(sample), mask) for sample in samples]
        await self._record(MEASURED, {"seq": self._step.seq, "op_id": self._step.op_id, "samples": stored})

    async def _record(self, kind: str, body: dict[str, Any]) -> None:
        await self._of.journal.do(
            self._of.journal.journal.record, kind, target=self._of.work.target.name, rollout=self._of.rollout, body=body
        )

    # measuring

    def _source(self, metric: Metric) -> Source:
        async def check(host: str, health: Health, release: Release) -> HealthOutcome:
            connection = await self._of.work.crew.connection(host)
            return await connection.check_health(health, release)

        async def read_log(host: str, release: Release, mark: str) -> NewLines:
            connection = await self._of.work.crew.connection(host)
            logs = logs_of(self._of.work.target, release)
            if logs is None:
                advice = "add to the service in the fleet file: logs: {files: [PATH]}, or {journal: UNIT}"
                raise SourceFailed(host, "read the logs", f"{release.target} declares no logs", advice=advice)
            return await connection.new_lines(logs, release, mark, deadline=metric.timeout)

        async def read_figures(host: str, release: Release) -> ServiceFigures:
            connection = await self._of.work.crew.connection(host)
            return await connection.service_figures(release, deadline=metric.timeout)

        return open_source(
            metric.source,
            base=self._of.work.base,
            health=self._of.work.release.health,
            check=check,
            read_log=read_log,
            read_figures=read_figures,
            router=self._router if self._of.work.target.routed is not None else None,
        )

    def _router(self) -> "RouterConnection":
        from quarterdeck.backends.routers.opening import open_router

        work = self._of.work
        router, routed, host = work.target.router, work.target.routed, work.target.router_host
        if router is None or routed is None or work.backend is None:
            raise SourceFailed("router", "open the router", f"no router is before {work.target.name}")
        return open_router(router, routed, work.backend, {host.name: host} if host is not None else {})

    def _remember(self, sample: Sample) -> None:
        """A mark is stored with what was measured up to it, so that a worker that takes over counts no line twice, and misses none."""
        sides = ((self._of.work.release.id, sample.canary), (self._of.work.leaving or "", sample.baseline))
        for release, side in sides:
            if side is not None and side.marks:
                self._marks[sample.metric, release] = side.marks

    async def _measure(self, metric: Metric, source: Source, at: float) -> Sample:
        try:
            new = self._of.work.release
            subjects = [await self._subject(metric, new, self._of.having(new.id))]
            if metric.compare is not None:
                stable = self._of.work.releases.get(self._of.work.leaving or "")
                others = self._of.still_on_the_old_one()
                if stable is None or not others:
                    return Sample(metric.name, at, error="no host runs the release before, which it is compared with")
                subjects.append(await self._subject(metric, stable, others))
            found = await source.measure(subjects, deadline=metric.timeout)
        except BackendError as error:
            return Sample(metric.name, at, error=error.told(self._of.work.masker.mask))
        baseline: Measurement | None = found[1] if len(found) > 1 else None
        return Sample(metric.name, at, found[0], baseline)

    async def _subject(self, metric: Metric, release: Release, hosts: list[str]) -> Subject:
        address = ""
        if hosts:
            health = release.health
            check = (health.http or health.tcp) if health is not None else None
            connection = await self._of.work.crew.connection(hosts[0])
            address = await connection.address_of(release, check.port if check is not None else None)
        return Subject(release, tuple(hosts), address, self._marks.get((metric.name, release.id), {}))


def _masked(stored: dict[str, Any], mask: Any) -> dict[str, Any]:
    for side in ("canary", "baseline"):
        if stored[side] is not None:
            stored[side]["detail"] = mask(stored[side]["detail"])
    return stored


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
