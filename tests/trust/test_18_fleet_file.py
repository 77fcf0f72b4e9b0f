"""Promise 18: a fleet file can't execute, expand or mutate. Whatever tries is refused, with its line.

Seen to fail with one of these taken out of the reading of YAML: the refusal of tags (30 of the cases), of a key that is here twice (6), of
more values than a fleet has (5, the alias bombs among them).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.config.problems import FleetFileErrors
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(18)

HEAD = "fleet: acme\nhosts: {a: {ssh: a}}\nenvironments: {e: {hosts: [a]}}\nservices:\n"
SERVICE = "  s: {artifact: {tarball: x}, path: /srv/s, unit: s.service"
CANARY = "touch canary"

# What Python's audit hooks call the things that a reader of a file has no business with.
FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "exec", "compile", "pickle.", "ctypes.", "import", "tempfile.")
HARMLESS = ("os.listdir", "os.scandir")

_seen: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        flags = arguments[2] or 0
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND):
            _seen.append(f"open {arguments[0]} to write")
    elif event.startswith(FORBIDDEN) and event not in HARMLESS:
        _seen.append(f"{event} {arguments[0] if arguments else ''}")


@pytest.fixture(scope="module", autouse=True)
def audited(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The hook can't be removed, so it is added once and looks only while ``watched`` is open."""
    path = tmp_path_factory.mktemp("warm") / "fleet.yml"
    path.write_text(HEAD + SERVICE + "}\n")
    load_fleet(path)  # whatever is imported on first use is imported now
    sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[str]]:
    global _seen
    seen: list[str] = []
    _seen = seen
    try:
        yield seen
    finally:
        _seen = None


