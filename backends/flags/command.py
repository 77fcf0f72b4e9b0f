"""A flag behind two shell commands of this machine: one prints how many percent get it, the other gets that number and sets it."""

import asyncio
import os
import time
from pathlib import Path
from typing import Final, NoReturn

from quarterdeck.backends import programs
from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut, FlagRefused, NotReadBack
from quarterdeck.backends.flags.contract import UNCHANGED, UNKNOWN, UNREAD, FlagChanged, FlagState
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.flags import CommandFlag

_READ: Final = 65536  # bytes of what is printed; the rest is read and dropped
_SHOWN: Final = 120  # characters of its last line
_BY_HAND: Final = "Run it by hand: what it writes to its standard error is not shown, since it may hold a secret"


class CommandConnection:
    """``base``: where it is run, the fleet file's directory."""

    def __init__(self, flag: CommandFlag, base: Path) -> None:
        self._flag = flag
        self._base = base

    @property
    def name(self) -> str:
        return f"flag {self._flag.name} by a command"

    async def read(self, *, deadline: float | None = None) -> FlagState:
        return await self._read("read the flag", self._seconds(deadline))

    async def set(
        self,
        percent: float,
        *,
        enabled: bool = True,
        force: bool = False,  # noqa: ARG002 # of the contract: a number is all there is
        deadline: float | None = None,
    ) -> FlagChanged:
        """A flag that is to be switched off as a whole gets 0."""
        wanted = percent if enabled else 0.0
        return await self._set(wanted, f"set the flag to {wanted:g} %", deadline)

    async def lower(self, percent: float, *, enabled: bool = True, deadline: float | None = None) -> FlagChanged:
        wanted = percent if enabled else 0.0
        return await self._set(wanted, f"set the flag back to {wanted:g} %", deadline, down=True)

    async def _set(self, wanted: float, action: str, deadline: float | None, *, down: bool = False) -> FlagChanged:
        begun = time.monotonic()
        until = begun + self._seconds(deadline)
        try:
            before = await self._read(action, until - time.monotonic())
        except BackendError as error:
            if wanted:
                error.untouched = True
                error.left = UNREAD.format(percent=wanted) if down else error.left
                raise
            before = FlagState(100.0)  # whatever it is: 0 is set all the same
        if before.is_at(wanted) or (down and before.percent <= wanted):
            return FlagChanged(before, before, True, time.monotonic() - begun)
        await self._run(self._flag.set, action, until - time.monotonic(), f"{wanted:g}")
        now = await self._read(action, until - time.monotonic())
        if not now.is_at(wanted):
            why = f"its `set` ended well, and its `read` says {now.words}"
            raise NotReadBack(self.name, action, why, advice="run both by hand, one after the other")
        return FlagChanged(before, now, False, time.monotonic() - begun)

    async def off(self, *, deadline: float | None = None) -> FlagChanged:
        return await self.set(0.0, force=True, deadline=deadline)

    def _seconds(self, deadline: float | None) -> float:
        return self._flag.timeout if deadline is None else deadline

    async def _read(self, action: str, seconds: float) -> FlagState:
        lines = [line for line in (await self._run(self._flag.read, action, seconds)).splitlines() if line.strip()]
        last = lines[-1].strip() if lines else ""
        try:
            percent = float(last.removesuffix("%").strip())
        except ValueError:
            percent = -1.0
        if not 0.0 <= percent <= 100.0:
            shown = repr(last[:_SHOWN]) if last else "nothing"
            why = f"the last line of its `read` is {shown}, no percentage"
            raise FlagRefused(self.name, action, why, left=UNCHANGED, advice="let it print a number from 0 to 100")
        return FlagState(percent)

    async def _run(self, command: str, action: str, seconds: float, percent: str | None = None) -> str:
        """What it printed. The number is an argument and a variable, never part of the command."""
        own = {"QD_FLAG": self._flag.name} | ({"QD_PERCENT": percent} if percent is not None else {})
        left = UNCHANGED if percent is None else UNKNOWN
        try:
            process = await programs.start(
                ["/bin/sh", "-c", command, "qd", *([percent] if percent is not None else [])],
                folder=self._base,
                environment={**os.environ, **self._flag.env, **own},
            )
        except OSError as error:
            self._failed(action, f"it can't be started: {error.strerror or 'input/output error'}", None, UNCHANGED)
        assert process.stdout is not None
        output, ended = bytearray(), False
        try:
            async with asyncio.timeout(seconds):
                while piece := await process.stdout.read(_READ):
                    output = (output + piece)[-_READ:]
                status = await process.wait()
            ended = True
        except TimeoutError:
            why = f"`{_which(percent)}` did not end in time, and was ended with all that it had started"
            raise CommandTimedOut(self.name, action, why, exit_status=None, left=left, advice=_BY_HAND) from None
        finally:
            if not ended:
                await asyncio.shield(programs.end(process))
        if status != 0:
            how = f"was ended by signal {-status}" if status < 0 else f"ended with {status}"
            self._failed(action, f"`{_which(percent)}` {how}", status, left)
        return clean(output.decode("utf-8", "replace"))

    def _failed(self, action: str, problem: str, status: int | None, left: str) -> NoReturn:
        raise CommandFailed(self.name, action, problem, exit_status=status, left=left, advice=_BY_HAND)


def _which(percent: str | None) -> str:
    return "read" if percent is None else "set"
