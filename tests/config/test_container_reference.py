"""docs/fleet-containers.md says what the code does: its tables are the keys that are read, and those that are refused."""

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml

from quarterdeck.config.compose import parts
from quarterdeck.config.compose.declarations import CONFIG, NETWORK, SECRET, VOLUME
from quarterdeck.config.compose.keys import IN_PLACE, SERVICE, TOP_LEVEL, TOP_LEVEL_REFUSED
from quarterdeck.config.compose.refusals import NOT_ON_ENGINES, NOT_ON_SWARMS
from quarterdeck.config.compose.shapes import ByForm, NamedMap, WithPlace
from quarterdeck.config.container import ContainerSpec, Limits
from quarterdeck.config.containers import POINTED_AT
from quarterdeck.config.nodes import ScalarNode, Source
from quarterdeck.config.problems import Problems
from quarterdeck.config.schema import json_schema
from quarterdeck.config.shapes import Keys, ListOf, MapOf, Shape
from tests.config import test_examples

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "fleet-containers.md"


def mapping_of(name: str) -> Keys:
    """The long form of the members of a service's list or mapping ``name``."""
    shape: Shape | None = SERVICE.by_name[name].shape
    while not isinstance(shape, Keys):
        match shape:
            case ListOf():
                shape = shape.item
            case WithPlace():
                shape = shape.shape
            case NamedMap():
                shape = shape.keys
            case MapOf():
                shape = shape.value
            case ByForm():
                shape = shape.mapping if shape.mapping is not None else shape.sequence
            case _:
                raise AssertionError(name)
    return shape


LONG_FORMS = {
    f"{name}[].": mapping_of(name) for name in ("ports", "volumes", "configs", "secrets", "devices", "gpus")
} | {
    "env_file[].": parts.ENV_FILE,
    "networks.NAME.": mapping_of("networks"),
    "ulimits.NAME.": mapping_of("ulimits"),
}
DECLARED = {"networks.NAME.": NETWORK, "volumes.NAME.": VOLUME, "configs.NAME.": CONFIG, "secrets.NAME.": SECRET}


def rows(keys: Keys, above: str = "") -> Iterator[str]:
    """A row for each key, and for each key of the mappings that stand below it."""
    for key in keys.keys:
        default = f" Default: {key.default}." if key.default is not None else ""
        yield f"| `{above}{key.name}` | {key.description}{default} |"
        if isinstance(key.shape, Keys):
            yield from rows(key.shape, f"{above}{key.name}.")
        elif isinstance(key.shape, ListOf) and isinstance(key.shape.item, Keys):
            yield from rows(key.shape.item, f"{above}{key.name}[].")


def refused(keys: Keys, above: str = "") -> Iterator[str]:
    for name, why in keys.refused.items():
        if above or name not in ("image", "build"):
            yield f"| `{above}{name}` | {why} |"
    for key in keys.keys:
        if isinstance(key.shape, Keys):
            yield from refused(key.shape, f"{above}{key.name}.")
        elif isinstance(key.shape, ListOf) and isinstance(key.shape.item, Keys):
            yield from refused(key.shape.item, f"{above}{key.name}[].")


def table_after(heading: str) -> list[str]:
    text = DOCUMENT.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return lines[2:]  # below the names of the columns


TABLES = {
    "The keys of a service": list(rows(SERVICE)),
    "Long forms": [row for above, keys in LONG_FORMS.items() for row in rows(keys, above)],
    "The top level of a compose file": [row for above, keys in DECLARED.items() for row in rows(keys, above)],
    "Keys of a service that can't be had": sorted(
        {*refused(SERVICE), *(row for above, keys in LONG_FORMS.items() for row in refused(keys, above))}
    ),
    "Keys that a swarm can't have": [f"| `{path}` | {why} |" for path, why in NOT_ON_SWARMS.items()],
    "Keys that an engine can't have": [f"| `{path}` | {why} |" for path, why in NOT_ON_ENGINES.items()],
    "Keys of the top level that can't be had": [
        row for above, keys in DECLARED.items() for row in refused(keys, above)
    ],
}


@pytest.mark.parametrize("heading", TABLES)
def test_a_table_is_that_of_the_program(heading: str) -> None:
    assert table_after(heading) == TABLES[heading], "the table should be:\n" + "\n".join(TABLES[heading])


def test_the_rest_names_what_the_program_knows() -> None:
    text = DOCUMENT.read_text()
    for name in (*TOP_LEVEL, *TOP_LEVEL_REFUSED, *POINTED_AT.by_name):
        assert name in text


def test_the_fleet_file_in_it_fits_the_schema() -> None:
    written = yaml.safe_load(DOCUMENT.read_text().partition("```yaml\n")[2].partition("```")[0])
    jsonschema.Draft202012Validator(json_schema()).validate(written)


def keys_below(shape: Shape, seen: set[int]) -> Iterator[Keys]:
    if id(shape) in seen:
        return
    seen.add(id(shape))
    match shape:
        case Keys():
            yield shape
            inner: list[Shape | None] = [key.shape for key in shape.keys]
        case ByForm():
            inner = [shape.scalar, shape.sequence, shape.mapping]
        case ListOf():
            inner = [shape.item]
        case WithPlace():
            inner = [shape.shape]
        case MapOf():
            inner = [shape.value]
        case NamedMap():
            inner = [shape.keys]
        case _:
            inner = []
    for one in inner:
        if one is not None:
            yield from keys_below(one, seen)


def every_keys() -> list[Keys]:
    seen: set[int] = set()
    tops = (SERVICE, IN_PLACE, POINTED_AT, NETWORK, VOLUME, CONFIG, SECRET)
    return [keys for top in tops for keys in keys_below(top, seen)]


def test_every_key_has_one_sentence_and_every_group_a_name_of_its_own() -> None:
    groups = every_keys()
    assert len(groups) > 25
    for group in groups:
        for key in group.keys:
            assert key.description.endswith("."), (group.title, key.name)
            assert len(key.description) < 140, (group.title, key.name)
    names = [group.definition for group in (*groups, *test_examples.every_keys())]
    assert len(names) == len(set(names))


def test_defaults_that_are_described_are_those_of_a_container() -> None:
    """What is written as its default, and nothing at all, are the same."""
    described = [key for key in SERVICE.keys if key.default is not None]
    assert len(described) >= 7
    node = ScalarNode(Source(Path("x"), Path("/")), 1, 1, "", True)
    for key in described:
        problems = Problems()
        value = key.shape.read(msgspec.structs.replace(node, text=key.default or ""), problems)
        assert not problems.found
        model = ContainerSpec("p", "s") if key.name in ContainerSpec.__struct_fields__ else Limits()
        assert value == getattr(model, key.field_name), key.name


@pytest.mark.parametrize(
    ("container", "right"),
    [
        ({}, True),
        ({"compose": "compose.yaml", "service": "api", "without": ["depends_on"]}, True),
        ({"ports": ["80:80", {"target": 80}], "x-a": 1, "command": None, "ulimits": {"nofile": 1}}, True),
        ({"networks": {"a": None, "b": {"external": True}}, "environment": ["A=1"], "labels": {"a": None}}, True),
        ({"compose": "compose.yaml"}, False),
        ({"compose": "compose.yaml", "service": "api", "ports": []}, False),
        ({"prots": []}, False),
        ({"ports": [{"published": 80}]}, False),
        ({"depends_on": ["db"]}, False),
    ],
    ids=str,
)
def test_the_schema_knows_containers(container: object, right: bool) -> None:
    body = {"fleet": "x", "services": {"s": {"artifact": {"image": "x"}, "container": container}}}
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(body) == right
