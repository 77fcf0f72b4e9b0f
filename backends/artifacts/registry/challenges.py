"""What a registry asks for before it answers (RFC 9110's WWW-Authenticate), and the tokens it was satisfied with.

Tokens are kept in this process's memory alone, and no longer than they hold.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
_PARAMETER = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|$)')
_SCHEME = re.compile(rf"\s*,*\s*({_TOKEN})(?:\s+|$|(?=,))")
_KEPT = 256
_LIFETIME = 60.0  # seconds, where a token server says nothing: the specification's own
_MARGIN = 10.0  # seconds that a token must still hold: it is on its way for a while, and clocks differ


class Challenge(msgspec.Struct, frozen=True):
    """``scheme`` and the parameters' names in lower case."""

    scheme: str
    parameters: dict[str, str]


def read_challenges(headers: Sequence[str]) -> list[Challenge]:
    """Every challenge of an answer's WWW-Authenticate headers, in order; what can't be understood ends a header."""
    return [challenge for header in headers for challenge in _of_one(header)]


def _of_one(header: str) -> Iterator[Challenge]:
    at = 0
    while match := _SCHEME.match(header, at):
        at = match.end()
        parameters = {}
        while parameter := _PARAMETER.match(header, at):
            name, quoted, plain = parameter.groups()
            parameters[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            at = parameter.end()
        yield Challenge(match[1].lower(), parameters)


@dataclass(frozen=True, slots=True)
class Token:
    value: str = field(repr=False)
    seconds: float | None = None  # from now; None: not said

    @property
    def lifetime(self) -> float:
        said = _LIFETIME if self.seconds is None else self.seconds
        return max(said - _MARGIN, said / 2)


class TokenMemory:
    """Tokens by what they are for. Never written anywhere, shown in no repr."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[object, ...], tuple[float, str]] = {}

    def find(self, key: tuple[object, ...]) -> str | None:
        until, value = self._tokens.get(key, (0.0, ""))
        return value if time.monotonic() < until else None

    def keep(self, key: tuple[object, ...], token: Token) -> None:
        now = time.monotonic()
        self._tokens = {other: kept for other, kept in self._tokens.items() if kept[0] > now}
        while len(self._tokens) >= _KEPT:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[key] = (now + token.lifetime, token.value)

    def forget(self, key: tuple[object, ...]) -> None:
        self._tokens.pop(key, None)


TOKENS = TokenMemory()
