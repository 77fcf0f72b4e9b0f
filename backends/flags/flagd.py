"""A flag in files of flagd's flag definitions: pushed to every host that has one, and read back from each.

All of them must say the same. When the flag is switched off, every host gets its try, whatever happens on the others.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from quarterdeck.backends.errors import BackendError, FlagRefused, NotReadBack, Unreachable
from quarterdeck.backends.flags import definitions
from quarterdeck.backends.flags.contract import UNCHANGED, UNKNOWN, UNREAD, FlagChanged, FlagState
from quarterdeck.backends.flags.flag_files import FlagFile, here, there
from quarterdeck.config.flags import FlagdFlag
from quarterdeck.config.model import Host

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.opening import Hosts
    from quarterdeck.backends.hosts.ssh.connection import SshConnection

T = TypeVar("T")
Aim = Callable[[FlagState], FlagState | None]  # what a place is set to, by how it is; None: it is left so

_TRIES: Final = 3  # of a file that somebody else changes at the same time
HERE: Final = "this machine"


class FlagdConnection:
    """``hosts``: those of the fleet. Opens a connection to each of the flag's hosts for each call, and closes it."""

    def __init__(self, flag: FlagdFlag, backend: "Hosts", hosts: Mapping[str, Host]) -> None:
        self._flag = flag
        self._backend = backend
        self._hosts = hosts

    @property
    def _places(self) -> Sequence[str]:
        return self._flag.hosts or (HERE,)

    @property
    def name(self) -> str:
        return f"flag {self._flag.name} on {', '.join(self._places)}"

    async def read(self, *, deadline: float | None = None) -> FlagState:
        return _together(dict(await self._everywhere(self._read_one, deadline, "read the flag")))

    async def set(
        self, percent: float, *, enabled: bool = True, force: bool = False, deadline: float | None = None
    ) -> FlagChanged:
        wanted = FlagState(percent, enabled)
        if not force:  # all or none, as far as that can be known before
            try:
                await self.read(deadline=deadline)
            except BackendError as error:
                error.untouched = True
                raise

        def aim(was: FlagState) -> FlagState | None:
            return None if was.is_at(percent, enabled=enabled) else wanted

        return await self._set(aim, f"set the flag to {wanted.words}", deadline, force=force)

    async def lower(self, percent: float, *, enabled: bool = True, deadline: float | None = None) -> FlagChanged:
        wanted = FlagState(percent, enabled)

        def aim(was: FlagState) -> FlagState | None:
            if was.problems:
                return FlagState(0.0)
            return None if was.reaches <= wanted.reaches else wanted

        unread = UNREAD.format(percent=wanted.reaches)
        return await self._set(aim, f"set the flag back to {wanted.words}", deadline, force=True, unread=unread)

    async def off(self, *, deadline: float | None = None) -> FlagChanged:
        """A share of 0 in a flag that is enabled: one that is disabled gives what each program thinks of by itself."""
        return await self.set(0.0, force=True, deadline=deadline)

    async def _set(
        self, aim: "Aim", action: str, deadline: float | None, *, force: bool, unread: str = UNCHANGED
    ) -> FlagChanged:
        begun = time.monotonic()

        async def one(place: str, file: FlagFile) -> tuple[FlagState, FlagState]:
            return await self._set_one(place, file, aim, action, force, unread)

        found = await self._everywhere(one, deadline, action, unread)
        before = _together({place: was for place, (was, _) in found})
        after = _together({place: now for place, (_, now) in found})
        already = all(was == now for _, (was, now) in found)
        return FlagChanged(before, after, already, time.monotonic() - begun)

    async def _read_one(self, place: str, file: FlagFile) -> FlagState:
        return self._share(place, await file.read(), "read the flag")

    async def _set_one(
        self, place: str, file: FlagFile, aim: "Aim", action: str, force: bool, unread: str
    ) -> tuple[FlagState, FlagState]:
        """How it was, and how it is now. ``unread``: what is told where it can't be read."""
        try:
            text = await file.read()
            first = was = self._share(place, text, action)
        except BackendError as error:
            error.left, error.untouched = unread, True
            raise
        for left in reversed(range(_TRIES)):
            wanted = aim(was)
            if wanted is None:
                return first, was
            if was.problems and not force:
                raise FlagRefused(
                    self._of(place), action, "; ".join(was.problems), left=UNCHANGED, advice="see docs/flags.md"
                )
            try:
                await file.replace(
                    text, definitions.with_share(text, self._flag, wanted.percent, enabled=wanted.enabled)
                )
            except FlagRefused:
                if not left:
                    raise
                text = await file.read()  # it was changed in between: all else of it may have been
                was = self._share(place, text, action)
                if was != first and not force:
                    why = f"it was at {first.words}, and somebody has set it to {was.words} in this very moment"
                    raise FlagRefused(self._of(place), action, why, left=UNCHANGED) from None
                continue
            break
        assert wanted is not None  # it was written
        now = self._share(place, await file.read(), action)
        if not now.is_at(wanted.percent, enabled=wanted.enabled):
            raise NotReadBack(
                self._of(place),
                action,
                f"it was written, and says {now.words} now{''.join(f'; {one}' for one in now.problems)}",
                advice="does something else write that file?",
            )
        return first, now

    def _share(self, place: str, text: str, action: str) -> FlagState:
        try:
            return definitions.read_share(text, self._flag)
        except definitions.NoDefinition as why:
            raise FlagRefused(
                self._of(place), action, f"{self._flag.file}: {why.why}", left=UNCHANGED, advice=why.advice
            ) from None

    def _of(self, place: str) -> str:
        return f"flag {self._flag.name} on {place}"

    async def _everywhere(
        self, one: Callable[[str, FlagFile], Awaitable[T]], deadline: float | None, action: str, unread: str = UNCHANGED
    ) -> list[tuple[str, T]]:
        """``one`` of each place at the same time, all of them to their end. Raises the first ``BackendError``, which tells what became of
        the others."""
        seconds = self._flag.timeout if deadline is None else deadline
        outcomes = await asyncio.gather(*(self._of_one(one, place, seconds, action, unread) for place in self._places))
        found = [(place, out) for place, out in zip(self._places, outcomes, strict=True) if not _failed(out)]
        for place, outcome in zip(self._places, outcomes, strict=True):
            if isinstance(outcome, BackendError):
                others = [name for name in self._places if name != place and name not in dict(found)]
                said = [f"{', '.join(dict(found))} did it"] if found else []
                said += [f"neither did {', '.join(others)}"] if others else []
                outcome.partly = bool(found) and "set" in action
                if said and "set" in action:
                    outcome.left = ". ".join(filter(None, (outcome.left, "; ".join(said))))
                raise outcome
        return [(place, out) for place, out in found if not isinstance(out, BackendError)]

    async def _of_one(
        self, one: Callable[[str, FlagFile], Awaitable[T]], place: str, seconds: float, action: str, unread: str
    ) -> T | BackendError:
        host = self._of(place)
        try:
            async with asyncio.timeout(seconds):
                if place == HERE:
                    return await one(place, here(host, self._flag.file, deadline=seconds))
                connection = await self._connect(place, seconds, action, unread)
                try:
                    return await one(place, there(host, self._flag.file, connection, deadline=seconds))
                finally:
                    await connection.close()
        except TimeoutError:
            return Unreachable(host, action, f"no answer within {seconds:g} s", left=UNKNOWN)
        except BackendError as error:
            return error

    async def _connect(self, place: str, seconds: float, action: str, unread: str) -> "SshConnection":
        declared = self._hosts.get(place)
        if declared is None or not declared.ssh:
            what = "there is no such host" if declared is None else "it is an engine, not one that SSH reaches"
            raise BackendError(self._of(place), action, what, left=unread, advice="correct the flag's hosts")
        try:
            return await self._backend.ssh().connect(declared, deadline=seconds)
        except BackendError as error:
            # Told of the flag, and of what was to be done there.
            error.host, error.problem, error.action = self._of(place), f"can't {error.action}: {error.problem}", action
            error.left, error.untouched = unread, True
            raise


def _failed(outcome: object) -> bool:
    return isinstance(outcome, BackendError)


def _together(found: Mapping[str, FlagState]) -> FlagState:
    """What all places say together: where they differ, the one by which most people get it."""
    most = max(found.values(), key=lambda state: state.reaches)
    differs = any(not state.is_at(most.percent, enabled=most.enabled) for state in _plain(found))
    problems = [f"{place}: {why}" for place, state in found.items() for why in state.problems]
    if differs:
        problems.insert(0, f"its hosts differ: {', '.join(f'{place} {state.words}' for place, state in found.items())}")
    return FlagState(most.percent, most.enabled, tuple(problems))


def _plain(found: Mapping[str, FlagState]) -> list[FlagState]:
    return [FlagState(state.percent, state.enabled) for state in found.values()]
