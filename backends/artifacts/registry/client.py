"""Questions to one repository of one registry: where they go, who is told the login, what is tried again. Only GET and HEAD.

A login goes to the registry and to the token server that it names; never along with a redirect to another host, and over plain
HTTP only to this machine itself.
"""

import asyncio
import re
import ssl
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Self

import httpx
import msgspec

from quarterdeck.backends.artifacts.http_tries import (
    HEADERS,
    MAX_REDIRECTS,
    Retries,
    TryAgain,
    certificate_fault,
    in_words,
    retry_after,
)
from quarterdeck.backends.artifacts.registry import trust
from quarterdeck.backends.artifacts.registry.authorizing import (
    AskForToken,
    CannotAuthorize,
    Ready,
    next_step,
    read_token,
)
from quarterdeck.backends.artifacts.registry.challenges import TOKENS
from quarterdeck.backends.artifacts.registry.docker_config import Login, stamp
from quarterdeck.backends.artifacts.registry.logins import NO_LOGINS, login_for
from quarterdeck.backends.artifacts.registry.reference import Repository
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError, NotPermitted, Unreachable
from quarterdeck.config.registries import RegistryLogins
from quarterdeck.config.web_servers import is_loopback

_LEFT = "Nothing was changed"
_MAX_TOKEN_BYTES = 1024 * 1024
_NOT_LOGGED_IN = object()


class Answer(msgspec.Struct, frozen=True):
    """Of 200, or of a status that was ``also`` wanted. ``url`` is where it was asked, before redirects."""

    status: int
    url: httpx.URL
    headers: httpx.Headers
    content: bytes

    @property
    def next_page(self) -> str:
        """Of the Link header (RFC 8288), as an absolute URL; empty: this is the last page."""
        for link in httpx.Response(200, headers={"Link": self.headers.get("Link", "")}).links.values():
            if link.get("rel") == "next" and link.get("url"):
                try:
                    return str(self.url.join(link["url"]))
                except httpx.InvalidURL:
                    return ""
        return ""


class _Errors(msgspec.Struct):
    class One(msgspec.Struct):
        code: str = ""

    errors: list[One] = []


