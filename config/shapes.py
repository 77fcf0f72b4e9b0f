"""The building blocks of the description of the fleet file. Each can read a node and can say its own JSON Schema.

A shape's ``read`` returns the value, or None after it has added what is wrong to the problems.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode, describe, shortened
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit, either

Schema = dict[str, Any]
TEXT_SCHEMA: Mapping[str, Any] = {
    "type": ["string", "number", "boolean"]
}  # what editors make of 1.10 or on is text to us


class Shape(msgspec.Struct, frozen=True):
    """What may stand somewhere in the file. Every command makes all of them when it starts: no class here takes long to make."""

    @property
    def expected(self) -> str:
        """Names it in errors, with its article."""
        raise NotImplementedError

    def read(self, node: Node, problems: Problems) -> Any:
        """The value, or None when it is wrong (then a problem was added)."""
        raise NotImplementedError

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        """Its JSON Schema; shapes with a name of their own are put into ``definitions`` and referred to."""
        raise NotImplementedError


class FromText(Shape, frozen=True):
    """A shape of a single value that is made from its text."""

    def value_of(self, node: ScalarNode) -> Any:
        """The value of a scalar that is not null. Raises ``Unfit``."""
        raise NotImplementedError

    def read(self, node: Node, problems: Problems) -> Any:
        if not isinstance(node, ScalarNode) or node.is_null:
            return wrong(node, self.expected, problems)
        try:
            return self.value_of(node)
        except Unfit as unfit:
            return wrong(node, self.expected, problems, unfit)


def wrong(node: Node, expected: str, problems: Problems, unfit: Unfit | None = None) -> None:
    """Adds the problem that ``node`` is not what is expected."""
    message = f"expected {expected}, found {describe(node)}"
    if isinstance(node, ScalarNode) and node.is_null and node.text:
        message += "; for this very text put it in quotes, for none leave the key out"
    if unfit is not None and isinstance(node, ScalarNode) and node.written is not None:
        # What was made of variables is not shown: the value may be a secret.
        unfit = Unfit("" if "`" in str(unfit) else str(unfit))
    if unfit is not None and str(unfit):
        message += f": {unfit}"
    problems.add(node, message, expected=expected, nearest=unfit.nearest if unfit is not None else None)


class Scalar(FromText, frozen=True):
    """A single value, made from its text alone by ``make`` (which raises ``Unfit``)."""

    expected: str
    make: Callable[[str], Any]
    json: Mapping[str, Any] = msgspec.field(default_factory=lambda: TEXT_SCHEMA)

    def value_of(self, node: ScalarNode) -> Any:
        return self.make(node.text)

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return dict(self.json)


class Choice(Shape, frozen=True):
    """One of a few words."""

    words: tuple[str, ...]
    make: Callable[[str], Any] = str
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)  # known words that may not stand here, and why

    @property
    def expected(self) -> str:
        return either(self.words)

    def read(self, node: Node, problems: Problems) -> Any:
        if isinstance(node, ScalarNode) and node.text in self.refused:
            problems.add(node, f"`{node.text}` {self.refused[node.text]}", expected=self.expected)
            return None
        if isinstance(node, ScalarNode) and node.text in self.words:
            return self.make(node.text)
        near = problems.nearest(node.text, self.words) if isinstance(node, ScalarNode) else None
        return wrong(node, self.expected, problems, Unfit(nearest=near))

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return {"enum": list(self.words)}


class ListOf(Shape, frozen=True):
    item: Shape
    expected: str
    least: int = 0
    distinct: bool = False

    def read(self, node: Node, problems: Problems) -> tuple[Any, ...] | None:
        if not isinstance(node, SequenceNode):
            hint = Unfit(f"write [{node.shown}]") if isinstance(node, ScalarNode) and not node.is_null else None
            wrong(node, self.expected, problems, hint)
            return None
        if len(node.items) < self.least:
            problems.add(node, f"expected {self.expected}, found an empty list", expected=self.expected)
            return None
        values = []
        for item in node.items:
            value = self.item.read(item, problems)
            if value is not None and self.distinct and value in values:
                problems.add(item, f"{describe(item)} is in this list twice")
            elif value is not None:
                values.append(value)
        return tuple(values) if len(values) == len(node.items) else None

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        schema: Schema = {"type": "array", "items": self.item.schema(definitions)}
        if self.least:
            schema["minItems"] = self.least
        if self.distinct:
            schema["uniqueItems"] = True
        return schema


class MapOf(Shape, frozen=True):
    """A mapping with names of the user's choice. What is wrong in one entry does not hide the others."""

    value: Shape
    expected: str
    key: Scalar
    json_key: str | None = None  # the pattern of the names
    null: bool = False  # null may stand for a value; it is read as ``NOTHING``

    def read(self, node: Node, problems: Problems) -> dict[str, Any] | None:
        if not isinstance(node, MappingNode):
            wrong(node, self.expected, problems)
            return None
        values: dict[str, Any] = {}
        for key_node, value_node in node.entries.values():
            try:
                name = self.key.make(key_node.text)
            except Unfit as unfit:
                wrong(key_node, self.key.expected, problems, unfit)
                name = None
            value: Any = None
            if self.null and isinstance(value_node, ScalarNode) and value_node.is_null:
                if value_node.text:
                    value = NOTHING
                else:
                    problems.add(
                        key_node,
                        f"nothing is written for `{key_node.text}`: write null for `not there`, {{}} for no change",
                    )
            else:
                value = self.value.read(value_node, problems)
            if name is None or value is None:
                continue
            if name in values:
                problems.add(key_node, f"`{key_node.text}` is the same as another key here")
            values[name] = value
        return values

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        value = self.value.schema(definitions)
        schema: Schema = {"type": "object"}
        schema["additionalProperties"] = {"anyOf": [value, {"type": "null"}]} if self.null else value
        if self.json_key:
            schema["propertyNames"] = {"pattern": f"^(?:{self.json_key})$"}
        return schema


