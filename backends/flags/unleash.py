"""A flag of an Unleash server, through its admin API: the rollout of its strategy `flexibleRollout` in one environment, and whether the
flag is on there.

The token goes to the server alone, never after a redirect, and over plain HTTP only to this machine.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote

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
from quarterdeck.backends.errors import BackendError, FlagRefused, NotPermitted, NotReadBack, Unreachable
from quarterdeck.backends.flags.contract import UNCHANGED, UNKNOWN, UNREAD, FlagChanged, FlagState
from quarterdeck.backends.secrets.masking import Masker
from quarterdeck.backends.secrets.resolving import resolve_secrets
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.flags import UnleashFlag
from quarterdeck.config.web_servers import is_loopback

_KIND: Final = "flexibleRollout"
_EVERYBODY: Final = "default"  # the strategy by which everybody gets it
_MAY_PASS: Final = frozenset({429, 502, 503, 504})
_RETRIES: Final = Retries(first=0.5, most=4.0)
_MOST: Final = 1024 * 1024  # bytes of an answer
_SHOWN: Final = 300  # characters of what the server said


class _Strategy(msgspec.Struct):
    name: str
    id: str = ""
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)
    constraints: Sequence[Any] | None = None
    segments: Sequence[Any] | None = None
    disabled: bool | None = None

    @property
    def for_all(self) -> bool:
        return not self.constraints and not self.segments


class _Environment(msgspec.Struct):
    """A flag in an environment, as the server tells it."""

    enabled: bool
    strategies: Sequence[_Strategy] = ()

    @property
    def rollout(self) -> _Strategy | None:
        """The one whose share is the flag's; None: none, or several."""
        found = [one for one in self.strategies if one.name == _KIND and not one.disabled]
        plain = [one for one in found if one.for_all]
        candidates = plain or found
        return candidates[0] if len(candidates) == 1 else None

    @property
    def state(self) -> FlagState:
        active = [one for one in self.strategies if not one.disabled]
        plain = [one for one in active if one.name == _KIND and one.for_all]
        problems = []
        if any(one.name == _EVERYBODY and one.for_all for one in active):
            problems.append(f"it has a strategy `{_EVERYBODY}` besides, by which everybody gets it")
        if self.rollout is None and any(one.name == _KIND for one in self.strategies):
            problems.append(f"it has {len(plain) or 'no'} strategies `{_KIND}` that are enabled, and one is its share")
        text = str(self.rollout.parameters.get("rollout", "")) if self.rollout is not None else "0"
        try:
            percent = float(text)
        except ValueError:
            percent = 100.0
            problems.append(f"its rollout is {clean(text)[:40]!r}, no percentage")
        if problems:
            percent = 100.0
        return FlagState(percent, self.enabled, tuple(problems))


