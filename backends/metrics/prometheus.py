"""Prometheus, and what speaks its HTTP API (Thanos, Mimir, VictoriaMetrics), as a source: an instant query for each release.

No time is sent along: the server's own clock says what "now" is, so that a wall clock here that is wrong changes no measurement. A login
goes to the server alone, never after a redirect, and over plain HTTP only to this machine.
"""

import asyncio
import base64
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

import httpx
import msgspec

from quarterdeck.backends.artifacts.http_tries import HEADERS, certificate_fault, certificates, in_words
from quarterdeck.backends.errors import NotPermitted, SourceFailed, SourceTimedOut
from quarterdeck.backends.metrics.asking import LEFT, MEASURE, side_by_side, written_for
from quarterdeck.backends.metrics.contract import Measurement, Subject
from quarterdeck.backends.secrets.resolving import resolve_secrets
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.analyses import PrometheusMetric
from quarterdeck.config.model import SecretReference
from quarterdeck.config.web_servers import is_loopback

_MOST: Final = 4 * 1024 * 1024  # bytes of an answer
_SHOWN: Final = 300  # characters of what the server said
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/@+\[\]-]*")  # what means itself in any string of PromQL


class _Series(msgspec.Struct):
    value: tuple[float, str] | None = None
    histogram: Any = None


class _Data(msgspec.Struct):
    resultType: str  # noqa: N815 - Prometheus' own name
    result: msgspec.Raw = msgspec.Raw(b"null")


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    errorType: str = ""  # noqa: N815 - likewise
    error: str = ""
    warnings: list[str] | None = None


