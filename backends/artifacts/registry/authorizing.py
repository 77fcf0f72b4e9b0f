"""From a registry's 401 to what it wants to see: the token flow of the Distribution specification, or Basic. Decides what is sent
where; sends nothing itself."""

import base64
import re
from dataclasses import dataclass, field

import httpx
import msgspec

from quarterdeck.backends.artifacts.registry.challenges import Challenge, Token, read_challenges
from quarterdeck.backends.artifacts.registry.docker_config import Login
from quarterdeck.config.web_servers import is_loopback

_CLIENT = "quarterdeck"


class CannotAuthorize(Exception):
    """The message is a part of a sentence and holds no secret."""


@dataclass(frozen=True, slots=True)
class Ready:
    """``header`` is what Authorization has to say."""

    header: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskForToken:
    """A question for a token server, with the login in it."""

    method: str
    url: httpx.URL
    headers: dict[str, str] = field(repr=False)
    form: dict[str, str] | None = field(repr=False, default=None)


class _TokenAnswer(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None


def next_step(
    headers: list[str], scope: str, login: Login | None, *, plain: bool = False
) -> Ready | AskForToken | None:
    """What satisfies the WWW-Authenticate ``headers``; None: a login is needed and there is none. ``plain``: the registry is on this
    machine, and so may its token server be, without encryption. Raises ``CannotAuthorize``."""
    challenges = {challenge.scheme: challenge for challenge in reversed(read_challenges(headers))}
    if bearer := challenges.get("bearer"):
        if login is not None and login.registry_token:
            return Ready(f"Bearer {login.registry_token}")
        return _question(bearer, scope, login, plain)
    if "basic" in challenges:
        if login is None:
            return None
        if not login.username:
            raise CannotAuthorize("it wants a user and a password, and Docker has a token for it")
        return Ready(_basic(login))
    raise CannotAuthorize("it asks for a login of a kind that is neither a token nor a password")


def read_token(content: bytes) -> Token:
    """Raises ``CannotAuthorize``."""
    try:
        answer = msgspec.json.decode(content, type=_TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = _TokenAnswer()
    value = answer.token or answer.access_token
    # What is no token68 would be a header of somebody else's making.
    if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", value):
        raise CannotAuthorize("its token server gave no token")
    seconds = answer.expires_in
    return Token(value, seconds if seconds is None or seconds >= 0 else 0.0)


def _question(challenge: Challenge, scope: str, login: Login | None, plain: bool) -> AskForToken:
    try:
        url = httpx.URL(challenge.parameters.get("realm", ""))
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise CannotAuthorize("it names no token server that can be asked")
    if url.scheme == "http" and not (plain and is_loopback(url.netloc.decode("ascii"))):
        raise CannotAuthorize(f"its token server {url.host} has no encryption: nothing is sent there")
    fields = {"scope": challenge.parameters.get("scope") or scope}
    if service := challenge.parameters.get("service"):
        fields["service"] = service
    if login is not None and login.identity_token:
        form = {
            "grant_type": "refresh_token",
            "client_id": _CLIENT,
            "refresh_token": login.identity_token,
            **fields,
        }
        return AskForToken("POST", url, {}, form)
    headers = {} if login is None else {"Authorization": _basic(login)}
    if login is not None:
        fields["account"] = login.username
    return AskForToken("GET", url.copy_merge_params(fields), headers)


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode("ascii")
