"""A real router of each kind for the contract, and HAProxy for what only it can do."""

from collections.abc import AsyncIterator

import pytest

from tests.backends.routers.running import KINDS, Running, RunningHaproxy


@pytest.fixture(params=list(KINDS))
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    router = KINDS[request.param]()
    try:
        await router.start()
        yield router
    finally:
        await router.close()


@pytest.fixture
async def haproxy() -> AsyncIterator[RunningHaproxy]:
    router = RunningHaproxy()
    try:
        await router.start()
        yield router
    finally:
        await router.close()