class Nothing:
    """The value of an explicit null."""


NOTHING = Nothing()


class Either(Shape, frozen=True):
    """A short form (a scalar) beside the mapping."""

    short: Shape
    long: Shape

    @property
    def expected(self) -> str:
        return f"{self.short.expected} or {self.long.expected}"

    def read(self, node: Node, problems: Problems) -> Any:
        if isinstance(node, MappingNode):
            return self.long.read(node, problems)
        if isinstance(node, ScalarNode) and not node.is_null:
            return self.short.read(node, problems)
        return wrong(node, self.expected, problems)

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        return {"anyOf": [self.short.schema(definitions), self.long.schema(definitions)]}


class Key(msgspec.Struct, frozen=True):
    """One key: its name, its shape, a sentence of description. ``field``: its name in the value that is made."""

    name: str
    shape: Shape
    description: str
    required: bool = False
    default: str | None = None  # as one would write it; for the reference, and proved equal to the model's by a test
    field: str = ""

    @property
    def field_name(self) -> str:
        return self.field or self.name


class Fields(msgspec.Struct, frozen=True):
    """A mapping whose keys were read, without what was wrong. ``node`` knows the places, and the wrong keys too."""

    node: MappingNode
    values: Mapping[str, Any]

    def has(self, name: str) -> bool:
        """Whether the key is written, rightly or wrongly."""
        return name in self.node.entries


