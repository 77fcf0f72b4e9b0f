"""One question to a CI system over HTTP, and its pages: what may pass is asked again while there is time, what is said is bounded, and a
token goes to its own server alone, over plain HTTP only to this machine."""

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import httpx
import msgspec

from quarterdeck.backends.artifacts.http_tries import (
    HEADERS,
    Retries,
    certificate_fault,
    certificates,
    in_words,
    retry_after,
)
from quarterdeck.backends.errors import BackendError, BuildsUnknown, NotPermitted, Unreachable
from quarterdeck.backends.secrets.masking import Masker
from quarterdeck.backends.secrets.resolving import resolve_secrets
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.builds import Builds
from quarterdeck.config.web_servers import is_loopback

S = TypeVar("S")
T = TypeVar("T")
Query = Mapping[str, object]
"""What is not known (None) or empty is left out."""

ACTION: Final = "ask for its builds"
LEFT: Final = "Nothing was changed"
_MAY_PASS: Final = frozenset({429, 500, 502, 503, 504})
_RETRIES: Final = Retries(first=0.5, most=4.0)
_MOST: Final = 8 * 1024 * 1024  # bytes of an answer
_AT_ONCE: Final = 4
_MOVES: Final = 3  # to another address of the same server
_SHOWN: Final = 300  # characters of what the server said


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    headers: Mapping[str, str]  # by small letters
    url: str  # that answered
    next: str = ""  # the page behind it, by the Link header


