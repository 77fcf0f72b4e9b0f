"""Text, lists and mappings as YAML, in the form in which a person writes a fleet file: short things on one line."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from quarterdeck.config.first_file.draft import Told
from quarterdeck.config.source import can_stand

WIDEST = 110
_PLAIN = re.compile(r"(\.{1,2}/)?[A-Za-z0-9_/~][A-Za-z0-9_./@+~=-]*%?( [A-Za-z0-9_./@+~=-]+)*")
_LIKE_A_NUMBER = re.compile(r"[+-]?(\.?[0-9][0-9_.,eExXoObBa-fA-F+:-]*|\.inf|\.nan)", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,15}")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "~", "="})


def scalar(text: str) -> str:
    """``text`` so that every reader of YAML takes it for this very text (whole numbers, `true` and `false` stay as they are).
    Raises ValueError for text that can't stand in a fleet file."""
    if not can_stand(text):
        raise ValueError("characters that can't stand in a fleet file")
    if _WHOLE.fullmatch(text) or text in ("true", "false"):
        return text
    plain = _PLAIN.fullmatch(text) and text.casefold() not in _WORDS
    if plain and (_ADDRESS.fullmatch(text) or not _LIKE_A_NUMBER.fullmatch(text)):
        return text
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(character, escape)
    return f'"{text}"'


def flow(value: Any) -> str:
    """On one line."""
    match value:
        case Told():
            return flow(value.value)
        case None:
            return "null"
        case str():
            return scalar(value)
        case Mapping():
            return "{" + ", ".join(f"{scalar(name)}: {flow(one)}" for name, one in value.items()) + "}"
        case Sequence():
            return "[" + ", ".join(flow(one) for one in value) + "]"
    raise TypeError(type(value).__name__)


def block(tree: Mapping[str, Any], indent: int) -> list[str]:
    """A line or several for each key."""
    lines: list[str] = []
    for name, value in tree.items():
        comment = value.comment if isinstance(value, Told) else ""
        lines += _entry(f"{' ' * indent}{scalar(name)}:", value.value if isinstance(value, Told) else value, comment)
    return lines


def _entry(head: str, value: Any, comment: str) -> list[str]:
    indent = len(head) - len(head.lstrip(" "))
    short = flow(value)
    if (_fits_a_line(value) and len(head) + 1 + len(short) <= WIDEST) or not value or isinstance(value, str):
        return [with_comment(f"{head} {short}", comment)]
    if isinstance(value, Mapping):
        return [with_comment(head, comment), *block(value, indent + 2)]
    return [with_comment(head, comment), *(f"{' ' * (indent + 2)}- {flow(one)}" for one in value)]


def _fits_a_line(value: Any) -> bool:
    """One level of mappings within a mapping is still read at a glance; comments within need lines of their own."""
    if isinstance(value, Mapping):
        inner = [one for one in value.values() if not isinstance(one, str) and one is not None]
        if any(isinstance(one, Told) for one in inner) or len(value) > 4:
            return False
        return not inner or (len(value) <= 2 and all(_is_flat(one) for one in inner))
    return True


def _is_flat(value: Any) -> bool:
    if isinstance(value, Mapping):
        return len(value) <= 3 and all(isinstance(one, str) for one in value.values())
    return all(isinstance(one, str) for one in value)


def with_comment(line: str, comment: str) -> str:
    """Behind the line where there is room, else above it."""
    if not comment:
        return line
    if len(line) + 4 + len(comment) <= WIDEST + 10:
        return f"{line:<50} # {comment}"
    indent = len(line) - len(line.lstrip(" "))
    return f"{' ' * indent}# {comment}\n{line}"


def comment_lines(text: str, indent: int = 0) -> list[str]:
    """``text`` as lines of comment, wherever it came from: nothing of it can end the comment."""
    import textwrap

    room = WIDEST - indent - 2
    kept = "".join(character if can_stand(character) else "?" for character in text)
    parts = [line for part in kept.splitlines() for line in textwrap.wrap(part, room, break_long_words=False)]
    return [f"{' ' * indent}# {part}" for part in parts]
