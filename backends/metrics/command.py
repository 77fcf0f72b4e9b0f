"""A command of this machine as a source: its exit status says whether the release is well, the last line that it prints is the value."""

import asyncio
import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from quarterdeck.backends import programs
from quarterdeck.backends.errors import SourceFailed
from quarterdeck.backends.metrics.asking import LEFT, MEASURE, side_by_side, words_of, written_for
from quarterdeck.backends.metrics.contract import Measurement, Subject
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.analyses import CommandMetric

_READ: Final = 65536  # bytes of what it prints; the rest is read and dropped
_SHOWN: Final = 200  # characters of its last line
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf|nan", re.IGNORECASE)
_NOT_RUN: Final = {126: "may not be executed", 127: "was not found"}


class CommandSource:
    """``base``: where it is run, the fleet file's directory. Its errors go nowhere: they may hold a secret."""

    def __init__(self, metric: CommandMetric, base: Path) -> None:
        self._metric = metric
        self._base = base

    @property
    def name(self) -> str:
        return f"command {self._metric.run!r}"

    async def measure(self, subjects: Sequence[Subject], *, deadline: float) -> tuple[Measurement, ...]:
        return await side_by_side(self.name, subjects, self._one, deadline=deadline)

    async def _one(self, subject: Subject) -> Measurement:
        started = time.monotonic()
        command = written_for(self.name, self._metric.run, subject, shlex.quote)
        status, output = await self._run(command, _environment(self._metric, subject))
        if status in _NOT_RUN:
            raise self._failed(f"a program of it {_NOT_RUN[status]} (exit status {status})")
        if status < 0:
            raise self._failed(f"it was ended by signal {-status}")
        lines = [line for line in clean(output).splitlines() if line.strip()]
        last = lines[-1].strip() if lines else ""
        values = numbers(last) if status == 0 else ()
        said = f": {last[:_SHOWN]}" if last and not values else ""
        return Measurement(
            value=values[0] if len(values) == 1 else None,
            values=values,
            well=status == 0,
            detail=f"ended with {status}{said}",
            seconds=time.monotonic() - started,
        )

    async def _run(self, command: str, environment: Mapping[str, str]) -> tuple[int, str]:
        """The exit status (below 0: a signal) and the end of what it printed."""
        try:
            process = await programs.start(["/bin/sh", "-c", command], folder=self._base, environment=environment)
        except OSError as error:
            raise self._failed(f"it can't be started: {error.strerror or 'input/output error'}") from None
        assert process.stdout is not None
        output, ended = bytearray(), False
        try:
            while piece := await process.stdout.read(_READ):
                output = (output + piece)[-_READ:]
            status = await process.wait()
            ended = True
        finally:
            if not ended:
                # Cancelled, mostly: what it started must not go on measuring.
                await asyncio.shield(programs.end(process))
        return status, output.decode("utf-8", "replace")

    def _failed(self, problem: str) -> SourceFailed:
        advice = "Run it by hand: what it writes to its standard error is not shown, since it may hold a secret"
        return SourceFailed(self.name, MEASURE, problem, left=LEFT, advice=advice)

    async def close(self) -> None:
        """Nothing is kept open."""


def numbers(line: str) -> tuple[float, ...]:
    """The numbers of a line, apart by spaces or commas; none where anything else is in it."""
    words = line.replace(",", " ").split()
    return tuple(map(float, words)) if all(_NUMBER.fullmatch(word) for word in words) else ()


def _environment(metric: CommandMetric, subject: Subject) -> dict[str, str]:
    own = {f"QD_{name.upper()}": value for name, value in words_of(subject).items()}
    return {**os.environ, **metric.env, **own}
