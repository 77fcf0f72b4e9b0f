"""What every question over HTTP has in common: which failures may pass and how long to wait, whose certificates count, and the
words for what went wrong. Asks nothing itself."""

import os
import random
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from quarterdeck import __version__

HEADERS = {
    # A compressed transfer would not have the bytes that the checksum is of.
    "Accept-Encoding": "identity",
    "User-Agent": f"quarterdeck/{__version__}",
}
MAX_REDIRECTS = 10


class Retries(msgspec.Struct, frozen=True):
    """``first`` and ``most`` are seconds; the pause doubles and is drawn at random below that (full jitter)."""

    tries: int = 4
    first: float = 0.5
    most: float = 20.0
    most_asked_for: float = 300.0  # of what a Retry-After may ask

    def pause(self, attempt: int, asked_for: float | None) -> float:
        if asked_for is not None:
            return min(asked_for, self.most_asked_for)
        return random.uniform(0, min(self.most, self.first * 2**attempt))  # noqa: S311 - jitter, no secret


class TryAgain(Exception):
    """This try failed in a way that may pass."""

    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.after = after


def certificates() -> ssl.SSLContext:
    """The system's authorities, as other tools use; certifi's beside them unless the environment names some."""
    context = ssl.create_default_context()
    if not os.environ.get("SSL_CERT_FILE") and not os.environ.get("SSL_CERT_DIR"):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        time = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return max(0.0, (time - datetime.now(UTC)).total_seconds())


def certificate_fault(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return None


def in_words(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return "no connection in time"
        case httpx.ReadTimeout() | httpx.WriteTimeout():
            return "the server stopped sending"
        case httpx.ProxyError():
            return "the proxy refused"
        case httpx.ConnectError():
            return f"no connection{_why_none(error)}"
        case _:
            return "the connection broke before the end of the answer"


def _why_none(error: BaseException) -> str:
    """As much as the system tells: in a registry's or a CI server's trouble these lead to different people."""
    for cause in _causes(error):
        match cause:
            case ConnectionRefusedError():
                return ": nobody listens there"
            case socket.gaierror():
                return ": its name can't be looked up"
            case OSError(strerror=str(words)) if words and isinstance(cause.errno, int):
                return f": {words[:1].lower()}{words[1:]}"
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """What lies behind it; where several addresses were tried, each of them."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__
