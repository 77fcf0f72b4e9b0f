"""The service itself as a source: asked on each host of a release, as its health gate asks. The value is the slowest answer's time."""

import time
from collections.abc import Awaitable, Callable, Sequence

from quarterdeck.backends.errors import BackendError, SourceFailed
from quarterdeck.backends.hosts.contract import HealthOutcome
from quarterdeck.backends.metrics.asking import LEFT, MEASURE, side_by_side
from quarterdeck.backends.metrics.contract import Measurement, Subject
from quarterdeck.config.model import Health
from quarterdeck.config.release import Release

Check = Callable[[str, Health, Release], Awaitable[HealthOutcome]]
"""One round of health checks on the host of that name: ``Connection.check_health``."""


class ProbeSource:
    """``check`` is how hosts are asked; the connections are somebody else's."""

    def __init__(self, health: Health, check: Check) -> None:
        self._health = health
        self._check = check

    @property
    def name(self) -> str:
        return "probe"

    async def measure(self, subjects: Sequence[Subject], *, deadline: float) -> tuple[Measurement, ...]:
        return await side_by_side(self.name, subjects, self._one, deadline=deadline)

    async def _one(self, subject: Subject) -> Measurement:
        if not subject.hosts:
            raise SourceFailed(self.name, MEASURE, f"{subject.release.id} runs on no host", left=LEFT)
        started = time.monotonic()
        alone = [Subject(subject.release, (host,), subject.address) for host in subject.hosts]
        measured = await side_by_side(self.name, alone, self._on_host, deadline=None)
        times = tuple(one for single in measured for one in single.values)
        told = [single.detail for single in measured if not single.well] or [single.detail for single in measured]
        return Measurement(
            value=max(times, default=None),
            values=times,
            well=all(single.well for single in measured),
            times=times,
            bad=len(measured) - len(times),
            detail="; ".join(dict.fromkeys(told)),
            seconds=time.monotonic() - started,
        )

    async def _on_host(self, subject: Subject) -> Measurement:
        [host] = subject.hosts
        try:
            outcome = await self._check(host, self._health, subject.release)
        except BackendError as error:
            raise SourceFailed(
                f"{self.name} of {host}", error.action, error.problem, left=LEFT, advice=error.advice
            ) from None
        times = (outcome.seconds,) if outcome.healthy else ()
        return Measurement(values=times, well=outcome.healthy, detail=f"{host}: {outcome.detail}")

    async def close(self) -> None:
        """The connections are not its own."""
