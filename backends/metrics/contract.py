"""What a source of metrics can be asked: to measure one or more releases, once, now. Every source passes the same contract tests
(tests/backends/metrics/)."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from quarterdeck.config.release import Release


class Subject(msgspec.Struct, frozen=True):
    """A release where it runs: what is measured. ``hosts`` are the fleet file's names, ``address`` is where it alone is reached
    (host[:port]), empty where there is no such place. ``marks``: those of the last measurement of it; empty before the first."""

    release: Release
    hosts: tuple[str, ...] = ()
    address: str = ""
    marks: Mapping[str, str] = msgspec.field(default_factory=dict)


class Counters(msgspec.Struct, frozen=True):
    """Counted since the counters began, as a router counts. ``began`` is any text that changes when they begin anew (a start time, a
    process); empty where nobody tells: then a counter that went down tells."""

    requests: int
    bad: int  # 5xx, connection and response errors, retries
    slow: int | None = None  # longer than the limit that was agreed with the source; None: it does not count them
    began: str = ""


class Measurement(msgspec.Struct, frozen=True):
    """What was measured of one release. A source fills in what it knows: a router its counters, or times of requests; a query,
    a host or a container its numbers; a probe times; logs their lines as counters, of which some are bad.

    ``value`` is the one number, None where there is none or more than one; ``values`` are all of them. Either may be NaN.
    ``well`` is the source's own word: False is a failed measurement whatever the number. ``times`` (seconds) are those of single
    requests that were answered well since the last measurement, ``bad`` is how many were not. ``detail`` may repeat what a command or a
    service said: secrets are taken out by who stores or shows it.
    ``marks`` (by host) are how far a source that measures what came since has read; it is handed them the next time, whoever asks then.
    ``beginning``: it is known from where on by now, and nothing is measured yet.
    """

    value: float | None = None
    values: tuple[float, ...] = ()
    well: bool | None = None
    counters: Counters | None = None
    times: tuple[float, ...] | None = None
    bad: int = 0
    detail: str = ""  # in words, cleaned: "http 500 from :8080/healthz", "3 series"
    seconds: float = 0.0  # that measuring took
    marks: Mapping[str, str] = msgspec.field(default_factory=dict)
    beginning: bool = False


class Source(Protocol):
    """A way to measure. It has no memory but its connections."""

    @property
    def name(self) -> str:
        """What it is called in errors: "prometheus http://prom:9090"."""
        ...

    async def measure(self, subjects: Sequence[Subject], *, deadline: float) -> tuple[Measurement, ...]:
        """One measurement of each, at the same moment, in their order. No data is a measurement without numbers, and so is a release that
        is unwell; raises ``BackendError``, whose host names the source, when it can't measure: then nothing is known of any of them.
        ``deadline``: seconds for all of it, then ``SourceTimedOut``."""
        ...

    async def close(self) -> None: ...