class PrometheusSource:
    """``base``: where relative paths of secrets start from, and their commands."""

    def __init__(self, metric: PrometheusMetric, base: Path) -> None:
        self._metric = metric
        self._base = base
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._login: str | None = None
        try:
            self._url: httpx.URL | None = httpx.URL(metric.url.rstrip("/") + "/api/v1/query")
        except httpx.InvalidURL:
            self._url = None

    @property
    def name(self) -> str:
        """Without a login that somebody wrote into the URL, and without its query."""
        if self._url is None or not self._url.host:
            return "prometheus"
        return f"prometheus {self._url.scheme}://{self._url.netloc.decode('ascii')}{self._path}"

    @property
    def _path(self) -> str:
        return "" if self._url is None else self._url.path.removesuffix("/api/v1/query")

    async def measure(self, subjects: Sequence[Subject], *, deadline: float) -> tuple[Measurement, ...]:
        """Without series there is no number; several series are several numbers. Raises ``NotPermitted`` besides ``SourceFailed``, and
        ``SecretUnavailable``."""
        return await side_by_side(self.name, subjects, lambda one: self._one(one, deadline), deadline=deadline)

    async def _one(self, subject: Subject, deadline: float) -> Measurement:
        started = time.monotonic()
        query = written_for(self.name, self._metric.query, subject, self._written)
        status, body = await self._ask({"query": query, "timeout": f"{max(1, round(deadline * 1000))}ms"}, deadline)
        values, detail = self._read(status, body)
        return Measurement(
            value=values[0] if len(values) == 1 else None,
            values=values,
            detail=detail,
            seconds=time.monotonic() - started,
        )

    def _written(self, value: str) -> str:
        if not _PLAIN.fullmatch(value):
            self._fail(f"{value!r} can't be put into a query: it has characters that mean something there")
        return value

    async def _ask(self, form: Mapping[str, str], deadline: float) -> tuple[int, bytes]:
        url = self._checked()
        login = await self._authorization(deadline)
        status, body = await self._send(url, form, login)
        if status == 401 and login is not None:
            # It may have been renewed where it is kept.
            self._login = None
            renewed = await self._authorization(deadline)
            if renewed != login:
                status, body = await self._send(url, form, renewed)
        if status in (401, 403):
            raise NotPermitted(
                self.name,
                MEASURE,
                f"the server refused (HTTP {status})",
                left=LEFT,
                advice="Check the metric's token or password in the fleet file"
                if login
                else "Give the metric a token or a password",
            )
        return status, body

    def _checked(self) -> httpx.URL:
        url, metric = self._url, self._metric
        if url is None or url.scheme not in ("http", "https") or not url.host or url.userinfo:
            self._fail(
                "its url is not one of http:// or https:// without a login", "Write it as http://prometheus:9090"
            )
        secret = metric.token is not None or metric.password is not None
        if secret and url.scheme == "http" and not is_loopback(url.netloc.decode("ascii")):
            self._fail("its login would go over the network without encryption", "Use https, or no login")
        return url

    async def _authorization(self, deadline: float) -> str | None:
        """The header's value. Raises ``SecretUnavailable``."""
        if self._login is None:
            metric = self._metric
            if metric.token is not None:
                self._login = f"Bearer {await self._secret('token', metric.token, deadline)}"
            elif metric.password is not None:
                password = await self._secret("password", metric.password, deadline)
                self._login = "Basic " + base64.b64encode(f"{metric.username}:{password}".encode()).decode()
        return self._login

    async def _secret(self, name: str, reference: SecretReference, deadline: float) -> str:
        found = await resolve_secrets({name: reference}, base=self._base, deadline=deadline)
        value = found.values[name]
        if not value.isprintable() or not value.isascii():
            self._fail(f"its {name} has characters that no header can hold")
        return value

    async def _send(self, url: httpx.URL, form: Mapping[str, str], login: str | None) -> tuple[int, bytes]:
        headers = {**HEADERS, "Accept": "application/json"}
        if login is not None:
            headers["Authorization"] = login
        client = await self._opened(url)
        try:
            async with client.stream("POST", url, data=dict(form), headers=headers) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > _MOST:
                        self._fail(
                            f"its answer has more than {_MOST} bytes", "Ask for fewer series, with sum(…) or a label"
                        )
                return response.status_code, bytes(body)
        except httpx.TimeoutException:
            raise SourceTimedOut(self.name, MEASURE, "the server does not answer in time", left=LEFT) from None
        except (httpx.TransportError, ssl.SSLError) as error:
            if untrusted := certificate_fault(error):
                advice = "Set SSL_CERT_FILE if a certificate authority of your own has signed it"
                self._fail(f"the server's certificate is not trusted: {untrusted}", advice)
            self._fail(in_words(error) if isinstance(error, httpx.TransportError) else "TLS was broken off")
        except httpx.DecodingError:
            self._fail("its answer can't be unpacked")

    async def _opened(self, url: httpx.URL) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                local = is_loopback(url.netloc.decode("ascii"))
                # Without TLS one that trusts nobody: reading the files takes time.
                trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                if url.scheme == "https":
                    trusted = await asyncio.to_thread(certificates)
                self._client = httpx.AsyncClient(timeout=httpx.Timeout(None), verify=trusted, trust_env=not local)
        return self._client

    def _read(self, status: int, body: bytes) -> tuple[tuple[float, ...], str]:
        """The numbers, and what there is to tell of them."""
        try:
            answer = msgspec.json.decode(body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            redirected = ", which leads elsewhere" if 300 <= status < 400 else ""
            self._fail(f"its answer is none of Prometheus (HTTP {status}{redirected})", "Check the metric's url")
        if answer.status != "success" or answer.data is None or status != 200:
            said = _line(answer.error) or "no reason given"
            wrong = answer.errorType == "bad_data"
            self._fail(f"HTTP {status}, {said}", "Check the metric's query" if wrong else "")
        values = self._values(answer.data)
        count = len(values)
        detail = "no series" if not count else "" if count == 1 else f"{count} series"
        warned = [f"the server warns: {_line(one)}" for one in (answer.warnings or [])[:3]]
        return values, "; ".join([*([detail] if detail else []), *warned])

    def _values(self, data: _Data) -> tuple[float, ...]:
        try:
            if data.resultType == "scalar":
                return (float(msgspec.json.decode(data.result, type=tuple[float, str])[1]),)
            if data.resultType == "vector":
                series = msgspec.json.decode(data.result, type=list[_Series])
                if any(one.value is None for one in series):
                    self._fail("the query gives histograms", "Make a number of them: histogram_quantile(0.95, …)")
                return tuple(float(one.value[1]) for one in series if one.value is not None)
        except (msgspec.DecodeError, ValueError):
            self._fail("its numbers can't be read")
        return self._fail(
            f"the query gives a {data.resultType[:20]}, no numbers of one moment", "Check the metric's query"
        )

    def _fail(self, problem: str, advice: str = "") -> NoReturn:
        raise SourceFailed(self.name, MEASURE, problem, left=LEFT, advice=advice)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _line(text: str) -> str:
    return clean(text).replace("\n", " ").strip()[:_SHOWN]
