"""The doctor's questions to the routers in front of targets: each kind examines itself, what it finds is told as of any host."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.config.model import Target
from quarterdeck.rollouts.doctor.findings import Finding, Verdict

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.opening import Hosts

ASK = 20.0  # seconds for one service on a router, with connecting
AT_ONCE = 8  # services: each is a connection of its own, and servers let ten strangers in at once
_LEAVE = 3.0  # seconds for saying goodbye


async def examine_routers(backend: "Hosts", targets: Sequence[Target]) -> list[Finding]:
    """What is wrong with the way that requests come to these targets, as far as there is a router on it. Raises nothing for a router."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(target: Target) -> list[Finding]:
        async with limit:
            return await examine_router(backend, target)

    found = await asyncio.gather(*(one(target) for target in targets if target.routed is not None))
    return [finding for findings in found for finding in findings]


async def examine_router(backend: "Hosts", target: Target) -> list[Finding]:
    """Of a target behind one."""
    from quarterdeck.backends.routers.opening import open_router

    assert target.routed is not None
    assert target.router is not None
    subject = f"router {target.routed.name}"
    hosts = {target.router_host.name: target.router_host} if target.router_host is not None else {}
    try:
        router = open_router(target.router, target.routed, backend, hosts)
    except BackendError as error:
        return [_lost(subject, error)]
    try:
        async with asyncio.timeout(ASK + 1.0):
            found = await router.examine(deadline=ASK)
    except TimeoutError:
        sentence = f"{router.host} did not answer within {ASK:g} s"
        return [Finding(subject, Verdict.FAIL, sentence, "look at its load, and at its host's", unreachable=True)]
    except BackendError as error:
        return [_lost(subject, error)]
    finally:
        with suppress(BackendError, TimeoutError):
            async with asyncio.timeout(_LEAVE):
                await router.close()
    return [Finding(one.subject, Verdict(str(one.verdict)), one.sentence, one.fix, one.unreachable) for one in found]


def _lost(subject: str, error: BackendError) -> Finding:
    return Finding(
        subject,
        Verdict.FAIL,
        f"{error.host}: {error.problem}",
        error.advice or "is the router running, and its entry in the fleet file right?",
        unreachable=isinstance(error, Unreachable),
    )
