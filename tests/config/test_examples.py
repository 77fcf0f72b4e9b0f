"""The examples are right, complete and typed, and the schema and the loader speak of the same keys."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from quarterdeck.config import keys
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet, Target
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode, Source
from quarterdeck.config.problems import Problems
from quarterdeck.config.schema import json_schema, schema_text
from quarterdeck.config.shapes import Either, Key, Keys, ListOf, MapOf, Shape
from quarterdeck.config.source import read_node

FLOOR = Path(__file__).resolve().parents[2] / "config"
EXAMPLES = sorted(path for path in (FLOOR / "examples").glob("*.yml") if path.name != "settings.yml")


def test_there_are_examples() -> None:
    assert {"minimal.yml", "systemd.yml", "full.yml", "swarm.yml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_loads_into_the_types_of_the_model(path: Path) -> None:
    fleet = load_fleet(path)
    assert fleet.targets
    for target in fleet.targets.values():
        # Strict conversion fails where a value is not of the type that the model declares.
        assert msgspec.convert(msgspec.to_builtins(target), Target) == target
    assert isinstance(fleet, Fleet)
    assert fleet.state.is_absolute()
    assert fleet.file == path


class AsEditorsDo(yaml.SafeLoader):
    """YAML 1.2 knows no dates, and `on` is a word: to an editor, and to the loader, 2026-12-20 is text."""

    yaml_implicit_resolvers = {
        first: [
            (tag, pattern)
            for tag, pattern in found
            if not tag.endswith(":timestamp") and (first in "tTfF" or not tag.endswith(":bool"))
        ]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_fits_the_schema(path: Path) -> None:
    read = yaml.load(path.read_text(), AsEditorsDo)
    jsonschema.Draft202012Validator(json_schema()).validate(read)


def test_the_schema_is_a_schema_and_the_file_is_in_step() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert (FLOOR / "fleet.schema.json").read_text() == schema_text(), "write schema_text() to config/fleet.schema.json"


@pytest.mark.parametrize(
    "change",
    [
        {"flet": "x"},
        {"hosts": {"a": {}}},
        {"hosts": {"A": {"ssh": "a"}}},
        {"hosts": {"a": {"ssh": "ssh://a"}}},
        {"hosts": {"a": {"swarm": []}}},
        {"hosts": {"a": {"swarm": "a"}}},
        {"hosts": {"a": {"swarm": ["ssh://a", "ssh://a"]}}},
        {"hosts": {"a": {"swarm": "ssh://a", "docker": "ssh://a"}}},
        {"hosts": {"a": {"swarm": "ssh://a", "nodes": "{address}"}}},
        {"services": {"s": {"container": {"deploy": {"mode": "globle"}}}}},
        {"services": {"s": {"container": {"deploy": {"placement": {"preferences": ["zone"]}}}}}},
        {"environments": {"e": {"hosts": []}}},
        {"environments": {"e": {"hosts": ["a"], "soak": "5"}}},
        {"services": {"s": {"strategy": "canary"}}},
        {"services": {"s": {"health": {"interval": "2s"}}}},
        {"services": {"s": {"secrets": {"A": {"env": "A", "file": "b"}}}}},
        {"services": {"s": {"env": {"A": ["list"]}}}},
        {"services": {"s": {"rollback": {"automatic": "yes"}}}},
        {"services": {"s": {"strategy": {"rolling": {"batches": ["25 %"]}}}}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_loader_refuses(change: dict[str, Any], tmp_path: Path) -> None:
    body = {"fleet": "x", **change}
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(body))
    path = tmp_path / "fleet.yml"
    path.write_text(yaml.safe_dump(body))
    problems = Problems()
    node = read_node(path, problems)
    assert node is not None
    keys.FLEET.read(node, problems)
    assert problems.found


def shapes_below(shape: Shape, seen: set[int]) -> Iterator[Shape]:
    if id(shape) in seen:
        return
    seen.add(id(shape))
    yield shape
    match shape:
        case Keys():
            inner: list[Shape] = [key.shape for key in shape.keys]
        case Either():
            inner = [shape.short, shape.long]
        case ListOf():
            inner = [shape.item]
        case MapOf():
            inner = [shape.value, shape.key]
        case _:
            inner = []
    for one in inner:
        yield from shapes_below(one, seen)


def every_keys() -> list[Keys]:
    return [shape for shape in shapes_below(keys.FLEET, set()) if isinstance(shape, Keys)]


def test_every_key_has_one_sentence() -> None:
    for group in every_keys():
        for key in group.keys:
            assert key.description.endswith("."), (group.title, key.name)
            assert 10 < len(key.description) < 140, (group.title, key.name)


def test_no_two_groups_share_a_definition() -> None:
    names = [group.definition for group in every_keys()]
    assert len(names) == len(set(names))


def test_defaults_that_are_described_are_those_of_the_model() -> None:
    compared = 0
    models = {keys.OVERRIDE.title: Target}
    for group in every_keys():
        model = models.get(group.title, group.make)
        if not (isinstance(model, type) and issubclass(model, msgspec.Struct)):
            continue
        fields = {field.name: field for field in msgspec.structs.fields(model)}
        for key in group.keys:
            if key.default is not None and key.name != "strategy":
                assert _value(key) == fields[key.field_name].default, (group.title, key.name)
                compared += 1
    assert compared >= 15


def _value(key: Key) -> Any:
    node = ScalarNode(Source(Path("x"), Path("/")), 1, 1, key.default or "", True)
    problems = Problems()
    value = key.shape.read(node, problems)
    assert not problems.found
    return value


def test_the_full_example_shows_every_key() -> None:
    shown: set[tuple[str, str]] = set()

    def walk(shape: Shape, node: Node) -> None:
        match shape, node:
            case Keys(), MappingNode():
                for name, entry in node.entries.items():
                    shown.add((shape.title, name))
                    walk(shape.by_name[name].shape, entry.value)
            case Either(), MappingNode():
                walk(shape.long, node)
            case ListOf(), SequenceNode():
                for item in node.items:
                    walk(shape.item, item)
            case MapOf(), MappingNode():
                for entry in node.entries.values():
                    walk(shape.value, entry.value)
            case _:
                pass

    node = read_node(FLOOR / "examples" / "full.yml", Problems())
    assert node is not None
    walk(keys.FLEET, node)
    wanted = {(group.title, key.name) for group in every_keys() for key in group.keys}
    # Shown by their short forms, in comments, in the file that is included, or as the same keys of the service around.
    excused = {
        ("a unit", "name"),
        ("a unit", "user"),
        ("a command check", "run"),
        ("a strategy", "recreate"),
        ("builds", "gitlab"),
        *((keys.OVERRIDE.title, key.name) for key in keys.OVERRIDE.keys),
    }
    assert wanted - shown - excused == set()
