"""Letting go of a connection to a host, within seconds whatever the host does."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from quarterdeck.backends.errors import BackendError

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.contract import Connection

CLOSE = 2.0  # seconds


async def leave(connection: "Connection") -> None:
    """Closes it. Raises nothing for a host that does not answer: the kernel closes the socket with the process."""
    with suppress(TimeoutError, OSError, BackendError):
        async with asyncio.timeout(CLOSE):
            await connection.close()