class UnleashConnection:
    """``base``: where relative paths of secrets start from, and their commands."""

    def __init__(self, flag: UnleashFlag, base: Path) -> None:
        self._flag = flag
        self._base = base

    @property
    def name(self) -> str:
        """Without a login that somebody wrote into the URL."""
        try:
            url = httpx.URL(self._flag.url)
        except httpx.InvalidURL:
            return f"flag {self._flag.name}"
        return f"flag {self._flag.name} at {url.scheme}://{url.netloc.decode('ascii')}"

    async def read(self, *, deadline: float | None = None) -> FlagState:
        async with self._asking("read the flag", deadline) as ask:
            return (await ask.environment()).state

    async def set(
        self, percent: float, *, enabled: bool = True, force: bool = False, deadline: float | None = None
    ) -> FlagChanged:
        wanted = FlagState(percent, enabled)
        return await self._set(wanted, f"set the flag to {wanted.words}", deadline, force=force)

    async def lower(self, percent: float, *, enabled: bool = True, deadline: float | None = None) -> FlagChanged:
        wanted = FlagState(percent, enabled)
        action = f"set the flag back to {wanted.words}"
        return await self._set(wanted, action, deadline, force=True, down=True)

    async def _set(
        self, wanted: FlagState, action: str, deadline: float | None, *, force: bool, down: bool = False
    ) -> FlagChanged:
        """``down``: never up."""
        begun = time.monotonic()
        percent, enabled = wanted.percent, wanted.enabled
        unread = UNREAD.format(percent=wanted.reaches) if down else ""
        async with self._asking(action, deadline, unread) as ask:
            now = await ask.environment()
            before = now.state
            low = down and not before.problems and before.reaches <= wanted.reaches
            if low or before.is_at(percent, enabled=enabled):
                return FlagChanged(before, before, True, time.monotonic() - begun)
            if before.problems and not force:
                ask.refuse("; ".join(before.problems), "see docs/flags.md")
            if before.problems:
                await ask.switch(on=False)  # nobody can say how many would get it
                return FlagChanged(before, (await ask.environment()).state, False, time.monotonic() - begun)
            if not enabled and now.enabled:
                await ask.switch(on=False)
            await ask.rollout(now.rollout, f"{percent:g}")
            if enabled and not now.enabled:
                await ask.switch(on=True)
            after = (await ask.environment()).state
            ask.check(after, after.is_at(percent, enabled=enabled))
        return FlagChanged(before, after, False, time.monotonic() - begun)

    async def off(self, *, deadline: float | None = None) -> FlagChanged:
        """In that environment as a whole, whatever its strategies say."""
        begun = time.monotonic()
        async with self._asking("switch the flag off", deadline) as ask:
            before = (await ask.environment()).state
            if not before.enabled:
                return FlagChanged(before, before, True, time.monotonic() - begun)
            await ask.switch(on=False)
            after = (await ask.environment()).state
            ask.check(after, not after.enabled)
        return FlagChanged(before, after, False, time.monotonic() - begun)

    @asynccontextmanager
    async def _asking(self, action: str, deadline: float | None, unread: str = "") -> "AsyncIterator[_Asking]":
        """``unread``: what is told of the flag where it could not even be read."""
        seconds = self._flag.timeout if deadline is None else deadline
        until = time.monotonic() + seconds
        asking: _Asking | None = None
        try:
            async with asyncio.timeout(seconds):
                url, token = self._place(action), await self._token(action, seconds)
                local = is_loopback(url.netloc.decode("ascii"))
                trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                if url.scheme == "https":
                    trusted = await asyncio.to_thread(certificates)
                async with httpx.AsyncClient(
                    timeout=httpx.Timeout(None), verify=trusted, trust_env=not local
                ) as client:
                    asking = _Asking(self._flag, self.name, action, client, url, token, until)
                    yield asking
        except TimeoutError:
            changing = asking is not None and asking.changing
            left = UNKNOWN if changing else (unread if not (asking and asking.read) else "") or UNCHANGED
            error = Unreachable(self.name, action, f"no answer within {seconds:g} s", left=left)
            error.untouched = not changing
            raise error from None
        except BackendError as error:
            error.untouched = asking is None or not asking.changing
            if unread and not (asking and asking.read):
                error.left = unread
            raise

    def _place(self, action: str) -> httpx.URL:
        try:
            url = httpx.URL(self._flag.url.rstrip("/"))
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            why = "its url is not one of http:// or https:// without a login"
            raise FlagRefused(self.name, action, why, left=UNCHANGED, advice="write it as https://unleash.example.com")
        if url.scheme == "http" and not is_loopback(url.netloc.decode("ascii")):
            why = "its token would go over the network without encryption"
            raise FlagRefused(self.name, action, why, left=UNCHANGED, advice="use https")
        return url

    async def _token(self, action: str, deadline: float) -> str:
        """Raises ``SecretUnavailable``."""
        found = await resolve_secrets({"token": self._flag.token}, base=self._base, deadline=deadline)
        token = found.values["token"]
        if not token.isprintable() or not token.isascii():
            why = "its token has characters that no header can hold"
            raise FlagRefused(self.name, action, why, left=UNCHANGED)
        return token


