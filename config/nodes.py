"""A YAML file as a tree in which every node knows its place and every scalar is still text. It interprets nothing."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
LINE_BREAK = re.compile(r"\r\n|\n|\r")


class Source(msgspec.Struct, frozen=True, eq=False):
    """One file that was read. ``path`` is written as the user would write it."""

    path: Path
    root: Path  # the directory of the main file, absolute
    lines: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Where relative paths in this file start, absolute."""
        return self.path.absolute().parent

    def line(self, number: int) -> str:
        """The text of a line, counted from 1; empty when there is no such line."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


class Node(msgspec.Struct, frozen=True, eq=False):
    """``line`` and ``column`` count from 1, in characters."""

    source: Source
    line: int
    column: int


class ScalarNode(Node, frozen=True, eq=False):
    """``text`` is exactly what is written (of quoted text: between the quotes). What it means is up to its key."""

    text: str
    plain: bool
    written: str | None = None  # where ``text`` came of filling variables in: what stands in the file, for errors

    @property
    def shown(self) -> str:
        """The text as an error may show it: never the value of a variable."""
        return self.text if self.written is None else self.written

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in NULLS


class SequenceNode(Node, frozen=True, eq=False):
    items: tuple[Node, ...]


class Entry(NamedTuple):
    key: ScalarNode
    value: Node


class MappingNode(Node, frozen=True, eq=False):
    entries: Mapping[str, Entry]

    def value(self, *names: str) -> Node:
        """The node below these keys; where one is missing, the last mapping on the way. For the place of a problem."""
        at: Node = self
        for name in names:
            if not isinstance(at, MappingNode) or name not in at.entries:
                return at
            at = at.entries[name].value
        return at

    def key(self, name: str) -> Node:
        """The node of the key itself; this mapping when there is no such key."""
        return self.entries[name].key if name in self.entries else self


def said(node: Node, text: str) -> str:
    """``text``, which is (a part of) what ``node`` says, as an error may show it: never the value of a variable."""
    return shortened(node.shown if isinstance(node, ScalarNode) and node.written is not None else text)


def without_values(node: Node, sentence: str, value: object) -> str:
    """``sentence``, which names ``value``, as an error may show it where ``node`` says that value by way of variables."""
    written = node.written if isinstance(node, ScalarNode) else None
    return sentence if written is None else sentence.replace(str(value), written)


def shortened(text: str) -> str:
    """A text from the file as an error may show it: at most 60 characters."""
    return text if len(text) <= 60 else text[:57] + "…"


def describe(node: Node) -> str:
    """What a node is, in words for an error: `text` in backquotes, "nothing", "a list", "a mapping"."""
    match node:
        case ScalarNode(plain=True, text=""):
            return "nothing"
        case ScalarNode():
            shown = shortened(node.shown)
            return f"`{shown}`" if shown.isprintable() else f"`{shown!r}`"
        case SequenceNode():
            return "a list"
        case _:
            return "a mapping"
