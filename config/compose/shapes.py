"""The shapes that Compose's values have beside those of the fleet file: one or many, a list or a mapping, short and long."""

from collections.abc import Callable
from typing import Any

import msgspec

from quarterdeck.config import scalars as fleet_scalars
from quarterdeck.config.compose import scalars
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode, describe
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Fields, Keys, ListOf, Scalar, Schema, Shape, wrong

NUMBER_OR_TEXT = {"type": ["string", "number"]}
BOOLEAN = Scalar("`true` or `false`", scalars.boolean, {"type": "boolean"})


class ByForm(Shape, frozen=True):
    """A shape for each form in which a value may be written."""

    expected: str
    scalar: Shape | None = None
    sequence: Shape | None = None
    mapping: Shape | None = None

    def read(self, node: Node, problems: Problems) -> Any:
        match node:
            case ScalarNode(is_null=False):
                shape = self.scalar
            case SequenceNode():
                shape = self.sequence
            case MappingNode():
                shape = self.mapping
            case _:
                shape = None
        if shape is None:
            wrong(node, self.expected, problems)
            return None
        return shape.read(node, problems)

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        shapes = [shape for shape in (self.scalar, self.sequence, self.mapping) if shape is not None]
        return {"anyOf": [shape.schema(definitions) for shape in shapes]}


def one_or_many(item: Scalar, expected: str) -> ByForm:
    """A single value or a list of them; always read as a tuple."""
    alone = Scalar(item.expected, lambda text: (item.make(text),), item.json)
    return ByForm(expected, scalar=alone, sequence=ListOf(item, expected))


class Pairs(Shape, frozen=True):
    """A mapping, or a list of `NAME=value`: read as a dict, in the order of the file. Without a value: None."""

    expected: str
    name: Callable[[str], str] = fleet_scalars.one_line
    value: Callable[[str], Any] = fleet_scalars.any_text
    bare: bool = True  # a name may stand without a value

    def read(self, node: Node, problems: Problems) -> dict[str, Any] | None:
        values: dict[str, Any] = {}
        match node:
            case MappingNode():
                for name, (key, value) in node.entries.items():
                    self._put(values, key, name, value, problems)
            case SequenceNode():
                for item in node.items:
                    if not isinstance(item, ScalarNode) or item.is_null:
                        wrong(item, "NAME=value", problems)
                        continue
                    name, equals, text = item.text.partition("=")
                    whole = ScalarNode(item.source, item.line, item.column, text, False, written=item.written)
                    self._put(values, item, name, whole if equals else None, problems)
            case _:
                wrong(node, self.expected, problems)
                return None
        return values

    def _put(self, values: dict[str, Any], at: Node, name: str, value: Node | None, problems: Problems) -> None:
        try:
            name = self.name(name)
        except Unfit as unfit:
            wrong(at, "a name", problems, unfit)
            return
        if value is None or (isinstance(value, ScalarNode) and value.is_null):
            if self.bare:
                values[name] = None
            else:
                problems.add(at, f"{describe(at)} has no value")
            return
        if not isinstance(value, ScalarNode):
            wrong(value, "a single value", problems)
            return
        try:
            values[name] = self.value(value.text)
        except Unfit as unfit:
            wrong(value, "a value that can be used here", problems, unfit)

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        single = {"type": ["string", "number", "boolean", "null"] if self.bare else ["string", "number", "boolean"]}
        return {
            "anyOf": [
                {"type": "object", "additionalProperties": single},
                {"type": "array", "items": {"type": "string"}},
            ]
        }


class NamedMap(Shape, frozen=True):
    """A mapping of names to mappings with known keys, null for an empty one. Read as a dict of ``Fields``."""

    keys: Keys
    expected: str

    def read(self, node: Node, problems: Problems) -> dict[str, Fields] | None:
        if not isinstance(node, MappingNode):
            wrong(node, self.expected, problems)
            return None
        values: dict[str, Fields] = {}
        for name, (key, value) in node.entries.items():
            if name.startswith("x-"):
                continue
            found = self.one(name, key, value, problems)
            if found is not None:
                values[name] = found
        return values

    def one(self, name: str, key: ScalarNode, value: Node, problems: Problems) -> Fields | None:
        """What is written for one name."""
        try:
            fleet_scalars.matching(scalars.NAME)(name)
        except Unfit:
            wrong(key, "a name of letters, digits, `.`, `_`, `-`", problems)
            return None
        if isinstance(value, ScalarNode) and value.is_null:
            return Fields(MappingNode(key.source, key.line, key.column, {}), {})
        found = self.keys.read(value, problems)
        return found if isinstance(found, Fields) else None

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        return {
            "type": "object",
            "additionalProperties": {"anyOf": [self.keys.schema(definitions), {"type": "null"}]},
        }


class Placed(msgspec.Struct, frozen=True):
    """A value with the node that it was read from."""

    value: Any
    node: Node


class WithPlace(Shape, frozen=True):
    """Another shape, whose value is kept together with its place."""

    shape: Shape

    @property
    def expected(self) -> str:
        return self.shape.expected

    def read(self, node: Node, problems: Problems) -> Placed | None:
        value = self.shape.read(node, problems)
        return None if value is None else Placed(value, node)

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        return self.shape.schema(definitions)
