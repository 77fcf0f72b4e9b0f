"""A URL as a client sees it: does it answer, and not with an error? No redirect is followed, nothing of the answer is kept."""

import ssl
from types import TracebackType

import httpx

from quarterdeck.backends.artifacts.http_tries import HEADERS, certificates

PATIENCE = 2.0  # seconds until an answer must have begun: a client that waits longer has gone away


class Reachable:
    """Opens the connections that it needs anew each time, as new clients do."""

    def __init__(self, url: str) -> None:
        self.url = url
        verify: bool | ssl.SSLContext = certificates() if url.startswith("https:") else False
        self._client = httpx.AsyncClient(
            headers=HEADERS,
            timeout=PATIENCE,
            verify=verify,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def __aenter__(self) -> "Reachable":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def answers(self) -> bool:
        """Whether it answered with a status below 400 within two seconds."""
        try:
            async with self._client.stream("GET", self.url) as response:
                return response.status_code < 400
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return False
