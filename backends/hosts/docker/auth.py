"""Where an engine's credentials for a registry come from: whoever knows registries gives them, this backend only hands them on."""

from collections.abc import Awaitable, Callable
from typing import Any

Auth = Callable[[str], Awaitable[dict[str, Any] | None]]
"""Of a repository, in the shape of the engine's X-Registry-Auth; None: there are none."""


async def no_auth(repository: str) -> None:  # noqa: ARG001 # there are none for any
    return None
