"""Kamal's `config/deploy.yml` with its destinations, as plain lists, mappings and text. ERB in them is not run: a value that needs
it is marked, so that whoever reads on can say so."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.first_file.draft import CannotBegin, Said
from quarterdeck.config.nodes import LINE_BREAK, MappingNode, Node, ScalarNode, SequenceNode, Source
from quarterdeck.config.problems import Problems
from quarterdeck.config.source import LARGEST_FILE, node_of, read_bytes

_TAG = re.compile(r"<%(?!%)(.*?)-?%>", re.DOTALL)
_MARK = re.compile(r"ERB-([0-9]+)-ERB")
_VARIABLE = re.compile(
    r"""=\s*ENV(?:\[\s*["'](\w+)["']\s*\]|\.fetch\(\s*["'](\w+)["']\s*(?:,[^()]*)?\))\s*"""  # nothing else in the tag
)
_READS = re.compile(r"""ENV(?:\[|\.fetch\()\s*["'](\w{1,60})["']""")


class KamalFile(msgspec.Struct, frozen=True):
    """``body`` is the top-level mapping; ``tags`` the ERB that its marks stand for."""

    path: Path
    body: Mapping[str, Any]
    tags: tuple[str, ...]
    left: tuple[Said, ...] = ()

    def erb(self, value: Any) -> str:
        """The first ERB in ``value`` or anywhere below it; empty where there is none."""
        match value:
            case str():
                found = _MARK.search(value)
                return shown(self.tags[int(found[1])]) if found else ""
            case Mapping():
                return next(filter(None, (self.erb(one) for pair in value.items() for one in pair)), "")
            case list():
                return next(filter(None, (self.erb(one) for one in value)), "")
        return ""

    def variable(self, value: Any) -> str:
        """The variable whose value ``value`` is as a whole, such as of <%= ENV["NAME"] %>; empty where it is something else."""
        found = _MARK.fullmatch(value) if isinstance(value, str) else None
        named = _VARIABLE.fullmatch(self.tags[int(found[1])]) if found else None
        return (named[1] or named[2]) if named else ""


def shown(tag: str) -> str:
    """ERB as it may be told: which variables it reads, and nothing else of it, as any other word may be a secret."""
    names = "".join(f'ENV["{name}"] ' for name in dict.fromkeys(_READS.findall(tag)))
    return f"<%{'=' if tag.startswith('=') else ''} {names}.. %>"


def read_kamal(path: Path) -> KamalFile:
    """Raises ``CannotBegin`` where it is no YAML, even without its ERB."""
    data = read_bytes(path, LARGEST_FILE)
    if isinstance(data, str):
        raise CannotBegin(data)
    tags: list[str] = []
    left: list[Said] = []
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")

    def taken(found: re.Match[str]) -> str:
        line = text.count("\n", 0, found.start()) + 1
        if not found[1].startswith("="):  # it decides, or repeats: what it leads to can't be known
            if not found[1].startswith("#"):
                left.append(Said(f"{path.name}:{line}", shown(found[1]), "ERB is not run"))
            return "\n" * found[0].count("\n")
        tags.append(found[1])
        return f"ERB-{len(tags) - 1}-ERB"

    without = _TAG.sub(taken, text)
    problems = Problems()
    node = node_of(
        Source(path, path.absolute().parent, tuple(LINE_BREAK.split(without))), without, problems, merge=True
    )
    serious = [problem for problem in problems.found.values() if "is not allowed" not in problem.message]
    if not isinstance(node, MappingNode) or serious:
        why = serious[0] if serious else f"{path}: it is no mapping"
        raise CannotBegin(f"{why}{'; its ERB is not run' if tags or left else ''}")
    body = _plain(node)
    assert isinstance(body, dict)
    return KamalFile(path, body, tuple(tags), tuple(left))


def destinations(path: Path) -> dict[str, Path]:
    """`deploy.staging.yml` beside `deploy.yml`, by destination."""
    stem = path.name.rpartition(".")[0]
    found = {}
    for other in sorted(path.parent.glob(f"{stem}.*.yml")):
        name = other.name.removeprefix(f"{stem}.").removesuffix(".yml")
        if name:
            found[name] = other
    return found


def with_destination(base: KamalFile, path: Path) -> KamalFile:
    """``base`` with the file of a destination over it, mappings key by key, as Kamal does."""
    over = read_kamal(path)
    shifted = _shifted(over.body, len(base.tags))
    assert isinstance(shifted, dict)
    return KamalFile(path, _merged(base.body, shifted), (*base.tags, *over.tags), over.left)


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _shifted(value: Any, by: int) -> Any:
    """With the numbers of its marks behind those of another file."""
    match value:
        case str():
            return _MARK.sub(lambda found: f"ERB-{int(found[1]) + by}-ERB", value)
        case Mapping():
            return {_shifted(name, by): _shifted(one, by) for name, one in value.items()}
        case list():
            return [_shifted(one, by) for one in value]
    return value


def _plain(node: Node) -> Any:
    match node:
        case ScalarNode():
            return None if node.is_null else node.text
        case SequenceNode():
            return [_plain(item) for item in node.items]
        case MappingNode():
            own = {name: _plain(entry.value) for name, entry in node.entries.items() if name != "<<"}
            if "<<" in node.entries:
                merged = _plain(node.entries["<<"].value)
                for one in merged if isinstance(merged, list) else [merged]:
                    own = {**(one if isinstance(one, dict) else {}), **own}
            return own
    raise AssertionError(type(node).__name__)
