"""Reads a fleet file with all that it includes and joins them. What two places declare is an error that names both."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.keys import FLEET, PART
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Fields
from quarterdeck.config.source import read_node

MOST_FILES = 200
KINDS = {"hosts": "host", "environments": "environment", "services": "service"}


class Declared(msgspec.Struct):
    """What was declared, by section and name. ``places`` has the key's node even where the value was wrong."""

    main: Fields
    values: dict[str, dict[str, Fields]] = msgspec.field(default_factory=lambda: {section: {} for section in KINDS})
    places: dict[str, dict[str, Node]] = msgspec.field(default_factory=lambda: {section: {} for section in KINDS})


def read_all(path: Path, problems: Problems) -> Declared | None:
    """What ``path`` and the files that it includes declare; None when ``path`` itself can't be read at all."""
    node = read_node(path, problems)
    if node is None:
        return None
    main = FLEET.read(node, problems)
    if not isinstance(main, Fields):
        return None
    declared = Declared(main)
    _join(declared, main, problems)
    _Reader(declared, problems).follow(main, (_identity(path),))
    return declared


def _identity(path: Path) -> str:
    return os.path.realpath(path)


class _Reader(msgspec.Struct):
    declared: Declared
    problems: Problems
    read: set[str] = msgspec.field(default_factory=set)

    def follow(self, part: Fields, above: tuple[str, ...]) -> None:
        """Reads what ``part`` includes. ``above``: the files that lead to it, itself last."""
        listed = part.node.value("include")
        for item in listed.items if isinstance(listed, SequenceNode) else ():
            if not isinstance(item, ScalarNode) or item.is_null or not item.text.strip():
                continue  # reported when the keys were read
            try:
                path = item.source.path.parent / Path(item.text).expanduser()
                identity = _identity(path)
            except (RuntimeError, ValueError, OSError):
                continue  # as above: no such home directory
            if identity in above:
                self.problems.add(
                    item, f"{item.text} includes itself" + (" by way of others" if above[-1] != identity else "")
                )
            elif identity not in self.read and len(self.read) >= MOST_FILES:
                self.problems.add(item, f"more than {MOST_FILES} files are included")
            elif identity not in self.read:
                self.read.add(identity)
                self._part(path, item, (*above, identity))

    def _part(self, path: Path, item: ScalarNode, above: tuple[str, ...]) -> None:
        node = read_node(path, self.problems, included=item)
        if node is None:
            return
        if not isinstance(node, MappingNode):
            # Said here, without a word of its content: it is likely no file of ours.
            self.problems.add(item, f"{path} has no {', '.join(KINDS)}", expected=PART.expected)
            return
        part = PART.read(node, self.problems)
        if isinstance(part, Fields):
            _join(self.declared, part, self.problems)
            self.follow(part, above)


def _join(declared: Declared, part: Fields, problems: Problems) -> None:
    for section, kind in KINDS.items():
        values: Mapping[str, Any] = part.values.get(section, {})
        written = part.node.value(section)
        if section not in part.node.entries or not isinstance(written, MappingNode):
            continue
        for name, entry in written.entries.items():
            first = declared.places[section].get(name)
            if first is not None:
                where = f"{first.source.path}:{first.line}:{first.column}"
                problems.add(entry.key, f"the {kind} `{name}` is declared twice: first in {where}")
                continue
            declared.places[section][name] = entry.key
            if name in values:
                declared.values[section][name] = values[name]