def bomb(levels: int, width: int) -> str:
    """Billion laughs: each level repeats the one before ``width`` times."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


# name → (content, line of the refusal, part of its message)
REFUSED: dict[str, tuple[str | bytes, int, str]] = {
    "python apply": (
        f'{HEAD}{SERVICE}, env: {{A: !!python/object/apply:os.system ["{CANARY}"]}}}}\n',
        5,
        "is not allowed",
    ),
    "python new": (f'fleet: !!python/object/new:subprocess.Popen [["{CANARY}"]]\n', 1, "is not allowed"),
    "python name": ("fleet: acme\nstate: !!python/name:os.environ x\n", 2, "is not allowed"),
    "python module": ("fleet: acme\n\nstate: !!python/module:os x\n", 3, "is not allowed"),
    "include tag": (f"{HEAD}{SERVICE}, env: !include /etc/passwd }}\n", 5, "the tag !include is not allowed"),
    "environment tag": (f"{HEAD}{SERVICE}, env: {{A: !ENV '${{HOME}}'}}}}\n", 5, "the tag !ENV is not allowed"),
    "vault tag": ("fleet: !vault |\n  abc\n", 1, "the tag !vault is not allowed"),
    "binary tag": ("fleet: !!binary YWNtZQ==\n", 1, "is not allowed"),
    "string tag": ("fleet: !!str acme\n", 1, "is not allowed"),
    "no-tag tag": ("fleet: ! acme\n", 1, "the tag ! is not allowed"),
    "set tag": ("fleet: acme\nhosts: !!set {a}\n", 2, "is not allowed"),
    "ordered map tag": ("fleet: acme\nhosts: !!omap [a: {ssh: a}]\n", 2, "is not allowed"),
    "tag on a key": ("fleet: acme\n!!str hosts: {}\n", 2, "is not allowed"),
    "tag on the whole": ("!fleet\nfleet: acme\n", 1, "the tag !fleet is not allowed"),
    "tag directive": ("%TAG !p! tag:yaml.org,2002:python/\n---\nfleet: !p!name:os.system x\n", 3, "is not allowed"),
    "merge key": (f"{HEAD}{SERVICE}}}\n  t:\n    <<: {{unit: t.service}}\n", 7, "a merge key `<<` is not allowed"),
    "merge key of an anchor": (
        f"{HEAD}  s: &s {{unit: a.service}}\n  t: {{<<: *s}}\n",
        6,
        "a merge key `<<` is not allowed",
    ),
    "duplicate key": (f"{HEAD}{SERVICE}}}\n{SERVICE}}}\n", 6, "`s` is here twice; first in line 5"),
    "duplicate key in quotes": ("fleet: acme\n'fleet': other\n", 2, "`fleet` is here twice; first in line 1"),
    "duplicate key as an escape": ('fleet: acme\n"fl\\u0065et": other\n', 2, "`fleet` is here twice; first in line 1"),
    "alias bomb": ("fleet: acme\n" + bomb(9, 10), 7, "stands for more than 200000 values"),
    "wide alias bomb": (
        "fleet: acme\nx: &x [" + "a, " * 5000 + "]\ny: [" + "*x, " * 99 + "]\n",
        3,
        "stands for more than",
    ),
    "many aliases": ("fleet: acme\nx: &x 1\ny: [" + "*x, " * 101 + "]\n", 3, "more than 100 aliases"),
    "endless alias": ("fleet: acme\nhosts: &h {a: *h}\n", 2, "the alias `*h` refers to itself"),
    "unknown alias": ("fleet: acme\nhosts: *h\n", 2, "refers to an anchor that is not set before it"),
    "anchor set twice": ("fleet: &a acme\nstate: &a x\n", 2, "the anchor `&a` is set a second time"),
    "deep lists": ("fleet: acme\nx: " + "[" * 10_000, 2, "nested more than 40 levels deep"),
    "deep mappings": ("fleet: acme\nx: " + "{a: " * 1000, 2, "nested more than 40 levels deep"),
    "deep blocks": (
        "fleet: acme\n" + "".join(" " * n + f"k{n}:\n" for n in range(60)),
        42,
        "nested more than 40 levels deep",
    ),
    "more than 5 MB": ("fleet: acme\n" + "# comment\n" * 510_000, 1, "is larger than 5 MB"),
    "too many values": ("fleet: acme\nx: [" + "a," * 201_000 + "]\n", 2, "stands for more than 200000 values"),
    "UTF-16": ("fleet: acme\n".encode("utf-16"), 1, "this is not UTF-8 text"),
    "Latin-1": (b"fleet: acme\nstate: caf\xe9\n", 2, "this is not UTF-8 text"),
    "overlong UTF-8": (b"fleet: acme\nstate: \xc0\xaf\n", 2, "this is not UTF-8 text"),
    "half a surrogate pair": (b"fleet: acme\nstate: \xed\xa0\x80\n", 2, "this is not UTF-8 text"),
    "NUL": (b"fleet: acme\nstate: a\0b\n", 2, "a NUL character is not allowed"),
    "escape sequence": (b"fleet: acme\n\nstate: \x1b]0;owned\x07\n", 3, "the character U+001B is not allowed"),
    "C1 control": ("fleet: acme\nstate: a\u009bb\n", 2, "the character U+009B is not allowed"),
    "line break of YAML only": ("fleet: acme\n# comment\u2028state: /tmp\n", 2, "the character U+2028 is not allowed"),
    "next line": ("fleet: acme\n# comment\u0085state: /tmp\n", 2, "the character U+0085 is not allowed"),
    "reordered text": ("fleet: acme\nstate: /a # \u202e text\n", 2, "the character U+202E is not allowed"),
    "byte order mark within": ("fleet: acme\n\ufeffstate: /a\n", 2, "the character U+FEFF is not allowed"),
    "NUL as an escape": ('fleet: acme\nstate: "a\\0b"\n', 2, "a NUL character is not allowed"),
    "escape as an escape": ('fleet: acme\nstate: "\\e[2J"\n', 2, "the character U+001B is not allowed"),
    "second document": (f"{HEAD}{SERVICE}}}\n---\nfleet: other\n", 6, "a second document begins here"),
    "key of several parts": ("fleet: acme\n? {a: b}\n: c\n", 2, "a key must be text"),
    "alias as a key": ("fleet: &a acme\n*a : c\n", 2, "an alias can't be a key"),
    "include of a device": ("fleet: acme\ninclude: [/dev/zero]\n", 2, "/dev/zero is not an ordinary file"),
    "include of a directory": ("fleet: acme\ninclude: [/]\n", 2, "is not an ordinary file"),
    "include of itself": ("fleet: acme\ninclude: [fleet.yml]\n", 2, "includes itself"),
    "include of a system file": ("fleet: acme\ninclude: [/etc/hostname]\n", 2, "has no hosts, environments, services"),
    "include of a URL": ("fleet: acme\ninclude: ['https://example.com/x.yml']\n", 2, "there is no file"),
    "file of this machine": (
        f"{HEAD}{SERVICE}, files: {{a: {{from: /etc/passwd}}}}}}\n",
        5,
        "keep it in the repository",
    ),
    "file of the home": (f"{HEAD}{SERVICE}, files: {{a: {{from: ~/.ssh/id_rsa}}}}}}\n", 5, "keep it in the repository"),
    "file that is a device": (f"{HEAD}{SERVICE}, files: {{a: {{from: ../../../../../../dev/zero}}}}}}\n", 5, ""),
    "file out of the release": (
        f"{HEAD}{SERVICE}, files: {{../../a: {{content: x}}}}}}\n",
        5,
        "leads out of the release",
    ),
    "option for ssh": (
        "fleet: acme\nhosts: {a: {ssh: '-oProxyCommand=touch canary'}}\n",
        2,
        "expected a name of your ~/.ssh/config",
    ),
    "command in an address": (
        "fleet: acme\nhosts: {a: {ssh: 'a;touch canary'}}\n",
        2,
        "expected a name of your ~/.ssh/config",
    ),
    "option for systemctl": (
        f"{HEAD}  s: {{artifact: {{tarball: x}}, path: /s, unit: '--root=/.service'}}\n",
        5,
        "systemd unit",
    ),
    "shell in a path": (
        f"{HEAD}  s: {{artifact: {{tarball: x}}, path: '$(touch canary)', unit: a.service}}\n",
        5,
        "absolute path",
    ),
    "attribute in a placeholder": (
        f"{HEAD}  s: {{artifact: {{tarball: 'x-{{version.__class__}}'}}, path: /s, unit: a.service}}\n",
        5,
        "{version.__class__} can't be filled in here",
    ),
    "unknown placeholder": (
        f"{HEAD}  s: {{artifact: {{tarball: x}}, path: '/s/{{HOME}}', unit: a.service}}\n",
        5,
        "{HOME} can't",
    ),
    "YAML 1.1 boolean": (
        f"{HEAD}{SERVICE}, rollback: {{automatic: off}}}}\n",
        5,
        "expected `true` or `false`, found `off`",
    ),
    "base 60": (f"{HEAD}{SERVICE}, health: {{tcp: 22:22}}}}\n", 5, "expected a port from 1 to 65535, found `22:22`"),
}


SLOW = "too many values"  # the same rule for both, which the Python parser meets only after ten seconds


@pytest.mark.parametrize(
    ("name", "parser"),
    [(name, parser) for parser in ("c", "python") for name in REFUSED if (parser, name) != ("python", SLOW)],
)
def test_it_is_refused_with_its_line_and_nothing_happens(
    name: str, parser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promise: Promises
) -> None:
    if parser == "python":
        monkeypatch.setattr("yaml.__with_libyaml__", False)
    content, line, message = REFUSED[name]
    path = tmp_path / "fleet.yml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before, environment = path.read_bytes(), dict(os.environ)
    monkeypatch.chdir(tmp_path)
    with watched() as seen, pytest.raises(FleetFileErrors) as caught:
        load_fleet(path)
    assert seen == []
    assert [p for p in caught.value.problems if p.line == line and message in p.message], caught.value.problems
    assert [child.name for child in tmp_path.iterdir()] == ["fleet.yml"]
    assert path.read_bytes() == before
    assert dict(os.environ) == environment
    promise(18).count("hostile files refused")


def test_what_looks_like_a_program_stays_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promise: Promises
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_OF_THE_OPERATOR", "s3cr3t")
    texts = {
        "A": "$(touch canary)",
        "B": "`touch canary`",
        "C": "${SECRET_OF_THE_OPERATOR}",
        "D": "%(SECRET_OF_THE_OPERATOR)s",
        "E": "{{ SECRET_OF_THE_OPERATOR }}",
        "F": "{SECRET_OF_THE_OPERATOR}",
        "G": "~root",
        "H": "<%= system('touch canary') %>",
        "I": "*",
    }
    env = "".join(f'      {name}: "{text}"\n' for name, text in texts.items())
    path = tmp_path / "fleet.yml"
    path.write_text(
        f"{HEAD}  s:\n    artifact: {{tarball: x}}\n    path: /srv/s\n"
        "    commands: {start: touch canary, stop: touch canary, status: touch canary}\n"
        "    health: {command: touch canary}\n"
        "    hooks: {before: [{run: touch canary, where: here}]}\n"
        "    secrets: {KEY: {command: touch canary}, OTHER: {env: SECRET_OF_THE_OPERATOR}, FILE: {file: /dev/zero}}\n"
        f"    files: {{a: {{content: '$(touch canary) {{version}} ${{HOME}}'}}}}\n    env:\n{env}"
    )
    with watched() as seen:
        fleet = load_fleet(path)
    target = fleet.targets["e/s"]
    assert seen == []
    assert target.env == texts
    assert target.files[0].content == "$(touch canary) {version} ${HOME}"
    assert "s3cr3t" not in repr(fleet)
    assert [child.name for child in tmp_path.iterdir()] == ["fleet.yml"]
    promise(18).count("programs that stayed text", len(texts))


def test_the_audit_sees_what_it_must() -> None:
    """Else the empty lists above would prove nothing."""
    with watched() as seen:
        os.system("true")
        eval("1")
        open(os.devnull, "w").close()
    assert [event.split()[0] for event in seen] == ["os.system", "compile", "exec", "open"]
