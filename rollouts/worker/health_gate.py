"""The health gate: asks until a host's service is healthy and has stayed so, or its deadline is over."""

import asyncio

import msgspec

from quarterdeck.backends.hosts.contract import Connection, HealthOutcome
from quarterdeck.config.model import Health
from quarterdeck.config.release import Release

FIRST_PAUSE = 0.01  # seconds; doubled up to QUICK until the service answers, so that a quick start is seen quickly
QUICK = 0.25


async def become_healthy(connection: Connection, health: Health, release: Release, *, hold: float) -> HealthOutcome:
    """The first outcome that has been healthy for ``hold`` seconds, or the last unhealthy one at the deadline; one that was healthy by then
    is held beyond it.

    Times are of the monotonic clock. A look that lasts longer than its checks may (an engine that answers late) puts the deadline off by
    what it lasted longer, to twice its time at most: meanwhile nobody has seen the service.
    Raises ``Unreachable`` when the host itself is lost.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    deadline = start + health.healthy_deadline
    latest = deadline + health.healthy_deadline
    may_last = health.timeout * max(1, sum(check is not None for check in (health.http, health.tcp, health.command)))
    pause = FIRST_PAUSE
    healthy_since: float | None = None
    checks = 0
    while True:
        began = loop.time()
        outcome = await connection.check_health(health, release)
        checks += 1
        now = loop.time()
        deadline = min(latest, deadline + max(0.0, now - began - may_last))
        if outcome.healthy:
            healthy_since = now if healthy_since is None else healthy_since
            if now - healthy_since >= hold:
                return msgspec.structs.replace(outcome, seconds=now - start, checks=checks)
            wait = min(health.interval, hold - (now - healthy_since))
        elif now >= deadline:
            return msgspec.structs.replace(outcome, healthy=False, seconds=now - start, checks=checks)
        else:
            healthy_since = None
            wait = min(pause, health.interval) if now - start < 10.0 else health.interval
            wait = min(wait, deadline - now)  # the last look is one at the deadline
            pause = min(pause * 2, QUICK)
        await asyncio.sleep(wait)
