"""Whether what the project says of itself is so: locks, licence, change log, its documents, and what is shipped."""

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import quarterdeck
from quarterdeck.tui.cli.parser import COMMANDS, build, command_in
from quarterdeck.tui.cli.room import room_parser

ROOT = Path(quarterdeck.__file__).resolve().parent.parent
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
)
LICENSE = (
    "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # SHA-256 of the text as its authors publish it
)


@cache
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def wanted(kind: str) -> list[Requirement]:
    """What pyproject.toml asks for: ``runtime`` (and the build's tool), or ``development`` on top of that."""
    tables = project()
    table, groups = tables["project"], tables["dependency-groups"]
    assert isinstance(table, dict)
    assert isinstance(groups, dict)
    lines = [*table["dependencies"], *groups["build"], *(groups["dev"] if kind == "development" else ())]
    return [Requirement(line) for line in lines]


def locked(name: str) -> dict[str, str]:
    """Package → version of a lock file. Every entry must carry at least one hash."""
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)):
        if not entry.strip():
            continue
        pinned = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry)
        assert pinned, f"{name}: not a pinned requirement: {entry[:60]!r}"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"{name}: {pinned[1]} has no hash"
        found[canonicalize_name(pinned[1])] = pinned[2]
    return found


@cache
def files() -> tuple[Path, ...]:
    """The project's own text files: what git has or would add, or without git all that is not made by a tool."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0 and listing.stdout:
        paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    else:
        made = re.compile(
            r"(^|/)(\.git|\.venv|build|dist|__pycache__|\.[a-z_]+_cache|\.hypothesis|[^/]+\.egg-info)(/|$)"
        )
        paths = [path for path in ROOT.rglob("*") if not made.search(str(path.relative_to(ROOT)))]
    found = [
        path for path in paths if path.is_file() and not path.is_symlink() and b"\0" not in path.read_bytes()[:8000]
    ]
    assert len(found) > 50, "the list of files is not the project's"
    return tuple(found)


@pytest.mark.parametrize(("lock", "kind"), [("requirements.txt", "runtime"), ("requirements-dev.txt", "development")])
def test_every_dependency_is_locked_at_a_version_that_is_allowed(lock: str, kind: str) -> None:
    versions = locked(lock)
    for requirement in wanted(kind):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in {lock}: run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{requirement} is locked at {version}: run `make lock`"
        )


def test_development_runs_on_the_versions_that_users_get() -> None:
    development = locked("requirements-dev.txt")
    differing = {name for name, version in locked("requirements.txt").items() if development.get(name) != version}
    assert not differing


def test_locks_name_no_place() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert not re.search(r"://|^-|file:|--(index|find)", text, flags=re.MULTILINE), name


def test_license_is_the_whole_apache_license() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == LICENSE


def test_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(quarterdeck.__version__)}\]", text, flags=re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_inside_the_project_lead_somewhere(document: str) -> None:
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        assert path.exists(), f"{document}: {link} leads nowhere"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{document}: {link}: there is no such heading"


def test_shell_scripts_parse() -> None:
    scripts = {
        path: path.read_bytes().split(b"\n", 1)[0]
        for path in files()
        if path.suffix == ".sh" or path.read_bytes()[:2] == b"#!"
    }
    shells = {
        path: b"bash" if b"bash" in first else b"sh"
        for path, first in scripts.items()
        if not re.search(rb"python", first)
    }
    assert {ROOT / "bootstrap.sh", ROOT / ".ci/run"} <= set(shells)
    for path, shell in shells.items():
        parsed = subprocess.run([shell.decode(), "-n", path], capture_output=True, text=True, check=False)
        assert parsed.returncode == 0, f"{path}: {parsed.stderr}"


def test_no_file_names_a_machine_or_a_registry() -> None:
    """A clone works anywhere: nothing may lead to one developer's disk, or to where packages happened to come from."""
    private = [
        "/".join(("", *parts))
        for parts in (
            ("work", "main"),
            ("work", "shared"),
            ("root", ""),
            ("home", "runner"),
            ("opt", "pypi"),
            ("tmp", "qd", ""),
        )
    ]
    registries = [
        ".".join(parts)
        for parts in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"))
    ]
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in files()
        for word in (*private, *registries)
        if word in path.read_text(errors="replace")
    ]
    assert not found


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):(?!=)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(
        [shutil.which("make") or "make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"^ +make (\w+)", listed, flags=re.MULTILINE)) == make_targets()
    assert {"help", "setup", "demo", "test", "trust", "lint", "bench", "clean"} <= make_targets()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_of_the_documents_exist(document: str) -> None:
    named = set(re.findall(r"(?:`|^\$ |^)make ([a-z]+)", (ROOT / document).read_text(), flags=re.MULTILINE))
    assert named <= make_targets()


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)


FLEET_FILES = [
    pytest.param(text, id=f"{name}-{number}")
    for name in DOCUMENTS
    if (ROOT / name).exists()
    for number, text in enumerate(blocks(name, "yaml"))
]


@pytest.mark.parametrize("text", FLEET_FILES)
def test_fleet_files_of_the_documents_load(text: str, tmp_path: Path) -> None:
    from quarterdeck.config.load import load_fleet

    file = tmp_path / "fleet.yml"
    file.write_text(text)
    assert load_fleet(file).targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_the_documents_can_be_typed(document: str) -> None:
    """Whole command lines are parsed as `qd` parses them; of those inside a sentence the command must exist."""
    for block in blocks(document, "(?:console|sh)"):
        for line in re.findall(r"^(?:\$ |# )?(?:\.venv/bin/)?qd\b(.*)$", block, flags=re.MULTILINE):
            for command in re.split(r"&& *qd ", line):
                words = shlex.split(command, comments=True)
                asked_for = command_in(words)
                opens_the_room = asked_for == "" or (asked_for is not None and "/" in asked_for)
                (room_parser() if opens_the_room else build(asked_for)).parse_args(words)
    text = re.sub(r"^```.*?^```", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`qd ([a-z]+)", text))
    assert named <= {command.name for command in COMMANDS}


def test_a_built_package_has_every_file_of_the_floors(tmp_path: Path) -> None:
    """Scripts, migrations, schema and examples too: a program that runs from its checkout only is not delivered."""
    source = tmp_path / "source"
    for path in files():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for link in (ROOT / "quarterdeck").iterdir():
        if link.is_symlink():
            (source / "quarterdeck" / link.name).symlink_to(link.readlink())
    built = subprocess.run(
        [sys.executable, "-c", "import setuptools.build_meta as b; b.build_wheel('wheel')"],
        cwd=source, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    [wheel] = (source / "wheel").glob("*.whl")
    shipped = {name.removeprefix("quarterdeck/") for name in zipfile.ZipFile(wheel).namelist()}
    floors = ("tui", "rollouts", "backends", "history", "config")
    wanted_files = {str(path.relative_to(ROOT)) for path in files() if path.relative_to(ROOT).parts[0] in floors}
    assert sorted(wanted_files - shipped) == []
