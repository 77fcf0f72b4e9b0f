"""Fills in variables as the Compose specification says: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:?error}`,
`${NAME:+other}`, each without the colon too, one within another, and `$$` for a dollar.

One thing is stricter than Compose: a variable that is not set, without a word on what then, is an error. Compose would
warn and put nothing in its place, and a release with a hole in it would go out.
"""

import re
from collections.abc import Callable

from quarterdeck.config.nodes import shortened
from quarterdeck.config.scalars import Unfit

DEEPEST = 20
LARGEST = 1_000_000  # characters that one value may grow to
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":-|-|:\?|\?|:\+|\+")

Lookup = Callable[[str], str | None]


def interpolate(text: str, lookup: Lookup) -> str:
    """``text`` with its variables filled in. Raises ``Unfit``, which names variables and never shows their values."""
    return _fill(text, lookup, 0) if "$" in text else text


def _fill(text: str, lookup: Lookup, depth: int) -> str:
    if depth > DEEPEST:
        raise Unfit(f"variables are nested more than {DEEPEST} deep")
    parts: list[str] = []
    at = length = 0
    while (dollar := text.find("$", at)) >= 0:
        part, end = _variable(text, dollar, lookup, depth)
        parts += [text[at:dollar], part]
        length += len(part)
        if length > LARGEST:
            raise Unfit(f"with its variables it has more than {LARGEST} characters")
        at = end
    return "".join([*parts, text[at:]])


def _variable(text: str, at: int, lookup: Lookup, depth: int) -> tuple[str, int]:
    """What the dollar at ``at`` stands for, and where that ends."""
    after = text[at + 1 : at + 2]
    if after == "$":
        return "$", at + 2
    bare = _NAME.match(text, at + 1)
    if bare is not None:
        return _needed(bare[0], lookup), bare.end()
    if after != "{":
        raise Unfit("a `$` begins a variable; write `$$` for a dollar")
    name = _NAME.match(text, at + 2)
    if name is None:
        raise Unfit("after `${` comes the name of a variable; write `$$` for a dollar")
    if text[name.end() : name.end() + 1] == "}":
        return _needed(name[0], lookup), name.end() + 1
    operator = _OPERATOR.match(text, name.end())
    end = _end_of_braces(text, operator.end()) if operator is not None else None
    if operator is None or end is None:
        raise Unfit(f"`${{{name[0]}` is not closed by a }}")
    return _with_operator(name[0], operator[0], text[operator.end() : end - 1], lookup, depth), end


def _with_operator(name: str, operator: str, other: str, lookup: Lookup, depth: int) -> str:
    """The value of ``${name<operator>other}``. With a colon, an empty value is none."""
    value = lookup(name)
    if value is not None and not value and operator.startswith(":"):
        value = None
    match operator[-1]:
        case "+":
            return _fill(other, lookup, depth + 1) if value is not None else ""
        case "?" if value is None:
            raise Unfit(
                f"{name} is not set" + (f": {shortened(other)}" if other else "")
            )  # as written: no value is shown
        case _:
            return value if value is not None else _fill(other, lookup, depth + 1)


def _end_of_braces(text: str, at: int) -> int | None:
    """Behind the brace that closes what is open at ``at``; None when there is none."""
    depth = 1
    while at < len(text):
        if text.startswith("$$", at):
            at += 2
            continue
        if text.startswith("${", at):
            depth += 1
            at += 2
            continue
        if text[at] == "}":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return None


def _needed(name: str, lookup: Lookup) -> str:
    value = lookup(name)
    if value is None:
        raise Unfit(
            f"{name} is not set, neither in the environment of qd nor in .env; where nothing is meant, write `${{{name}:-}}`"
        )
    return value
