"""How the service is while a rollback is practised: it is asked all the while, and bad answers are counted. Changes nothing, and holds up
nothing: whatever becomes of it, the drill goes on."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.config.release import Release
from quarterdeck.rollouts.worker.crew import Crew

log = logging.getLogger("quarterdeck.worker")

BETWEEN = 0.2  # seconds between an answer and the next question


class Counted(msgspec.Struct):
    """``how``: what was asked, in words; empty: nothing could be."""

    how: str = ""
    checked: int = 0
    failed: int = 0

    def add(self, well: bool) -> None:
        self.checked += 1
        self.failed += not well

    @property
    def words(self) -> str:
        """``0 of 42 requests failed (http://lb/healthz)``."""
        if not self.how:
            return "nothing was asked meanwhile: there is no probe, and no health check that both releases have"
        return f"{self.failed} of {self.checked} {self.how}"


@contextlib.asynccontextmanager
async def asked(
    counted: Counted, crew: Crew, hosts: Sequence[str], releases: Sequence[Release], *, probe: str | None, routed: bool
) -> AsyncIterator[None]:
    """Asks while what is within goes on: ``probe``, or else the health check of ``releases``, one of which runs on each of ``hosts``.

    Behind a router (``routed``) hosts leave before they are changed: there it is a fault only when no host at all is well.
    """
    if probe is not None:
        counted.how = f"requests failed ({probe})"
        asking = asyncio.create_task(_ask_url(counted, probe))
    elif releases and all(one.health is not None for one in releases):
        counted.how = "looks found no host well" if routed else "health checks failed"
        asking = asyncio.create_task(_ask_hosts(counted, crew, hosts, releases, routed=routed))
    else:
        yield
        return
    try:
        yield
    finally:
        asking.cancel()
        (result,) = await asyncio.gather(asking, return_exceptions=True)
        if isinstance(result, Exception):
            counted.how += "; the asking ended early"
            log.error("asking meanwhile ended early", exc_info=result)


async def _ask_url(counted: Counted, url: str) -> None:
    from quarterdeck.backends.metrics.reachable import Reachable

    async with Reachable(url) as one:
        while True:
            counted.add(await one.answers())
            await asyncio.sleep(BETWEEN)


async def _ask_hosts(
    counted: Counted, crew: Crew, hosts: Sequence[str], releases: Sequence[Release], *, routed: bool
) -> None:
    if routed:
        while True:
            counted.add(any(await asyncio.gather(*(_is_well(crew, host, releases) for host in hosts))))
            await asyncio.sleep(BETWEEN)

    async def one(host: str) -> None:
        while True:
            counted.add(await _is_well(crew, host, releases))
            await asyncio.sleep(BETWEEN)

    async with asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(one(host))


async def _is_well(crew: Crew, host: str, releases: Sequence[Release]) -> bool:
    for release in releases:
        if release.health is None:
            continue
        try:
            connection = await crew.connection(host)
            async with asyncio.timeout(release.health.timeout + 5.0):
                if (await connection.check_health(release.health, release)).healthy:
                    return True
        except (BackendError, TimeoutError, OSError, KeyError):
            continue
    return False
