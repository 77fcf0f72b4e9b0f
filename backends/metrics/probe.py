"""The service itself as a source: asked on each host of a release, as its health gate asks. The value is the slowest answer's time."""

import time
from collections.abc import Awaitable, Callable, Sequence

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import HealthOutcome
from quarterdeck.backends.metrics.asking import of_host, on_each_host, side_by_side
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
        started = time.monotonic()
        measured = await on_each_host(self.name, subject, self._on_host)
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
            raise of_host(self.name, host, error) from None
        times = (outcome.seconds,) if outcome.healthy else ()
        return Measurement(values=times, well=outcome.healthy, detail=f"{host}: {outcome.detail}")

    async def close(self) -> None:
        """The connections are not its own."""
