"""Whatever is in the file, the loader gives a fleet or ``FleetFileErrors``, and nothing else ever happens."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.config import keys
from quarterdeck.config.compose.keys import IN_PLACE, SERVICE
from quarterdeck.config.compose.shapes import ByForm, NamedMap, Pairs, WithPlace
from quarterdeck.config.containers import POINTED_AT, Container
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.problems import FleetFileErrors, Problem, render, to_values
from quarterdeck.config.shapes import Either, Keys, ListOf, MapOf, Shape

EXAMPLES = Path(__file__).resolve().parents[2] / "config" / "examples"
FULL = (EXAMPLES / "full.yml").read_text()
CORPUS = [path.read_text() for path in sorted((Path(__file__).parent / "corpus").iterdir())]
BOUNDED = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIECES = st.one_of(
    st.sampled_from("{}[]:,-?*&!|>%@`'\"#\n\t ~\0\ufeff"),
    st.sampled_from(["<<: ", "---\n", "...\n", "!!python/object:x ", "&a ", "*a", "$", "${", "${A:-", "${A:?b}", "$$"]),
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
        case Container():
            return values_for(IN_PLACE) | values_for(POINTED_AT)
        case WithPlace():
            return values_for(shape.shape)
        case ByForm():
            forms = [form for form in (shape.scalar, shape.sequence, shape.mapping) if form is not None]
            return st.one_of([values_for(form) for form in forms])
        case NamedMap():
            return st.dictionaries(
                st.sampled_from(["a", "b", "x-c", "d/e"]), values_for(shape.keys) | st.none(), max_size=3
            )
        case Pairs():
            names = st.sampled_from(["a", "A", "", "QD_A", "a.b", "a=b"])
            return st.dictionaries(names, st.none() | st.text(max_size=5) | st.integers(), max_size=3) | st.lists(names)
        case _:
            plain = st.sampled_from(
                ["a", "b", "KEY", "30s", "25%", "/srv/a", "a.service", "rolling", "http://x/y", "x-{version}"]
            )
            return plain | st.integers(-1, 70_000) | st.booleans() | st.none() | st.text(max_size=5)


@BOUNDED
@given(body=values_for(keys.FLEET))
def test_any_values_in_the_right_structure(body: Any, tmp_path: Path) -> None:
    check(tmp_path / "fleet.yml", json.dumps(body).encode())


FLEET = (
    "fleet: acme\nhosts: {a: {%s: 'ssh://a'}}\nenvironments: {e: {hosts: [a]}}\nservices:\n"
    "  s: {artifact: {image: x}, container: {compose: compose.yaml, service: a, without: [depends_on]}}\n"
)
TOP = {
    "networks": {"a": {"external": True}, "b": None},
    "volumes": {"a": None, "b": {}},
    "configs": {"a": {"content": "x"}},
}


@BOUNDED
@given(
    service=values_for(SERVICE),
    names=st.sampled_from([TOP, {}, {"networks": {"a": 1}, "secrets": {"a": []}}]),
    kind=st.sampled_from(["docker", "swarm"]),
)
def test_any_values_in_a_service_of_a_compose_file(service: Any, names: Any, kind: str, tmp_path: Path) -> None:
    body = {"services": {"a": service}, **names}
    (tmp_path / "compose.yaml").write_bytes(json.dumps(body).encode())
    check(tmp_path / "fleet.yml", (FLEET % kind).encode())


@BOUNDED
@given(
    text=st.sampled_from(CORPUS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), PIECES), min_size=1, max_size=4),
    service=st.sampled_from(["web", "sidekiq", "node", "model", "proxy"]),
    kind=st.sampled_from(["docker", "swarm"]),
    dotenv=st.binary(max_size=60) | st.text(alphabet="A=$'\"\n\\{}:-# ", max_size=60).map(str.encode),
)
def test_a_compose_file_with_random_damage(
    text: str, edits: list[tuple[float, int, str]], service: str, kind: str, dotenv: bytes, tmp_path: Path
) -> None:
    for where, length, piece in edits:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + length :]
    (tmp_path / "compose.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / ".env").write_bytes(dotenv)
    (tmp_path / ".env.forum").write_bytes(dotenv)
    check(tmp_path / "fleet.yml", (FLEET % kind).replace("service: a,", f"service: {service},").encode())
