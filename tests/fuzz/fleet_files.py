"""Fleet files and what they include: a fleet, or errors that all lie within the files. What is accepted can be used."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.manifest import manifest, parse_manifest
from quarterdeck.backends.hosts.ssh.release_files import host_files
from quarterdeck.config import keys
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.model import Target as FleetTarget
from quarterdeck.config.nodes import LINE_BREAK
from quarterdeck.config.problems import FleetFileErrors, Problem, render, to_values
from quarterdeck.config.release import ResolvedArtifact, canonical, release_from_json, to_json
from quarterdeck.config.shapes import Keys
from quarterdeck.rollouts.declared import release_of
from quarterdeck.rollouts.manifest import release_in
from quarterdeck.rollouts.plans.plan import HostNow, Touched, plan_deploy, plan_rollback, plan_take_back, summary
from quarterdeck.rollouts.plans.undoing import left
from quarterdeck.tui import main
from tests.fuzz.target import Choices, Target, scratch, within

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "config" / "examples"
SLOWEST: Final = 20.0  # seconds of a processor for a file of at most 5 MB
_FILE: Final = re.compile(rb"(?m)^%%% ([A-Za-z0-9][A-Za-z0-9._-]{0,30})\n")
_MOST_FILES: Final = 8
SAID: Final = "said.yml"  # the fleet file itself


def files_of(data: bytes) -> dict[str, bytes]:
    """``data`` is the fleet file; a line ``%%% name`` begins another file beside it."""
    parts = _FILE.split(data)
    found = {SAID: parts[0]}
    for name, body in zip(parts[1 : 2 * _MOST_FILES : 2], parts[2 : 2 * _MOST_FILES + 1 : 2], strict=True):
        found.setdefault(name.decode(), body)
    return found


@cache
def _place() -> Path:
    place = scratch() / "fleet"
    shutil.copytree(EXAMPLES, place)
    return place


def load(path: Path) -> tuple[Fleet | None, Sequence[Problem]]:
    try:
        return load_fleet(path), ()
    except FleetFileErrors as error:
        return None, error.problems


def check_files(files: Mapping[str, bytes]) -> Fleet | None:
    """Puts ``files`` beside the examples, reads the fleet file twice and looks whether what came of it is in order."""
    place = _place()
    before = {name: (place / name).read_bytes() if (place / name).is_file() else None for name in files}
    try:
        for name, body in files.items():
            if not (place / name).is_dir():
                (place / name).write_bytes(body)
        with within(SLOWEST):
            fleet, problems = load(place / SAID)
        again, problems_again = load(place / SAID)
        assert (fleet is None) == bool(problems), "a fleet, or what is wrong: one of the two"
        assert fleet == again, "the same file is the same fleet"
        assert list(problems) == list(problems_again), "the same file has the same faults"
        for problem in problems:
            _lies_within(problem)
        assert bool(render(problems)) == bool(problems)
        json.dumps(to_values(problems))
        if fleet is not None:
            _can_be_used(fleet)
            assert checked_by_command(place / SAID) == 0
    finally:
        for name, body_before in before.items():
            if body_before is not None:
                (place / name).write_bytes(body_before)
            elif (place / name).is_file():
                (place / name).unlink()
    return fleet


def _lies_within(problem: Problem) -> None:
    assert problem.message.strip()
    assert problem.line >= 1
    assert problem.column >= 1
    if not problem.file.is_file():
        assert (problem.line, problem.column) == (1, 1)
        return
    lines = LINE_BREAK.split(problem.file.read_bytes().decode("utf-8-sig", "replace"))
    assert problem.line <= len(lines), f"line {problem.line} of {len(lines)}: {problem}"
    longest = len(lines[problem.line - 1]) + 1
    assert problem.column <= longest, f"column {problem.column} of {longest}: {problem}"


def _can_be_used(fleet: Fleet) -> None:
    for target in fleet.targets.values():
        _deploys(target)


def _deploys(target: FleetTarget) -> None:
    """A release of it can be made, written down, read back and planned for."""
    artifact = ResolvedArtifact("x@sha256:" + "0" * 64, "0" * 64)
    fingerprints = dict.fromkeys(target.secrets, "00:11")
    release = release_of(target, "v1.2", artifact, fingerprints, created="", created_by="")
    assert release_from_json(json.loads(canonical(to_json(release)))) == release
    written = parse_manifest(canonical(manifest(release)).decode())
    assert written is not None
    assert release_in(written).digest == release.digest
    if target.container is None:
        with contextlib.suppress(BackendError):
            host_files(release, dict.fromkeys(target.secrets, "s"), "host", "test")
    names = [host.name for host in target.hosts]
    old = "v1.1-0000000000"
    hosts = [HostNow(name, current=old, running=True, kept=frozenset({old})) for name in names]
    for beside in (False, True):
        plan = plan_deploy(hosts, release.id, target.strategy, target.hooks, beside=beside)
        assert set(plan.changed) == set(names)
        json.dumps(to_json(plan))
        assert summary(plan, hosts, old)
    undo = [left(release.id, target.hooks, (), declared=True)]
    back = plan_rollback(hosts, old, target.rollback.max_unavailable, undo=undo)
    json.dumps(to_json(back))
    touched = [Touched(name, old) for name in names]
    json.dumps(to_json(plan_take_back(touched, [], target.hooks, target.rollback.max_unavailable, leaving=release.id)))


def checked_by_command(path: Path) -> int:
    """The exit status of ``qd check``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main.main(["check", str(path), "--json"])
    json.loads(out.getvalue())
    return status