class Asking:
    """The questions of one call. ``login``: headers that only this server gets."""

    def __init__(
        self,
        name: str,
        builds: Builds,
        base: str,
        client: httpx.AsyncClient,
        login: Mapping[str, str],
        token: str,
        until: float,
    ) -> None:
        self.name = name
        self.builds = builds
        self.base = base
        self._client = client
        self._login = login
        self._masker = Masker([token, *login.values(), *(value.rpartition(" ")[2] for value in login.values())])
        self._until = until
        self.problem: BackendError | None = None  # of the last try, where it may pass

    async def get(self, path: str, kind: type[T], query: Query | None = None, *, missing: str = "") -> tuple[T, Answer]:
        """The answer as ``kind``. ``path``: behind the base, or a whole URL of the same server. ``missing``: what there may be none of."""
        answer = await self.ask(path, query, missing=missing)
        try:
            return msgspec.json.decode(answer.body, type=kind), answer
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.refuse("its answer is none of its documented ones", "Check the project and the url in the fleet file")

    async def maybe(self, path: str, kind: type[T], query: Query | None = None) -> T | None:
        """The same; None where there is no such thing."""
        try:
            return (await self.get(path, kind, query))[0]
        except _Missing:
            return None

    async def ask(self, path: str, query: Query | None = None, *, missing: str = "") -> Answer:
        url = self._url(path, query or {})
        attempt = moves = 0
        while True:
            after: float | None = None
            try:
                answer = await self._send(url)
            except httpx.TransportError as error:
                if untrusted := certificate_fault(error):
                    advice = "Set SSL_CERT_FILE if a certificate authority of your own has signed it"
                    self.refuse(f"the server's certificate is not trusted: {untrusted}", advice)
                problem: BackendError = Unreachable(self.name, ACTION, in_words(error), left=LEFT)
            except httpx.DecodingError:
                self.refuse("its answer can't be unpacked")
            else:
                if 200 <= answer.status < 300:
                    self.problem = None
                    return answer
                if 300 <= answer.status < 400 and moves < _MOVES and (there := self._moved(url, answer)) is not None:
                    url, moves = there, moves + 1
                    continue
                after = _waits_for(answer)
                problem = self._refusal(answer, missing, after)
                if answer.status not in _MAY_PASS and after is None:
                    raise problem
            self.problem = problem
            pause = _RETRIES.pause(attempt, after)
            attempt += 1
            if attempt >= _RETRIES.tries or time.monotonic() + pause >= self._until:
                raise problem
            await asyncio.sleep(pause)

    def refuse(self, problem: str, advice: str = "") -> NoReturn:
        raise BuildsUnknown(self.name, ACTION, problem, left=LEFT, advice=advice)

    def _url(self, path: str, query: Mapping[str, object]) -> httpx.URL:
        try:
            url = httpx.URL(path if "://" in path else self.base + path)
        except httpx.InvalidURL:
            self.refuse("it names a next page that is no URL")
        wanted = {key: str(value) for key, value in query.items() if value not in (None, "")}
        if not self._is_its_own(url):
            self.refuse("it names a next page on another server, which is not asked")
        return url.copy_merge_params(wanted) if wanted else url

    def _is_its_own(self, url: httpx.URL) -> bool:
        own = httpx.URL(self.base)
        return (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port)

    def _moved(self, url: httpx.URL, answer: Answer) -> httpx.URL | None:
        """Where it leads, on the same server: a project that was renamed. None: elsewhere, where no token of this one goes."""
        try:
            there = url.join(answer.headers.get("location", ""))
        except httpx.InvalidURL:
            return None
        return there if answer.headers.get("location") and self._is_its_own(there) else None

    async def _send(self, url: httpx.URL) -> Answer:
        headers = {**HEADERS, "Accept": "application/json", **self._login}
        async with self._client.stream("GET", url, headers=headers) as response:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _MOST:
                    self.refuse(f"its answer has more than {_MOST} bytes")
            found = {name.lower(): value for name, value in response.headers.items()}
            if "retry-after" in found and (seconds := retry_after(response)) is not None:
                found["retry-after"] = str(seconds)
            following = response.links.get("next", {}).get("url", "")
            return Answer(response.status_code, bytes(body), found, str(response.url), following)

    def _refusal(self, answer: Answer, missing: str, after: float | None) -> BackendError:
        said = self._said(answer.body)
        told = f"HTTP {answer.status}" + (f", {said}" if said else "")
        token = self.builds.token
        if after is not None or answer.status == 429:
            when = f": it answers again in {_shown(after)}" if after is not None else ""
            advice = (
                "Wait, or ask less often"
                if token is not None
                else "Give `builds` a token: without one little is answered"
            )
            return BuildsUnknown(self.name, ACTION, f"asked too often ({told}){when}", left=LEFT, advice=advice)
        match answer.status:
            case 401 if token is not None:
                where = f"{token.kind} {token.source}" if token.kind != "command" else "its command"
                why = f"its token is wrong, or has expired ({told})"
                return NotPermitted(self.name, ACTION, why, left=LEFT, advice=f"Renew it where it is kept: {where}")
            case 401:
                why = f"it wants a token ({told})"
                return NotPermitted(
                    self.name, ACTION, why, left=LEFT, advice="Give `builds` a token that may read builds"
                )
            case 403:
                advice = "Give it one that may read builds" if token is not None else "Give `builds` a token"
                return NotPermitted(
                    self.name,
                    ACTION,
                    f"its token may not do that ({told})" if token else told,
                    left=LEFT,
                    advice=advice,
                )
            case 404:
                advice = "Check the project's name" + (
                    ", and whether the token may see it" if token else "; one that is not public wants a token"
                )
                return _Missing(
                    self.name, ACTION, f"there is no such {missing or 'project'} ({told})", left=LEFT, advice=advice
                )
        leads = ", which leads elsewhere: check the url in the fleet file" if 300 <= answer.status < 400 else ""
        return BuildsUnknown(self.name, ACTION, told + leads, left=LEFT)

    def _said(self, body: bytes) -> str:
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        if not isinstance(answer, dict):
            return ""
        message = next((answer[key] for key in ("message", "error_description", "error") if answer.get(key)), "")
        return clean(self._masker.mask(str(message))).replace("\n", " ").strip()[:_SHOWN].rstrip(".")


class _Missing(BuildsUnknown):
    """HTTP 404."""


