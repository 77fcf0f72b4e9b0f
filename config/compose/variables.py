"""Reads files of variables: the .env beside a compose file, and those that `env_file` and `label_file` name.

Their lines may hold secrets, so a problem in them shows its place and never the line.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from quarterdeck.config.compose.interpolation import interpolate
from quarterdeck.config.nodes import LINE_BREAK, Node, Source, without_values
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.source import read_bytes

LARGEST = 1_000_000  # bytes
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}
_START = re.compile(r"\s*(?:export\s+)?([^\s=:#][^\s=:]*)\s*(?:[=:][ \t]*|$)")


class Environment(msgspec.Struct):
    """What variables stand for: what the project itself sets, the environment of who runs qd, the .env in its directory."""

    directory: Path
    problems: Problems
    own: dict[str, str] = msgspec.field(default_factory=dict)
    _dotenv: dict[str, str] | None = None

    def lookup(self, name: str) -> str | None:
        found = self.own.get(name, os.environ.get(name))
        return found if found is not None else self._from_dotenv().get(name)

    def _from_dotenv(self) -> dict[str, str]:
        if self._dotenv is None:
            self._dotenv = {}  # what it says of itself is looked up while it is read
            path = self.directory / ".env"
            if path.exists():
                read = read_variables(path, None, self.problems, self.lookup)
                self._dotenv.update({name: value for name, value in read.items() if value is not None})
        return self._dotenv


def read_variables(
    path: Path, named: Node | None, problems: Problems, lookup: Callable[[str], str | None], *, raw: bool = False
) -> dict[str, str | None]:
    """The variables of a file, those without a value as None. ``raw``: values as they stand, no quotes, no variables.

    ``named`` is the node that names the file. What is wrong is added to ``problems``.
    """
    problems.reading(path)
    source = Source(path, path.absolute().parent)  # without lines: they are not to be shown
    data = read_bytes(path, LARGEST)
    if not isinstance(data, str):
        try:
            return _Reader(source, data.decode("utf-8-sig"), problems, lookup, raw).read()
        except UnicodeDecodeError:
            data = f"{path} is not UTF-8 text"
    if named is not None:
        problems.add(named, without_values(named, data, path))
    else:
        problems.add_at(source, 1, 1, data)
    return {}


class _Reader(msgspec.Struct):
    source: Source
    text: str
    problems: Problems
    above: Callable[[str], str | None]
    raw: bool
    found: dict[str, str | None] = msgspec.field(default_factory=dict)

    def read(self) -> dict[str, str | None]:
        lines = LINE_BREAK.split(self.text)
        number = 0
        while number < len(lines):
            line, first = lines[number], number
            number += 1
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            start = _START.match(line)
            if start is None or "\0" in line:
                self._wrong(first, "expected NAME=value")
                continue
            name, rest = start[1], line[start.end() :]
            if "=" not in start[0] and ":" not in start[0]:
                self.found[name] = None
            elif self.raw:
                self.found[name] = rest
            elif rest[:1] in ("'", '"'):
                # A quoted value may go on over several lines.
                pieces = [rest[1:]]
                while (end := _closing(pieces[-1], rest[0])) is None and number < len(lines):
                    pieces.append(lines[number])
                    number += 1
                if end is None:
                    self._wrong(first, f"the quote of `{name}` is not closed")
                    return self.found
                pieces[-1] = pieces[-1][:end]
                self._set(first, name, "\n".join(pieces), rest[0])
            else:
                self._set(first, name, re.split(r"(?:^|\s+)#", rest, maxsplit=1)[0].rstrip(), "")
        return self.found

    def _set(self, number: int, name: str, value: str, quote: str) -> None:
        if quote == '"':
            value = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), value, flags=re.DOTALL)
        try:
            self.found[name] = value if quote == "'" else interpolate(value, self._lookup)
        except Unfit as unfit:
            self._wrong(number, f"the value of `{name}` can't be used: {unfit}")

    def _lookup(self, name: str) -> str | None:
        """What stands outside counts more than the lines above, as in Compose."""
        value = self.above(name)
        return value if value is not None else self.found.get(name)

    def _wrong(self, number: int, message: str) -> None:
        self.problems.add_at(self.source, number + 1, 1, message)


def _closing(line: str, quote: str) -> int | None:
    """Where the line closes the quote that is open; None when it does not."""
    at = 0
    while at < len(line):
        if line[at] == "\\" and quote == '"':
            at += 2
            continue
        if line[at] == quote:
            return at
        at += 1
    return None