def any_file(data: bytes) -> None:
    check_files(files_of(data))


def _example_seeds() -> list[bytes]:
    return [
        b"fleet: acme\nhosts: {a: {ssh: a}}\nenvironments: {e: {hosts: [a]}}\nservices:\n"
        b"  s: {artifact: {tarball: 'x-{version}'}, path: /srv/s, unit: s.service}\n",
        b"fleet: acme\ninclude: [b.yml]\n%%% b.yml\nhosts: {a: {docker: 'ssh://a'}}\nenvironments: {e: {hosts: [a]}}\n"
        b"services:\n  s: {artifact: {image: x}, container: {compose: c.yaml, service: a}}\n"
        b"%%% c.yaml\nservices: {a: {image: x, ports: ['1:2'], command: [a, $B]}}\n%%% .env\nB=1\n",
        *((EXAMPLES / name).read_bytes() for name in ("minimal.yml", "docker.yml", "swarm.yml")),
    ]


# What a person, or a program, puts where something else belongs.
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2, 100, 65536, 10**40, 0.5, float("nan"), float("inf"), "", " ", "~", "yes", "off", "0x1F", "1_000",
    "12:30:45", "2026-11-30", "1e3", ".inf", "a", "A", "*", "..", "/", "/srv/x", "~/x", "../../x", "x/{version}", "{version}{version}",
    "{", "{}", "${A}", "$(id)", "25%", "0%", "100.0%", "100.1%", "30s", "0s", "9" * 30 + "s", "1h30m", "a.service", "-x", "a b",
    "\u00e9\u0301", "\U0001f680", "\u202e", "\x1b[2J", "a\nb", "x" * 5000, [], {}, [[]], [None], {"": None}, {"a": {"a": {"a": []}}},
    ["a", "a"], {"version": "x"}, {"image": "x"}, {"tarball": "x-{version}"}, {"<<": {}}, "http://[", "http://x:99999/", "ssh://a",
    "tcp://a:2375", "unix:///x", "value < 5", "not value", "production", "staging", "api", "web-1",
)  # fmt: skip


@cache
def _bodies() -> tuple[Any, ...]:
    """The examples as plain values."""
    names = ("full.yml", "docker.yml", "swarm.yml", "systemd.yml")
    return tuple(yaml.load((EXAMPLES / name).read_text(), Loader=_Loader) for name in names)


@cache
def _known_keys() -> tuple[str, ...]:
    """Every key of the fleet file, of any of its parts."""
    found: set[str] = set()
    seen: set[int] = set()

    def look(shape: Any) -> None:
        if id(shape) in seen:
            return
        seen.add(id(shape))
        if isinstance(shape, Keys):
            for key in shape.keys:
                found.add(key.name)
                look(key.shape)
            return
        for name in ("value", "item", "short", "long", "shape"):
            if (inner := getattr(shape, name, None)) is not None and not isinstance(inner, str):
                look(inner)

    look(keys.FLEET)
    assert len(found) > 60
    return tuple(sorted(found))


def _mutated(body: Any, choices: Choices) -> Any:
    """A copy with one thing changed, somewhere below."""
    if isinstance(body, dict) and body:
        names = list(body)
        name = names[choices.below(len(names))]
        copy = dict(body)
        match choices.below(10):
            case 0:
                del copy[name]
            case 1:
                copy[str(choices.one(_known_keys()))] = copy.pop(name)
            case 2:
                copy[str(choices.one(_known_keys()))] = choices.one(_VALUES)
            case 3:
                copy[choices.word(12) or "x"] = copy[name]
            case 4:
                copy[name] = choices.one(_VALUES)
            case _:
                copy[name] = _mutated(copy[name], choices)
        return copy
    if isinstance(body, list) and body:
        at = choices.below(len(body))
        match choices.below(6):
            case 0:
                return body[:at] + body[at + 1 :]
            case 1:
                return [*body, body[at]]
            case 2:
                return body[at]
            case _:
                return [*body[:at], _mutated(body[at], choices), *body[at + 1 :]]
    match choices.below(5):
        case 0:
            return [body]
        case 1:
            return {str(choices.one(_known_keys())): body}
        case 2:
            return choices.word()
        case _:
            return choices.one(_VALUES)


def changed_example(data: bytes) -> None:
    choices = Choices(data)
    body = _bodies()[choices.below(len(_bodies()))]
    for _ in range(1 + choices.below(4)):
        body = _mutated(body, choices)
    text = json.dumps(body).encode() if choices.below(2) else _yaml(body)
    check_files({SAID: text})


def _yaml(body: Any) -> bytes:
    return yaml.dump(body, Dumper=_Dumper, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")


class _Loader(yaml.SafeLoader):
    """Reads `on`, `yes` and dates as the words that they are in a fleet file."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp")) or first in "tf"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Writes a shared value twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


TARGETS: Final = (
    Target(
        "fleet-file",
        "any bytes are a fleet, or errors with a file, a line and a column in it; twice the same; what is accepted can be planned",
        any_file,
        _example_seeds,
        longest=20_000,
        examples=150,
    ),
    Target(
        "fleet-values",
        "the same of the examples with keys and values exchanged, left out, put in",
        changed_example,
        lambda: [bytes(range(n, n + 24)) for n in range(0, 224, 24)],
        longest=96,
        examples=80,
    ),
)