class Keys(Shape, frozen=True):
    """A mapping with known keys only. ``make`` gets the values by field name; without it, ``Fields`` is the value."""

    title: str
    keys: tuple[Key, ...]
    make: Callable[..., Any] | None = None
    one_of: tuple[str, ...] = ()  # exactly one of these
    some_of: tuple[str, ...] = ()  # at least one of these
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)  # known names that may not stand here, and why
    check: Callable[[MappingNode, Mapping[str, Any], Problems], bool] | None = None  # False: it added a problem
    secret: bool = False  # says where a secret is found: one that stands there itself is shown by no error
    compose: bool = False  # a mapping of Compose's: keys x-… are anybody's own, and a null is as if it were not written
    by_name: Mapping[str, Key] = msgspec.field(default_factory=dict)  # made of ``keys``

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "by_name", {key.name: key for key in self.keys})

    @property
    def expected(self) -> str:
        names = [key.name for key in self.keys]
        shown = ", ".join(names) if len(names) <= 8 else ", ".join(names[:8]) + ", …"
        return f"a mapping ({shown})" if names else "an empty mapping {}"

    @property
    def definition(self) -> str:
        """What its schema is called: the title without its article."""
        return "_".join(word for word in self.title.split() if word not in ("a", "an", "the"))

    def read(self, node: Node, problems: Problems) -> Any:
        if not isinstance(node, MappingNode):
            if self.secret and isinstance(node, ScalarNode) and node.text:
                problems.hide(node)
                told = (
                    f"expected {self.expected}, found a value: say where the value is found, this file never holds it"
                )
                return problems.add(node, told, expected=self.expected)
            return wrong(node, self.expected, problems)
        values: dict[str, Any] = {}
        wrong_keys = False
        meant: set[str] = set()
        for name, (key_node, value_node) in node.entries.items():
            key = self.by_name.get(name)
            if self.compose and (
                name.startswith("x-") or (key and isinstance(value_node, ScalarNode) and value_node.is_null)
            ):
                continue
            if key is None:
                if self.secret:
                    problems.hide(value_node)  # of a kind of place that there is not: it may be the value itself
                meant.add(self._unknown(key_node, problems) or "")
                wrong_keys = True
                continue
            value = key.shape.read(value_node, problems)
            if value is None:
                wrong_keys = True
            else:
                values[key.field_name] = value
        complete = self._complete(node, meant, problems)
        if self.check is not None and not self.check(node, values, problems):
            complete = False
        if self.make is None:
            return Fields(node, values)
        return self.make(**values) if complete and not wrong_keys else None

    def default(self, name: str) -> Any:
        """What the default of the key ``name`` means."""
        key = self.by_name[name]
        if not isinstance(key.shape, Scalar) or key.default is None:
            raise KeyError(name)
        return key.shape.make(key.default)

    def _complete(self, node: MappingNode, meant: set[str], problems: Problems) -> bool:
        """Whether nothing is missing or too much. ``meant`` are keys that were mistyped: they are not missing as well."""
        if any(name in self.refused for name in node.entries):
            return False  # what stands there instead of the missing was reported
        complete = True
        for key in self.keys:
            if key.required and key.name not in node.entries and key.name not in meant:
                problems.add(node, f"`{key.name}` is missing in {self.title}", expected=key.shape.expected)
                complete = False
        present = [name for name in (*self.one_of, *self.some_of) if name in node.entries]
        if (self.one_of or self.some_of) and not present and not meant.intersection((*self.one_of, *self.some_of)):
            problems.add(node, f"{self.title} needs {either(self.one_of or self.some_of)}")
            complete = False
        if self.one_of and len(present) > 1:
            problems.add(node.key(present[1]), f"only one of {either(self.one_of)} may stand in {self.title}")
            complete = False
        return complete

    def _unknown(self, key_node: ScalarNode, problems: Problems) -> str | None:
        """The known key that was probably meant."""
        name = key_node.text
        if name in self.refused:
            problems.add(key_node, f"`{name}` {self.refused[name]}")
            return None
        known = [key.name for key in self.keys]
        near = problems.nearest(name, known)
        problems.add(key_node, f"unknown key `{shortened(name)}` in {self.title}", nearest=near)
        return near

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        if self.definition not in definitions:
            body: Schema = {"type": "object", "additionalProperties": False}
            definitions[self.definition] = body
            body["properties"] = {key.name: self._key_schema(key, definitions) for key in self.keys}
            if self.compose:
                body["patternProperties"] = {"^x-": {}}
                for key in self.keys:
                    shape = {name: part for name, part in body["properties"][key.name].items() if name != "description"}
                    body["properties"][key.name] = {
                        "anyOf": [shape, {"type": "null"}],
                        "description": body["properties"][key.name]["description"],
                    }
            required = [key.name for key in self.keys if key.required]
            if required:
                body["required"] = required
            if self.one_of:
                body["oneOf"] = [{"required": [name]} for name in self.one_of]
            if self.some_of:
                body["anyOf"] = [{"required": [name]} for name in self.some_of]
        return {"$ref": f"#/$defs/{self.definition}"}

    @staticmethod
    def _key_schema(key: Key, definitions: dict[str, Schema]) -> Schema:
        schema = key.shape.schema(definitions)
        schema["description"] = key.description if key.default is None else f"{key.description} Default: {key.default}."
        return schema
