"""The log of the service as a source: how many of its lines match, a minute, on each host of a release. The value is the worst host's.

Whoever wrote the pattern may have written one that takes for ever on some line. So it is tried in a process of its own, which is ended at
the deadline like anything else that does not answer; it is given only lines that were cut.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from quarterdeck.backends import programs
from quarterdeck.backends.errors import BackendError, SourceFailed
from quarterdeck.backends.hosts.contract import NewLines
from quarterdeck.backends.metrics.asking import LEFT, MEASURE, of_host, on_each_host, side_by_side
from quarterdeck.backends.metrics.contract import Counters, Measurement, Subject
from quarterdeck.config.analyses import LogsMetric
from quarterdeck.config.release import Release

ReadLog = Callable[[str, Release, str], Awaitable[NewLines]]
"""What the log of the release got on the host of that name since the mark: ``Connection.new_lines``."""

_LEVELS: Final = "error|err|fatal|critical|crit|panic|alert|emerg|emergency|severe"
ERRORS: Final = "|".join(
    (
        # level=error, "level":"ERROR", severity: critical, and the numbers of pino and bunyan
        rf"""(?i:\b(?:log\.?)?(?:level|lvl|levelname|severity)["']?\s*[=:]\s*["']?(?:{_LEVELS})\b)""",
        r'"level"\s*:\s*[56]0\b',
        # A level as a word of its own: [error], ERROR, FATAL:, not ERROR_LOG, no errors.ERROR, not /ERROR/
        r"\[(?i:error|fatal|critical|crit|panic|alert|emerg|severe)\]",
        r"(?<![\w/.=$-])(?:ERROR|FATAL|CRITICAL|CRIT|PANIC|SEVERE|EMERG)(?![\w/.=-])",
        # At the beginning, or behind a time or a bracket: error: …, panic: …, thread 'main' panicked at …, and klog's E1129 16:05:14
        r"(?:^|[\]Z0-9] )\s*(?i:error|fatal|fatal error|panic|critical|uncaught exception|unhandled exception)(?:\[[^\]]*\])?: ",
        r"^thread '[^']*' panicked at ",
        r'^Exception in thread "',
        r"^[EF]\d{4} \d\d:\d\d:\d\d",
        r"Traceback \(most recent call last\)",
    )
)
"""Lines that services of many kinds write when something went wrong, by their level and never by the mere word: "0 errors", "errors.log"
and "no error" are none. A fault with a traceback may be two lines."""

_MATCHING: Final = """
import json, re, sys
asked = json.load(sys.stdin)
match = re.compile(asked["match"]).search
json.dump([at for at, text in enumerate(asked["texts"]) if match(text)], sys.stdout)
"""
_SHOWN: Final = 160  # characters of a line that is told


class _OnHost(msgspec.Struct, frozen=True):
    """``seconds``: since the mark; None: there was none, and counting begins now."""

    mark: str
    seconds: float | None = None
    lines: int = 0
    matching: int = 0
    first: str = ""  # matching line

    @property
    def a_minute(self) -> float:
        return 60 * self.matching / max(self.seconds or 0.0, 0.001)


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LogsSource:
    """``read`` is how hosts are asked; the connections are somebody else's. ``clock``: seconds, the same for all who measure in turn."""

    def __init__(self, metric: LogsMetric, read: ReadLog, clock: Callable[[], float] = _boottime) -> None:
        self._match = metric.match or ERRORS
        self._read = read
        self._clock = clock

    @property
    def name(self) -> str:
        return "logs"

    async def measure(self, subjects: Sequence[Subject], *, deadline: float) -> tuple[Measurement, ...]:
        return await side_by_side(self.name, subjects, self._one, deadline=deadline)

    async def _one(self, subject: Subject) -> Measurement:
        started = time.monotonic()
        measured = await on_each_host(self.name, subject, self._on_host)
        begun = [one for one in measured if not one.beginning]
        values = tuple(one.value for one in begun if one.value is not None)
        counted = [one.counters for one in begun if one.counters is not None]
        return Measurement(
            value=max(values, default=None),
            values=values,
            # What came since the last measurement: every measurement's counters begin anew.
            counters=Counters(
                sum(one.requests for one in counted), sum(one.bad for one in counted), began=f"{started:.6f}"
            ),
            marks={host: mark for one in measured for host, mark in one.marks.items()},
            beginning=not begun,
            detail="; ".join(one.detail for one in begun or measured[:1]),
            seconds=time.monotonic() - started,
        )

    async def _on_host(self, subject: Subject) -> Measurement:
        [host] = subject.hosts
        found = await self._found(host, subject.release, subject.marks.get(host, ""))
        if found.seconds is None:
            return Measurement(marks={host: found.mark}, beginning=True, detail="counted from now on")
        told = f"{host}: {found.matching} of {found.lines} lines in {found.seconds:.0f} s"
        return Measurement(
            value=found.a_minute,
            counters=Counters(found.lines, found.matching),
            marks={host: found.mark},
            detail=f"{told}: {found.first[:_SHOWN]}" if found.first else told,
        )

    async def _found(self, host: str, release: Release, mark: str) -> _OnHost:
        at, _, since = mark.partition(" ")
        now = self._clock()
        try:
            new = await self._read(host, release, since)
        except BackendError as error:
            raise of_host(self.name, host, error) from None
        next_mark = f"{now:.3f} {new.mark}"
        if not since:
            return _OnHost(next_mark)
        matching = await self._matching(new.texts) if new.texts else []
        there = len(new.texts) + new.dropped
        # Of a flood only the first lines were read: the others are taken to be like them.
        estimated = round(len(matching) * there / len(new.texts)) if new.texts else 0
        first = new.texts[matching[0]].strip() if matching else ""
        return _OnHost(next_mark, now - float(at), there, estimated, first)

    async def _matching(self, texts: Sequence[str]) -> list[int]:
        """Which of them match, by their places."""
        asked = msgspec.json.encode({"match": self._match, "texts": texts})
        arguments = [sys.executable, "-I", "-S", "-c", _MATCHING]
        try:
            process = await programs.start(arguments, stdin=asyncio.subprocess.PIPE)
        except OSError as error:
            problem = f"no process can be started to match lines: {error.strerror or 'input/output error'}"
            raise SourceFailed(self.name, MEASURE, problem, left=LEFT) from None
        try:
            answer, _ = await process.communicate(asked)  # no deadline of its own: that of the measurement cancels it
            return msgspec.json.decode(answer, type=list[int])
        except msgspec.DecodeError:
            problem = f"the process that matches lines ended with {process.returncode}"
            raise SourceFailed(self.name, MEASURE, problem, left=LEFT) from None
        finally:
            if process.returncode is None:
                await asyncio.shield(programs.end(process))

    async def close(self) -> None:
        """The connections are not its own."""
