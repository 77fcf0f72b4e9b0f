"""Whether images can still be fetched, asked of their registries by way of a manager.

Registries are other people's: each is asked rarely and never often, one that does not answer is left alone for a while, and nothing else
waits for it. What was answered is told with the time at which it was.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, EngineRefused, NotPermitted, Unreachable
from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.backends.hosts.docker.staging import registry_of
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.credentials import registry_header
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    import docker

KNOWN_FOR: Final = 300.0
"""Seconds in which a registry is not asked again for what it had: some count each question as a pull."""
MISSING_FOR: Final = 30.0
"""The same for what it had not."""
SILENT_FOR: Final = 30.0
"""Seconds in which a registry that did not answer is asked for nothing."""
AT_MOST: Final = 120
"""Questions to one registry at once, as a command has that looks at every target; then it is …"""
A_MINUTE: Final = 20
"""… so many a minute, for whoever looks again and again."""

_ASKING: Final = 4.0  # seconds for one answer
_LOGIN: Final = 10.0  # seconds for a program that gives out logins
_AT_ONCE: Final = 3  # of the threads in which the manager is asked for all else, too
_GONE: Final = ("manifest unknown", "not found", "denied", "unauthorized")


def is_gone(error: EngineRefused) -> bool:
    """Whether a registry answered that it has no such image, or none for us; else it did not answer."""
    return error.status in (401, 403, 404) or any(words in error.explanation.lower() for words in _GONE)


@dataclass(frozen=True, slots=True)
class Answer:
    """``has`` None: nobody can tell, as the registry did not answer, or was not asked yet. ``time``: of the answer, ISO 8601 UTC; empty: it
    was never asked."""

    has: bool | None = None
    at: float = 0.0
    time: str = ""

    def is_fresh(self, now: float) -> bool:
        return bool(self.time) and now - self.at < (KNOWN_FOR if self.has else MISSING_FOR)


NOT_ASKED: Final = Answer()


@dataclass(slots=True)
class _Registry:
    """How often one may be asked now. ``left``: questions, as of ``at``."""

    at: float
    left: float = float(AT_MOST)
    silent_until: float = 0.0

    def may_be_asked(self, now: float) -> bool:
        """Takes one of the questions that are left."""
        self.left = min(float(AT_MOST), self.left + (now - self.at) * A_MINUTE / 60.0)
        self.at = now
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class Registries:
    """The answers of one connection. Where no registry has an image, it is enough that the manager's engine has it."""

    def __init__(self, managers: Managers, auth: Auth, clock: Callable[[], float] = time.monotonic) -> None:
        self._managers = managers
        self._auth = auth
        self._clock = clock
        self._known: dict[str, Answer] = {}
        self._registries: dict[str, _Registry] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def have(
        self, releases: Sequence[Release], action: str, *, within: float, patient: bool
    ) -> dict[str, Answer]:
        """By location, after at most ``within`` seconds; the first ones are asked for first. ``patient``: waits also for a new answer where
        an older one is known. What has not come by then is told as it was known, and is asked for meanwhile. Raises nothing."""
        by_location = {release.artifact.location: release for release in releases}
        known = {location for location in by_location if location in self._known}
        asking = [
            task
            for location, release in by_location.items()
            if (task := self._ask(location, release, action)) is not None and (patient or location not in known)
        ]
        if asking:
            await asyncio.wait(asking, timeout=within)
        return {location: self._known.get(location, NOT_ASKED) for location in by_location}

    def _ask(self, location: str, release: Release, action: str) -> "asyncio.Task[None] | None":
        """The question that is under way, or a new one; None: what is known holds, or it may not be asked now."""
        under_way = self._asking.get(location)
        if under_way is not None:
            return under_way
        now = self._clock()
        if self._known.get(location, NOT_ASKED).is_fresh(now):
            return None
        registry = self._registries.setdefault(registry_of(location), _Registry(now))
        silent = now < registry.silent_until
        if silent and location in self._known:
            return None
        if not silent and not registry.may_be_asked(now):
            return None
        task = asyncio.create_task(self._learn(location, release, action, registry), name=f"ask for {location}")
        self._asking[location] = task
        task.add_done_callback(lambda _: self._asking.pop(location, None))
        return task

    async def _learn(self, location: str, release: Release, action: str, registry: _Registry) -> None:
        async with self._room:
            try:
                found = await self._has(location, release, action, registry)
            except Unreachable:
                return  # the manager is lost, which says nothing of the registry: what was known stays
            told = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            self._known[location] = Answer(found, self._clock(), told)

    async def _has(self, location: str, release: Release, action: str, registry: _Registry) -> bool | None:
        """Raises ``Unreachable``, of the manager."""
        found: bool | None = None
        if self._clock() >= registry.silent_until:  # else another question has found that out while this one waited
            found = await self._at_the_registry(location, release, action)
            if found is None:
                registry.silent_until = self._clock() + SILENT_FOR

        def is_here(client: "docker.APIClient") -> None:
            calls.get(client, f"/images/{location}/json")

        return True if not found and await self._answer(action, is_here) else found

    async def _at_the_registry(self, location: str, release: Release, action: str) -> bool | None:
        try:
            async with asyncio.timeout(_LOGIN):
                header = await registry_header(self._auth, release)
        except (BackendError, TimeoutError):
            return None  # whoever needs the image for a rollout is told why

        def ask(client: "docker.APIClient") -> None:
            calls.get(client, f"/distribution/{location}/json", header)

        return await self._answer(action, ask)

    async def _answer(self, action: str, question: "Callable[[docker.APIClient], None]") -> bool | None:
        """Of the manager that is asked anyway, and of no other: where a registry hangs, that is no manager's fault."""
        try:
            await self._managers.engine.call(action, question, deadline=_ASKING)
        except EngineRefused as error:
            return False if is_gone(error) else None
        except NotPermitted:
            return False
        except Unreachable:
            raise
        except BackendError:
            return None
        return True

    async def close(self) -> None:
        """Ends what is still asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
