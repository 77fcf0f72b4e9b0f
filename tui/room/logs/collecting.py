"""Follows the logs of what is on the screen: starts a collector process for the target that is looked at, ends it when another
one is chosen or nobody looks any more. The screen reads the spool; hosts are the collector's only."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import msgspec

from quarterdeck.rollouts.logs.spool import BATCH, Spool, make_spool

SETTLES: Final = 0.3  # seconds: a cursor that moves on over the targets starts nothing
LINGERS: Final = 60.0  # seconds that go on being followed when nobody looks
AGAIN: Final = (
    3.0,
    15.0,
)  # seconds until a collector that ended by itself is started again: after a fault, after a refusal
REFUSED: Final = 3  # see rollouts.logs.collector, which the screen does not import
BYTES: Final = 256  # for a line: of longer ones, fewer are kept
LEAST_BYTES: Final = 64 << 20
BEFORE: Final = 1000  # lines of each host that are there already


class Wanted(msgspec.Struct, frozen=True):
    """What is to be followed. ``only``: these hosts, empty for all."""

    target: str
    only: tuple[str, ...] = ()


class Collecting:
    """``look_after`` is called at the pane's own rate and does everything; nothing here waits."""

    def __init__(self, fleet_file: Path, *, lines: int = 1_000_000) -> None:
        self.fleet_file = fleet_file.absolute()
        self.current: Wanted | None = None
        self.spool: Spool | None = None
        self.fault = ""
        self.begun = 0.0  # monotonic
        # Room for what is written over next; lines of a usual length, and some very long ones even where few are kept.
        self._sizes = (lines + 4 * BATCH, max(lines * BYTES, LEAST_BYTES))
        self._process: subprocess.Popen[bytes] | None = None
        self._ending: list[tuple[float, subprocess.Popen[bytes]]] = []
        self._next: Wanted | None = None
        self._next_since = 0.0
        self._last_looked = 0.0
        self._again_at: float | None = None
        self._again_lines = BEFORE
        self._sides: Mapping[str, int | None] = {}

    @property
    def following(self) -> bool:
        return self._process is not None

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        return self._process

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def look_after(self, wanted: Wanted | None, sides: Mapping[str, int | None]) -> bool:
        """``wanted``: None where nobody looks. Whether another spool has come."""
        now = time.monotonic()
        self._reap(now)
        if wanted is None:
            if self._process is not None and now - self._last_looked > LINGERS:
                self._end(now)
                self.current = None  # what was collected stays to be looked at until something new is wanted
            return False
        self._last_looked = now
        changed = False
        if wanted != self._next:
            self._next, self._next_since = wanted, now
        if wanted != self.current and now - self._next_since >= SETTLES:
            self._end(now)
            changed = self._begin(wanted, sides, now)
        elif self._again_at is not None and now >= self._again_at:
            self._start(wanted, sides, self._again_lines)
        elif sides != self._sides:
            self._tell(sides)
        return changed

    def _begin(self, wanted: Wanted, sides: Mapping[str, int | None], now: float) -> bool:
        self.current, self.begun = wanted, now
        old, self.spool = self.spool, None
        if old is not None:
            old.close()
        try:
            self.spool = Spool(make_spool(lines=self._sizes[0], text=self._sizes[1]))
        except OSError as error:
            self.fault = f"no file for the logs can be made: {error.strerror or error}"
            self._again_at = None
            self.current = None
            return True
        self._start(wanted, sides, BEFORE)
        return True

    def _start(self, wanted: Wanted, sides: Mapping[str, int | None], lines: int) -> None:
        assert self.spool is not None
        self._again_at = None
        order = {
            "fleet": str(self.fleet_file),
            "target": wanted.target,
            "only": list(wanted.only),
            "lines": lines,
            "sides": dict(sides),
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "quarterdeck.rollouts.logs.collector", str(self.spool.descriptor)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(self.spool.descriptor,),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            self.fault = f"the log collector does not start: {error.strerror or error}"
            self._again_at = time.monotonic() + AGAIN[1]
            return
        self.fault = ""
        self._sides = dict(sides)
        os.set_blocking(self._pipe(self._process).fileno(), False)
        self._write(order)

    def _tell(self, sides: Mapping[str, int | None]) -> None:
        if self._process is not None and self._write({"sides": dict(sides)}):
            self._sides = dict(sides)

    def _write(self, body: Mapping[str, object]) -> bool:
        """Whether the collector took it; one that does not listen is not waited for."""
        assert self._process is not None
        try:
            os.write(self._pipe(self._process).fileno(), json.dumps(body).encode() + b"\n")
        except OSError:
            return False
        return True

    def _reap(self, now: float) -> None:
        process = self._process
        if process is not None and (status := process.poll()) is not None:
            self._pipe(process).close()
            self._process = None
            refused = status == REFUSED
            self._again_at = now + AGAIN[refused]
            self._again_lines = BEFORE if refused else 0
        for since, ending in list(self._ending):
            if ending.poll() is None and now - since > 2.0:
                ending.kill()
            if ending.poll() is not None:
                self._ending.remove((since, ending))

    def _end(self, now: float) -> None:
        if self._process is not None:
            self._pipe(self._process).close()  # it ends by that
            self._ending.append((now, self._process))
            self._process = None
        self._again_at = None

    @staticmethod
    def _pipe(process: "subprocess.Popen[bytes]") -> IO[bytes]:
        assert process.stdin is not None
        return process.stdin

    def close(self) -> None:
        """Ends everything at once."""
        self._end(time.monotonic())
        for _, process in self._ending:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1.0)
        self._ending.clear()
        if self.spool is not None:
            self.spool.close()
            self.spool = None
