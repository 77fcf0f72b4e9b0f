"""Artifacts behind http(s)://. Streams, follows few redirects and none to plain HTTP, tries again what may pass."""

import asyncio
import netrc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import httpx

from quarterdeck.backends.artifacts.http_tries import (
    HEADERS,
    MAX_REDIRECTS,
    Retries,
    TryAgain,
    certificate_fault,
    certificates,
    in_words,
    retry_after,
)
from quarterdeck.backends.artifacts.location import NETRC_ADVICE, Location
from quarterdeck.backends.artifacts.places import MEBIBYTE, Entry, Sink
from quarterdeck.backends.errors import (
    THIS_MACHINE,
    ArtifactMissing,
    ArtifactRefused,
    BackendError,
    NotPermitted,
    Unreachable,
)


class HttpPlace:
    """Proxies come from the environment as httpx reads them, logins from ~/.netrc ($NETRC)."""

    def __init__(self, action: str, *, retries: Retries | None = None) -> None:
        self._action = action
        self._retries = retries or Retries()
        self._client: httpx.AsyncClient
        self._netrc: httpx.NetRCAuth | None = None

    async def __aenter__(self) -> Self:
        self._netrc = _logins(self._action)
        self._client = httpx.AsyncClient(
            headers=HEADERS,
            timeout=httpx.Timeout(30.0, connect=10.0),
            verify=certificates(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def size(self, location: Location) -> int | None:
        # GET and not HEAD: signed URLs and some stores refuse HEAD. The body is not read.
        for attempt in range(self._retries.tries):
            try:
                async with self._answer(location) as response:
                    return _length(response)
            except TryAgain as failure:
                await self._wait(location, failure, attempt)
        raise AssertionError("the last try raises")

    async def read(self, location: Location, sink: Sink, *, limit: int) -> None:
        for attempt in range(self._retries.tries):
            try:
                async with self._answer(location) as response:
                    await self._copy(location, response, sink, limit)
                    return
            except TryAgain as failure:
                await self._wait(location, failure, attempt)

    async def entries(self, _location: Location, _folder: str, /) -> list[Entry] | None:
        return None  # HTTP has no listing that everybody agrees on

    async def holds(self, _location: Location, _path: str, /) -> bool:
        return False

    async def _copy(self, location: Location, response: httpx.Response, sink: Sink, limit: int) -> None:
        too_large = ArtifactRefused(
            location.shown, self._action, f"the file has more than {limit} bytes", left="Nothing was changed"
        )
        if (_length(response) or 0) > limit:
            raise too_large
        await sink.begin()
        total = 0
        async for data in response.aiter_raw(MEBIBYTE):
            total += len(data)
            if total > limit:
                raise too_large
            await sink.write(data)

    async def _wait(self, location: Location, failure: TryAgain, attempt: int) -> None:
        if attempt + 1 >= self._retries.tries:
            raise Unreachable(
                location.shown,
                self._action,
                f"{failure.problem} ({self._retries.tries} tries)",
                left="Nothing was changed",
                advice="Try again when the server is well",
            )
        await asyncio.sleep(self._retries.pause(attempt, failure.after))

    @asynccontextmanager
    async def _answer(self, location: Location) -> AsyncIterator[httpx.Response]:
        """The answer 200 after redirects; every other one becomes an error. Errors in the body are ours too."""
        try:
            response = await self._follow(location)
            try:
                self._judge(location, response)
                yield response
            finally:
                await response.aclose()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
            raise self._sorry(location, "the server sent us on to a URL that can't be fetched") from None
        except httpx.TransportError as error:
            if untrusted := certificate_fault(error):
                raise Unreachable(
                    location.shown,
                    self._action,
                    f"the server's certificate is not trusted: {untrusted}",
                    left="Nothing was changed",
                    advice="Set SSL_CERT_FILE if a certificate authority of your own has signed it",
                ) from None
            raise TryAgain(in_words(error)) from None

    async def _follow(self, location: Location) -> httpx.Response:
        request = self._client.build_request("GET", location.text)
        # The login goes to the host that was asked for; httpx drops it where a redirect leads to another one.
        auth: httpx.Auth | None = self._netrc
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._client.send(request, stream=True, auth=auth)
            if response.next_request is None:
                return response
            following = response.next_request
            await response.aclose()
            if request.url.scheme == "https" and following.url.scheme != "https":
                raise self._sorry(location, "the server sent us from https on to a place without encryption")
            request, auth = following, None
        raise self._sorry(location, f"more than {MAX_REDIRECTS} redirects")

    def _judge(self, location: Location, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 203):
            return
        if status in (404, 410):
            raise ArtifactMissing(
                location.shown,
                self._action,
                f"the server has no such file (HTTP {status})",
                left="Nothing was changed",
                advice="Look whether the version is spelled right and its build has ended",
            )
        if status in (401, 403):
            raise NotPermitted(
                location.shown,
                self._action,
                f"the server refused (HTTP {status})",
                left="Nothing was changed",
                advice=f"{NETRC_ADVICE} if it lacks; some stores also answer so for a version that does not exist",
            )
        if status in (408, 425, 429) or status >= 500:
            raise TryAgain(f"HTTP {status}", retry_after(response))
        raise self._sorry(location, f"HTTP {status}")

    def _sorry(self, location: Location, problem: str) -> BackendError:
        return BackendError(location.shown, self._action, problem, left="Nothing was changed")


def _logins(action: str) -> httpx.NetRCAuth | None:
    path = os.environ.get("NETRC")
    try:
        return httpx.NetRCAuth(path)
    except FileNotFoundError:
        return None
    except netrc.NetrcParseError as error:
        problem = f"{path or '~/.netrc'} can't be used (line {error.lineno})"  # its message may hold a password
    except (OSError, UnicodeDecodeError):
        problem = f"{path or '~/.netrc'} can't be read"
    advice = "Check what is in it, that it is yours, and that only you can read it (chmod 600)"
    raise BackendError(THIS_MACHINE, action, problem, left="Nothing was changed", advice=advice)


def _length(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None