class Registry:
    """``until`` is the event loop's time at which whoever asks gives up: no pause goes beyond it."""

    def __init__(
        self,
        repository: Repository,
        action: str,
        *,
        until: float,
        retries: Retries | None = None,
        logins: RegistryLogins = NO_LOGINS,
    ) -> None:
        self.repository = repository
        self._logins = logins
        self._written = logins.find(str(repository))
        self.action = action
        self._until = until
        self._retries = retries or Retries()
        self._local = is_loopback(repository.authority)
        # As Docker: what listens on this machine needs no TLS, unless somebody has set it up.
        plain = self._local and not trust.has_certificates(repository.authority)
        self._scheme = "http" if plain else "https"
        self._scope = f"repository:{repository.path}:pull"
        self._key: tuple[object, ...] = ()
        self._header: str | None = None
        self._login: Login | object | None = _NOT_LOGGED_IN
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        stamped = await asyncio.to_thread(stamp)
        self._key = (self.repository.authority, self._scope, stamped, self._written)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        limit: int,
        accept: str = "*/*",
        also: tuple[int, ...] = (),
        tries: int | None = None,
    ) -> Answer:
        """``path`` is below /v2/<repository>/, or a URL of the registry. ``limit`` is bytes of the answer.

        Raises ``ArtifactMissing`` (404), ``NotPermitted``, ``Unreachable`` (after all tries), ``ArtifactRefused`` (above the limit),
        ``BackendError`` (another status).
        """
        tries = tries or self._retries.tries
        for attempt in range(tries):
            try:
                return await self._once(method, path, accept, limit, also)
            except TryAgain as failure:
                await self._wait(failure, attempt, tries)
        raise AssertionError("the last try raises")

    async def _once(self, method: str, path: str, accept: str, limit: int, also: tuple[int, ...]) -> Answer:
        url, response = await self._send(method, path, accept, self._authorization())
        try:
            if response.status_code == 401 and _origin(response.url) == _origin(url):
                header = await self._authorize(response)
                if header is not None:
                    await response.aclose()
                    url, response = await self._send(method, path, accept, header)
            if response.status_code == 200 or response.status_code in also:
                content = await self._content(response, limit)
                return Answer(response.status_code, url, response.headers, content)
            raise await self._judged(response)
        except httpx.TransportError as error:
            raise TryAgain(in_words(error)) from None
        finally:
            await response.aclose()

    def _authorization(self) -> str | None:
        if self._header is None and (token := TOKENS.find(self._key)) is not None:
            return f"Bearer {token}"
        return self._header

    async def _authorize(self, response: httpx.Response) -> str | None:
        """What the registry wants to see instead; None: a login is needed, and there is none."""
        if self._login is _NOT_LOGGED_IN:
            self._login = await login_for(self.repository, self.action, self._logins)
        login = self._login if isinstance(self._login, Login) else None
        try:
            step = next_step(response.headers.get_list("WWW-Authenticate"), self._scope, login, plain=self._local)
            if isinstance(step, AskForToken):
                token = read_token(await self._token(step))
                TOKENS.keep(self._key, token)
                return f"Bearer {token.value}"
        except CannotAuthorize as problem:
            raise self._refused(str(problem)) from None
        if isinstance(step, Ready):
            self._header = step.header
            return step.header
        return None

    async def _token(self, step: AskForToken) -> bytes:
        request = httpx.Request(step.method, step.url, headers={**HEADERS, **step.headers}, data=step.form)
        response = await self._following(request)
        try:
            status = response.status_code
            if status == 200:
                return await self._content(response, _MAX_TOKEN_BYTES)
            if _may_pass(status):
                raise TryAgain(f"HTTP {status} of the token server {step.url.host}", retry_after(response))
            raise self._refused(f"the token server {step.url.host} refused (HTTP {status})")
        except httpx.TransportError as error:
            raise TryAgain(f"the token server {step.url.host}: {in_words(error)}") from None
        finally:
            await response.aclose()

    async def _send(
        self, method: str, path: str, accept: str, authorization: str | None
    ) -> tuple[httpx.URL, httpx.Response]:
        url = self._url(path)
        headers = {**HEADERS, "Accept": accept}
        if authorization is not None:
            headers["Authorization"] = authorization
        response = await self._following(httpx.Request(method, url, headers=headers))
        # So a TLS server answers who speaks no TLS to it; a registry that means its 400 says that it is one.
        not_a_registry = response.status_code == 400 and "Docker-Distribution-Api-Version" not in response.headers
        if not_a_registry and self._scheme == "http" and _origin(response.url) == _origin(url):
            await response.aclose()
            self._scheme = "https"
            return await self._send(method, path, accept, authorization)
        return url, response

    def _url(self, path: str) -> httpx.URL:
        base = httpx.URL(f"{self._scheme}://{self.repository.authority}/v2/{self.repository.path}/")
        try:
            url = base.join(path)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if _origin(url) != _origin(base):
            raise self._sorry("the registry sent us on to another host for more of the same list")
        return url

    async def _following(self, request: httpx.Request) -> httpx.Response:
        """The answer after redirects, its body unread. A login is left behind where a redirect leads to another host."""
        for _ in range(MAX_REDIRECTS + 1):
            where = request.url.host
            try:
                client = await self._client(request.url)
                response = await client.send(request, stream=True)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError):
                raise self._sorry("the registry sent us on to a URL that can't be fetched") from None
            except httpx.TransportError as error:
                named = "" if where == httpx.URL(f"https://{self.repository.authority}").host else f"{where}: "
                if untrusted := certificate_fault(error):
                    raise self._untrusted(f"{named}{untrusted}", request.url.netloc.decode("ascii")) from None
                raise TryAgain(named + in_words(error)) from None
            except (
                ssl.SSLError
            ) as error:  # after the handshake it comes as it is: TLS 1.3 judges a client's certificate then
                raise self._broken_off(error, request.url.netloc.decode("ascii")) from None
            if response.next_request is None:
                return response
            following = response.next_request
            await response.aclose()
            if following.url.scheme == "http" and not (
                request.url.scheme == "http" and is_loopback(following.url.netloc.decode("ascii"))
            ):
                raise self._sorry("the registry sent us on to a place without encryption")
            # httpx leaves Authorization behind where a redirect leads to another host, and takes a posted form along.
            if following.method not in ("GET", "HEAD") and _origin(following.url) != _origin(request.url):
                raise self._sorry("the token server sent us on to another host: no login is sent there")
            request = following
        raise self._sorry(f"more than {MAX_REDIRECTS} redirects")

    async def _client(self, url: httpx.URL) -> httpx.AsyncClient:
        authority = url.netloc.decode("ascii")
        key = f"{url.scheme}://{authority}"
        if (client := self._clients.get(key)) is None:
            if url.scheme == "http":
                context = ssl.SSLContext(
                    ssl.PROTOCOL_TLS_CLIENT
                )  # trusts nobody, and takes none of the time that files take
            else:
                registry = self.repository.authority
                context = await asyncio.to_thread(trust.tls_context, registry, authority, self.action)
            client = httpx.AsyncClient(
                timeout=httpx.Timeout(30.0, connect=10.0),
                verify=context,
                trust_env=not is_loopback(authority),  # what is on this machine is not asked for through a proxy
            )
            self._clients[key] = await self._stack.enter_async_context(client)
        return client

    async def _content(self, response: httpx.Response, limit: int) -> bytes:
        data = bytearray()
        try:
            async for piece in response.aiter_bytes():
                data += piece
                if len(data) > limit:
                    raise ArtifactRefused(
                        str(self.repository), self.action, f"the answer has more than {limit} bytes", left=_LEFT
                    )
        except httpx.DecodingError:
            raise self._sorry("the answer can't be unpacked") from None
        except ssl.SSLError:
            raise TryAgain("the connection broke before the end of the answer") from None
        return bytes(data)

    async def _judged(self, response: httpx.Response) -> Exception:
        status = response.status_code
        said = await self._code(response)
        if _may_pass(status):
            return TryAgain(said, retry_after(response))
        if status in (401, 403, 404):
            TOKENS.forget(self._key)  # the next try is made with a login that may be there by then
        if status in (401, 403):
            return self._refused(f"the registry refused ({said})")
        if status == 404:
            advice = "Look whether the image is spelled right and its build has ended"
            if self._login is None:
                advice += f"; some registries also answer so to whom they don't know: {self.repository.login_command}"
            return ArtifactMissing(
                str(self.repository), self.action, f"the registry has no such thing ({said})", left=_LEFT, advice=advice
            )
        return self._sorry(said)

    async def _code(self, response: httpx.Response) -> str:
        """The status, with the registry's own code for it: never more of its words, which may repeat what was sent."""
        said = f"HTTP {response.status_code}"
        try:
            errors = msgspec.json.decode(await self._content(response, 65536), type=_Errors).errors
        except (BackendError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, httpx.TransportError):
            errors = []
        code = errors[0].code if errors else ""
        return f"{said}, {code}" if re.fullmatch(r"[A-Z_]{1,60}", code) else said

    async def _wait(self, failure: TryAgain, attempt: int, tries: int) -> None:
        pause = self._retries.pause(attempt, failure.after)
        too_long = asyncio.get_running_loop().time() + pause >= self._until
        if attempt + 1 < tries and not too_long:
            await asyncio.sleep(pause)
            return
        problem = failure.problem
        if attempt + 1 < tries and failure.after is not None:
            problem += f", and it asks for {failure.after:g} s of patience"
        elif attempt:
            problem += f" ({attempt + 1} tries)"
        advice = "Try again when the registry is well"
        if failure.problem.startswith(f"HTTP {HTTPStatus.TOO_MANY_REQUESTS}"):
            advice = "Try again later"
            if self._login is None:
                advice += f"; more is allowed to whom the registry knows: {self.repository.login_command}"
        raise Unreachable(str(self.repository), self.action, problem, left=_LEFT, advice=advice)

    def _refused(self, problem: str) -> NotPermitted:
        command = self.repository.login_command
        if self._written is not None:
            advice = f"The login that the fleet file gives for {self._written[0]} may not read this image, or holds no longer"
        elif isinstance(self._login, Login):
            advice = f"The login that is kept here may not read this image, or holds no longer: {command}"
        elif self._login is None:
            advice = f"No login is kept here: {command}; an image that does not exist is often refused so too"
        else:
            advice = f"Log in as who may read it: {command}"
        return NotPermitted(str(self.repository), self.action, problem, left=_LEFT, advice=advice)

    def _untrusted(self, problem: str, authority: str) -> Unreachable:
        return Unreachable(
            str(self.repository),
            self.action,
            f"the certificate is not trusted: {problem}",
            left=_LEFT,
            advice=f"Put the certificate authority that signed it into {trust.FOLDER / authority}/ca.crt, or set SSL_CERT_FILE",
        )

    def _broken_off(self, error: ssl.SSLError, authority: str) -> Unreachable:
        return Unreachable(
            str(self.repository),
            self.action,
            f"TLS was broken off ({(error.reason or 'no reason given').replace('_', ' ').lower()})",
            left=_LEFT,
            advice=f"If the registry wants a client's certificate: it belongs into {trust.FOLDER / authority}/client.cert, its key "
            "into client.key",
        )

    def _sorry(self, problem: str) -> BackendError:
        return BackendError(str(self.repository), self.action, problem, left=_LEFT)


def _may_pass(status: int) -> bool:
    return status in (408, 425, 429) or status >= 500


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
