"""Takes secrets out of text before it is kept or shown, in the forms that commands print. Changes nothing else."""

import base64
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import quote, quote_plus

from quarterdeck.backends.hosts.contract import SecretValues

MASK = "****"
_SHORTEST = 4  # a shorter value would take words apart all over the text
_SHORTEST_LINE = 8  # of a value of several lines
_WRAPS = (64, 76)  # columns at which base64 and PEM break a line


class Masker:
    """``Masker(values).mask(text)``. Values of fewer than 4 characters are left alone."""

    __slots__ = ("_count", "_forms", "_quoted")

    def __init__(self, values: SecretValues | Iterable[str]) -> None:
        every = values.values.values() if isinstance(values, SecretValues) else values
        secrets = {value for value in every if len(value) >= _SHORTEST}
        self._count = len(secrets)
        pieces = {piece for secret in secrets for piece in _pieces(secret)}
        self._forms = tuple({form for piece in pieces for form in _written(piece) if len(form) >= _SHORTEST})
        self._quoted = tuple(quoted for piece in pieces if (quoted := _with_backslashes(piece)) is not None)

    def __repr__(self) -> str:
        return f"Masker({self._count} values)"

    def mask(self, text: str) -> str:
        """``text`` with every form of every value replaced; forms that overlap go together, so that no rest is left."""
        spans = [span for form in self._forms for span in _found(text, form)]
        for anchor, pattern in self._quoted:
            if anchor in text:
                spans += [found.span() for found in pattern.finditer(text)]
        spans.sort()
        if not spans:
            return text
        pieces: list[str] = []
        end = 0
        for start, stop in spans:
            if start > end or not pieces:
                pieces += [text[end:start], MASK]
            end = max(end, stop)
        pieces.append(text[end:])
        return "".join(pieces)


def _found(text: str, form: str) -> Iterator[tuple[int, int]]:
    # Plain searching is far quicker than one regular expression of thousands of alternatives.
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)


def _pieces(secret: str) -> Iterator[str]:
    """The value, and the lines of one that has several: they are printed one by one."""
    pieces = {secret, secret.strip()}
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        # The frame of a PEM file is no secret, and would be found in every other one.
        pieces |= {line for line in lines if len(line) >= _SHORTEST_LINE and not line.startswith("-----")}
    return (piece for piece in pieces if len(piece) >= _SHORTEST)


def _with_backslashes(secret: str) -> tuple[str, re.Pattern[str]] | None:
    """The value with a backslash before any of its marks: programs differ in which ones they find worth it.

    With a text that must be there for it to be worth a look. None: there are only letters and digits.
    """
    if secret.isalnum():
        return None
    # Never gives back what it took (?+): a run of backslashes would have it try every way to share them out.
    written = (mark if mark.isalnum() else r"\\\\?+" if mark == "\\" else rf"\\?+{re.escape(mark)}" for mark in secret)
    return max(re.split(r"\W|_", secret), key=len), re.compile("".join(written))


def _written(secret: str) -> Iterator[str]:
    yield secret
    data = secret.encode("utf-8", "surrogateescape")
    yield from _base64(data)
    yield data.hex()
    yield data.hex().upper()
    for quoted in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield quoted
        yield _lower_percent(quoted)
    for plain in (True, False):
        inner = json.dumps(secret, ensure_ascii=plain)[1:-1]
        yield inner
        yield inner.replace("/", "\\/")
        yield json.dumps(inner, ensure_ascii=plain)[1:-1]  # JSON inside a JSON string, as log drivers write it
    yield repr(secret)[1:-1]
    yield escape(secret)
    yield escape(secret, quote=False)
    yield from _shell(secret)


def _shell(secret: str) -> Iterator[str]:
    inside = shlex.quote(secret)
    yield inside[1:-1] if inside != secret else secret  # '"'"' for a quote
    yield secret.replace("'", "'\\''")  # as set -x shows it
    # $'…', which bash uses as soon as there is a control character in it
    yield (
        secret.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    )


def _base64(data: bytes) -> Iterator[str]:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(data).decode().rstrip("=")
        yield whole
        for columns in _WRAPS:
            if len(whole) > columns:
                lines = (whole[start : start + columns] for start in range(0, len(whole), columns))
                yield from (line for line in lines if len(line) >= _SHORTEST_LINE)
        # Inside a longer text (user:password) the value begins at the first, second or third byte of a group: what
        # stands for bits of the value alone, is the same whatever is around it.
        for before in range(3):
            text = encode(b"\0" * before + data).decode().rstrip("=")
            first = (before * 8 + 5) // 6
            last = (before + len(data)) * 8 // 6
            if last - first >= _SHORTEST + 1:
                yield text[first:last]


def _lower_percent(quoted: str) -> str:
    parts = quoted.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])