class _Asking:
    """One call's questions. ``read``: the flag was read. ``changing``: something that changes it was sent."""

    def __init__(
        self,
        flag: UnleashFlag,
        name: str,
        action: str,
        client: httpx.AsyncClient,
        url: httpx.URL,
        token: str,
        until: float,
    ) -> None:
        self._flag = flag
        self._name = name
        self._action = action
        self._client = client
        self._token = token
        self._until = until
        parts = (flag.project, "features", flag.flag, "environments", flag.environment)
        self._place = f"{url}/api/admin/projects/{'/'.join(quote(part, safe='') for part in parts)}"
        self.read = False
        self.changing = False

    async def environment(self) -> _Environment:
        body = await self._ask("GET", "")
        try:
            found = msgspec.json.decode(body, type=_Environment)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.refuse("its answer is none of Unleash", "check the flag's url")
        self.read = True
        return found

    async def rollout(self, strategy: _Strategy | None, percent: str) -> None:
        """One without a strategy gets one, which is not sent twice: two of them would be two shares."""
        if strategy is None:
            parameters = {"rollout": percent, "stickiness": self._flag.stickiness, "groupId": self._flag.flag}
            body: Any = {"name": _KIND, "parameters": parameters, "constraints": []}
            await self._ask("POST", "/strategies", body, again=False)
        elif str(strategy.parameters.get("rollout")) != percent:
            patch = [{"op": "replace", "path": "/parameters/rollout", "value": percent}]
            await self._ask("PATCH", f"/strategies/{quote(strategy.id, safe='')}", patch)

    async def switch(self, *, on: bool) -> None:
        await self._ask("POST", "/on" if on else "/off", {})

    def check(self, after: FlagState, holds: bool) -> None:
        if not holds:
            why = "; ".join([f"the server took it, and says {after.words} now", *after.problems])
            raise NotReadBack(self._name, self._action, why, advice="does something else change that flag?")

    def refuse(self, problem: str, advice: str = "") -> NoReturn:
        raise FlagRefused(self._name, self._action, problem, left=self._left, advice=advice)

    @property
    def _left(self) -> str:
        return UNKNOWN if self.changing else UNCHANGED

    async def _ask(self, method: str, path: str, body: Any = None, *, again: bool = True) -> bytes:
        """The body of an answer that says yes; asked again, while there is time, where a failure may pass."""
        attempt = 0
        while True:
            changing, self.changing = self.changing, self.changing or method != "GET"
            after: float | None = None
            try:
                status, answer, after = await self._send(method, path, body)
            except httpx.TransportError as error:
                if untrusted := certificate_fault(error):
                    advice = "Set SSL_CERT_FILE if a certificate authority of your own has signed it"
                    self.refuse(f"the server's certificate is not trusted: {untrusted}", advice)
                problem: BackendError = Unreachable(self._name, self._action, in_words(error), left=self._left)
            else:
                if 200 <= status < 300:
                    return answer
                if status < 500:
                    self.changing = changing  # it was refused
                problem = self._refusal(status, answer)
                if status not in _MAY_PASS:
                    raise problem
            pause = _RETRIES.pause(attempt, after)
            attempt += 1
            if not again or attempt >= _RETRIES.tries or time.monotonic() + pause >= self._until:
                raise problem
            await asyncio.sleep(pause)

    async def _send(self, method: str, path: str, body: Any) -> tuple[int, bytes, float | None]:
        headers = {**HEADERS, "Accept": "application/json", "Authorization": self._token}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body)
        async with self._client.stream(method, self._place + path, content=content, headers=headers) as response:
            answer = bytearray()
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > _MOST:
                    self.refuse(f"its answer has more than {_MOST} bytes")
            return response.status_code, bytes(answer), retry_after(response)

    def _refusal(self, status: int, body: bytes) -> BackendError:
        said = self._said(body)
        told = f"HTTP {status}" + (f", {said}" if said else "")
        flag = self._flag
        match status:
            case 401:
                advice = "check the flag's token in the fleet file: it has to be one of the admin API"
                return NotPermitted(self._name, self._action, told, left=self._left, advice=advice)
            case 403:
                advice = (
                    "its token may not do that: a client's token can't, and where an environment wants change requests, "
                    "somebody has to let this one pass them by"
                )
                return NotPermitted(self._name, self._action, told, left=self._left, advice=advice)
            case 404:
                advice = f"is {flag.flag} a flag of the project {flag.project}, and {flag.environment} one of its environments?"
                return FlagRefused(self._name, self._action, told, left=self._left, advice=advice)
            case 429:
                return FlagRefused(self._name, self._action, f"{told}: too many requests", left=self._left)
        redirected = ", which leads elsewhere: check the flag's url" if 300 <= status < 400 else ""
        return FlagRefused(self._name, self._action, told + redirected, left=self._left)

    def _said(self, body: bytes) -> str:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        message = answer.get("message") if isinstance(answer, dict) else None
        text = Masker([self._token]).mask(str(message)) if message else ""
        return clean(text).replace("\n", " ").strip()[:_SHOWN].rstrip(".")