def _waits_for(answer: Answer) -> float | None:
    """Seconds until it answers again, where it says that it was asked too often: Retry-After, and GitHub's and GitLab's own headers."""
    if answer.status not in (403, 429, 503):
        return None
    headers = answer.headers
    if (asked := _number(headers.get("retry-after"))) is not None:
        return asked
    used_up = headers.get("x-ratelimit-remaining") == "0" or headers.get("ratelimit-remaining") == "0"
    reset = _number(headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset"))
    if answer.status == 503 or not used_up or reset is None:
        return None
    # Of the server's own clock, where it tells that: this one's may be wrong.
    return max(0.0, reset - _server_time(headers))


def _server_time(headers: Mapping[str, str]) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return datetime.now(UTC).timestamp()


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 1e12 else None


def _shown(seconds: float | None) -> str:
    seconds = seconds or 0.0
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


@asynccontextmanager
async def asking(
    builds: Builds, name: str, base: str, directory: Path, scheme: str, *, deadline: float | None
) -> AsyncIterator[Asking]:
    """``scheme``: how the token is sent: "Bearer", "Basic", or the name of the header that it is all of. ``directory``: where relative
    paths of secrets start from. Raises ``SecretUnavailable`` besides what ``Asking`` does."""
    seconds = builds.timeout if deadline is None else deadline
    until = time.monotonic() + seconds
    ask: Asking | None = None
    try:
        async with asyncio.timeout(seconds):
            url = _checked(builds, name, base)
            login, token = await _login(builds, name, directory, scheme, seconds)
            local = is_loopback(url.netloc.decode("ascii"))
            # Without TLS one that trusts nobody: reading the files takes time.
            trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if url.scheme == "https":
                trusted = await asyncio.to_thread(certificates)
            async with httpx.AsyncClient(timeout=httpx.Timeout(None), verify=trusted, trust_env=not local) as client:
                ask = Asking(name, builds, base, client, login, token, until)
                yield ask
    except TimeoutError:
        if ask is not None and ask.problem is not None:
            raise ask.problem from None
        raise Unreachable(name, ACTION, f"no answer within {seconds:g} s", left=LEFT) from None


def _checked(builds: Builds, name: str, base: str) -> httpx.URL:
    try:
        url = httpx.URL(base)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        why = "its url is not one of http:// or https:// without a login"
        raise BuildsUnknown(name, ACTION, why, left=LEFT, advice="Write it as https://ci.example.com")
    if builds.token is not None and url.scheme == "http" and not is_loopback(url.netloc.decode("ascii")):
        why = "its token would go over the network without encryption"
        raise BuildsUnknown(name, ACTION, why, left=LEFT, advice="Use https")
    return url


async def _login(
    builds: Builds, name: str, directory: Path, scheme: str, deadline: float
) -> tuple[dict[str, str], str]:
    """The headers, and the token that is in them."""
    if builds.token is None:
        return {}, ""
    found = await resolve_secrets({"token": builds.token}, base=directory, deadline=deadline)
    token = found.values["token"]
    if not token.isprintable() or not token.isascii():
        why = "its token has characters that no header can hold"
        raise BuildsUnknown(name, ACTION, why, left=LEFT, advice="See what is kept there: a token is one line")
    if scheme == "Bearer":
        return {"Authorization": f"Bearer {token}"}, token
    if scheme == "Basic":
        return {"Authorization": "Basic " + base64.b64encode(f"{builds.username}:{token}".encode()).decode()}, token
    return {scheme: token}, token


async def side_by_side(question: Callable[[S], Coroutine[Any, Any, T]], about: Iterable[S]) -> tuple[T, ...]:
    """The answers about each, a few at a time; the first that fails ends the others."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(item: S) -> T:
        async with limit:
            return await question(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in about]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return tuple(task.result() for task in tasks)


def said(value: Any, most: int = 200) -> str:
    """A word of somebody else's, in one line that can be shown."""
    return clean(str(value or "")).replace("\n", " ").strip()[:most]


def link(value: Any) -> str:
    """A link that a terminal may show: of the web, with nothing hidden in it."""
    text = said(value, 500)
    return (
        text if text.startswith(("https://", "http://")) and not any(character.isspace() for character in text) else ""
    )


def commit(value: Any) -> str:
    """The name of a commit; empty: it is none."""
    text = str(value or "").lower()
    return text if 7 <= len(text) <= 64 and all(character in "0123456789abcdef" for character in text) else ""


def moment(value: Any) -> str | None:
    """ISO 8601 UTC of what systems write: the same with a zone, or milliseconds since 1970."""
    try:
        number = isinstance(value, int | float)
        time = datetime.fromtimestamp(value / 1000, UTC) if number else datetime.fromisoformat(str(value))
        time = (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def between(start: str | None, end: str | None) -> float | None:
    """Seconds of two moments; None: one is not known."""
    if start is None or end is None:
        return None
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
