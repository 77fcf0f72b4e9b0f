"""Whatever is in the file, the loader gives a fleet or ``FleetFileErrors``, and nothing else ever happens."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.config import keys
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.problems import FleetFileErrors, Problem, render, to_values
from quarterdeck.config.shapes import Either, Keys, ListOf, MapOf, Shape

FULL = (Path(__file__).resolve().parents[2] / "config" / "examples" / "full.yml").read_text()
BOUNDED = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIECES = st.one_of(
    st.sampled_from("{}[]:,-?*&!|>%@`'\"#\n\t ~\0\ufeff"),
    st.sampled_from(["<<: ", "---\n", "...\n", "!!python/object:x ", "&a ", "*a"]),
    st.sampled_from(
        ["null", "true", "1e400", "0x", "9" * 400, "..", "/", "{version}", "{x}", "25%", "1h", "http://[", "~x/y"]
    ),
    st.text(max_size=12),
)


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    fleet, problems = load(path)
    assert isinstance(fleet, Fleet) != bool(problems)
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
    assert bool(render(problems)) == bool(problems)
    json.dumps(to_values(problems))


def load(path: Path) -> tuple[Fleet | None, Sequence[Problem]]:
    try:
        return load_fleet(path), ()
    except FleetFileErrors as error:
        return None, error.problems


@BOUNDED
@given(content=st.binary(max_size=400))
def test_any_bytes(content: bytes, tmp_path: Path) -> None:
    check(tmp_path / "fleet.yml", content)


@BOUNDED
@given(text=st.lists(PIECES, max_size=40).map("".join))
def test_any_mixture_of_yaml(text: str, tmp_path: Path) -> None:
    check(tmp_path / "fleet.yml", text.encode("utf-8", "surrogatepass"))


@BOUNDED
@given(edits=st.lists(st.tuples(st.integers(0, len(FULL)), st.integers(0, 12), PIECES), min_size=1, max_size=4))
def test_the_full_example_with_random_damage(edits: list[tuple[int, int, str]], tmp_path: Path) -> None:
    text = FULL
    for at, length, piece in edits:
        text = text[:at] + piece + text[at + length :]
    check(tmp_path / "fleet.yml", text.encode("utf-8", "surrogatepass"))


def values_for(shape: Shape) -> st.SearchStrategy[Any]:
    """Mostly right structures of the shape with any values in them."""
    match shape:
        case Keys():
            known = {key.name: values_for(key.shape) for key in shape.keys}
            return st.fixed_dictionaries({}, optional=known) | st.just({"unknown": 1})
        case MapOf():
            names = st.sampled_from(["a", "b", "KEY", "x/y", "..", "", "A b"])
            return st.dictionaries(names, values_for(shape.value) | st.none(), max_size=3)
        case ListOf():
            return st.lists(values_for(shape.item), max_size=3)
        case Either():
            return values_for(shape.short) | values_for(shape.long)
        case _:
            plain = st.sampled_from(
                ["a", "b", "KEY", "30s", "25%", "/srv/a", "a.service", "rolling", "http://x/y", "x-{version}"]
            )
            return plain | st.integers(-1, 70_000) | st.booleans() | st.none() | st.text(max_size=5)


@BOUNDED
@given(body=values_for(keys.FLEET))
def test_any_values_in_the_right_structure(body: Any, tmp_path: Path) -> None:
    check(tmp_path / "fleet.yml", json.dumps(body).encode())
