"""The reference of the fleet file, docs/fleet-file.md, made from the description of its keys and from the example that shows them
all: ``python -m quarterdeck.config.reference``.

``make docs`` writes it; a test fails when it is not what the loader reads.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quarterdeck.config import keys
from quarterdeck.config.containers import POINTED_AT, Container
from quarterdeck.config.first_file.yaml_text import flow
from quarterdeck.config.kinds import NAME
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Either, Key, Keys, ListOf, MapOf, Shape
from quarterdeck.config.source import read_node

DOCUMENT = Path("docs") / "fleet-file.md"
EXAMPLES = ("full.yml", "docker.yml", "swarm.yml", "systemd.yml")
_FIRST, _LAST = "<!-- keys -->\n", "<!-- /keys -->"
_LONGEST_EXAMPLE = 64
_SHOWN_ELSEWHERE = (keys.OVERRIDE.title, keys.PART.title)  # they have the keys of another, and say so


def renewed(text: str) -> str:
    """``text`` with the reference as it is now. Raises ValueError when its place is missing."""
    before, begun, rest = text.partition(_FIRST)
    _, ended, after = rest.partition(_LAST)
    if not begun or not ended:
        raise ValueError(f"{DOCUMENT} has no place for the keys: {_FIRST.strip()} … {_LAST}")
    return f"{before}{_FIRST}{reference()}\n{_LAST}{after}"


def reference() -> str:
    """A section for each mapping of the file, in the order in which one meets them from the top."""
    shown = _examples()
    found = dict(_groups())
    return "\n\n".join(_section(group, places, shown) for group, places in found.values())


def _groups() -> Iterator[tuple[str, tuple[Keys, list[str]]]]:
    """By title: each mapping with known keys, and where it may stand."""
    found: dict[str, tuple[Keys, list[str]]] = {}
    waiting: list[tuple[Keys, str]] = [(keys.FLEET, "")]
    while waiting:
        group, place = waiting.pop(0)
        known = found.get(group.title)
        if known is not None:
            known[1].append(place)
            continue
        found[group.title] = (group, [place])
        for key in group.keys:
            waiting += [(inner, at) for inner, at in _inside(key.shape, f"{place}.{key.name}".lstrip("."))]
    yield from found.items()


def _inside(shape: Shape, place: str) -> Iterator[tuple[Keys, str]]:
    match shape:
        case Keys() if shape.title not in _SHOWN_ELSEWHERE:
            yield shape, place
        case Either():
            yield from _inside(shape.short, place)
            yield from _inside(shape.long, place)
        case ListOf():
            yield from _inside(shape.item, f"{place}[]")
        case MapOf():
            yield from _inside(shape.value, f"{place}.NAME")
        case Container():
            yield POINTED_AT, place


def _section(group: Keys, places: Sequence[str], shown: dict[tuple[str, str], str]) -> str:
    lines = [f"### {_heading(group)}"]
    where = [f"`{place}`" for place in dict.fromkeys(places) if place]
    more = f", and {len(where) - 4} more places" if len(where) > 4 else ""
    stands = f"Stands in {', '.join(where[:4])}{more}." if where else "The top of the file."
    lines.append(" ".join([stands, *_rules(group)]))
    rows = [
        (
            f"`{key.name}`",
            _kind(key.shape),
            "required" if key.required else f"`{key.default}`" if key.default else "",
            key.description,
            f"`{shown[group.title, key.name]}`" if (group.title, key.name) in shown else "",
        )
        for key in group.keys
    ]
    return "\n\n".join(lines) + "\n\n" + _table(("key", "value", "default", "meaning", "example"), rows)


def _rules(group: Keys) -> list[str]:
    found = []
    if group.one_of:
        found.append(f"Exactly one of {', '.join(f'`{name}`' for name in group.one_of)}.")
    if group.some_of:
        names = ", ".join(f"`{name}`" for name in group.some_of)
        found.append(f"At least one of {names}." if len(group.some_of) > 1 else f"With {names}.")
    return found


def _heading(group: Keys) -> str:
    return group.title[0].upper() + group.title[1:]


def _kind(shape: Shape) -> str:
    match shape:
        case Keys(title=keys.OVERRIDE.title):
            return f"any key of {_link(keys.SERVICE)}"
        case Keys():
            return _link(shape)
        case Either():
            return f"{_kind(shape.short)}; or {_kind(shape.long)}"
        case ListOf() if isinstance(shape.item, Keys | Either):
            return f"a list of: {_kind(shape.item)}"
        case MapOf() if isinstance(shape.value, Keys | Either | ListOf):
            absent = ", or `null`" if shape.null else ""
            return f"names, each with {_kind(shape.value)}{absent}"
        case Container():
            return f"[Compose's keys](fleet-containers.md); or {_link(POINTED_AT)}"
    return "a name" if shape is NAME else shape.expected


def _link(group: Keys) -> str:
    anchor = re.sub(r"[^\w\- ]", "", group.title.lower()).replace(" ", "-")
    return f"[{group.title}](#{anchor})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Outside of code, < begins HTML."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))


def _examples() -> dict[tuple[str, str], str]:
    """By title and key: how the shortest example in ``EXAMPLES`` writes it, where that is short enough for a table."""
    found: dict[tuple[str, str], str] = {}

    def keep(group: Keys, key: Key, node: Node) -> None:
        text = f"{key.name}: {flow(_plain(node))}"
        at = (group.title if group.title != keys.OVERRIDE.title else keys.SERVICE.title, key.name)
        if len(text) <= _LONGEST_EXAMPLE and "`" not in text and len(text) < len(found.get(at, text + " ")):
            found[at] = text

    def walk(shape: Shape, node: Node) -> None:
        match shape, node:
            case Container(), MappingNode():
                if "compose" in node.entries:
                    walk(POINTED_AT, node)
            case Keys(), MappingNode():
                for name, entry in node.entries.items():
                    keep(shape, shape.by_name[name], entry.value)
                    walk(shape.by_name[name].shape, entry.value)
            case Either(), MappingNode():
                walk(shape.long, node)
            case ListOf(), SequenceNode():
                for item in node.items:
                    walk(shape.item, item)
            case MapOf(), MappingNode():
                for entry in node.entries.values():
                    walk(shape.value, entry.value)

    for name in EXAMPLES:
        node = read_node(Path(__file__).parent / "examples" / name, Problems())
        assert node is not None
        walk(keys.FLEET, node)
    return found


def _plain(node: Node) -> Any:
    match node:
        case ScalarNode():
            return None if node.is_null else node.text
        case SequenceNode():
            return [_plain(item) for item in node.items]
        case MappingNode():
            return {name: _plain(entry.value) for name, entry in node.entries.items()}
    raise AssertionError(type(node).__name__)


def main() -> int:
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(renewed(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
