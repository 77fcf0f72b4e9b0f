"""What people type or keep in files of their own: conditions, durations, shares, keys at a prompt, files that `qd init` begins with."""

import argparse
import contextlib
import math
import shutil
from pathlib import Path
from typing import Final, cast

from quarterdeck.config import scalars
from quarterdeck.config.compose.deploy import constraint, ratio, spread
from quarterdeck.config.condition_parsing import ConditionUnfit, condition
from quarterdeck.config.first_file.draft import CannotBegin
from quarterdeck.config.first_file.joining import Wishes, joined
from quarterdeck.config.first_file.proving import proved
from quarterdeck.config.first_file.sources import Origin, kind_of, read
from quarterdeck.config.scalars import Unfit
from quarterdeck.rollouts.analysis.conditions import holds, names_value
from quarterdeck.tui.cli import times
from quarterdeck.tui.cli.following import positive_seconds
from quarterdeck.tui.cli.reading import positive_count
from quarterdeck.tui.room.command_line import Mistyped, Names, completions, parse
from quarterdeck.tui.room.editing import LONGEST, Editing
from quarterdeck.tui.room.matching import matcher
from quarterdeck.tui.room.prompt import prompt_rows
from quarterdeck.tui.room.rows import cells
from tests.fuzz.target import Choices, Target, scratch, text_of, within

SLOWEST: Final = 2.0
_NUMBERS: Final = (None, 0.0, -1.0, 5.0, 1e308, -1e308, math.inf, -math.inf, math.nan, 5e-324)


def conditions(data: bytes) -> None:
    """The first bytes choose what was measured; the rest is the condition."""
    choices = Choices(data[:8])
    value = cast(float | None, choices.one(_NUMBERS))
    values = [n for _ in range(choices.below(6)) if (n := cast(float | None, choices.one(_NUMBERS))) is not None]
    text = text_of(data[8:])
    with within(SLOWEST):
        try:
            found = condition(text)
        except ConditionUnfit as unfit:
            _lies_within(unfit, text)
            return
        assert holds(found, value, values) in (True, False, None)
        names_value(found)
        assert condition(text) == found


def _lies_within(unfit: ConditionUnfit, text: str) -> None:
    assert 1 <= unfit.column <= len(text) + 1, unfit


_READERS: Final = (
    scalars.duration,
    scalars.positive_duration,
    scalars.share,
    scalars.weight,
    scalars.whole_number(0, 100),
    scalars.mode,
    scalars.true_or_false,
    scalars.ssh_address,
    scalars.docker_address,
    scalars.node_address,
    constraint,
    spread,
    ratio,
    scalars.image_repository,
    scalars.registry_part,
    scalars.release_path,
    scalars.ip_address,
    scalars.host_path,
    scalars.variable,
    scalars.one_line,
    scalars.some_text,
)


def words(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with within(SLOWEST):
        for reader in _READERS:
            with contextlib.suppress(Unfit):
                found = reader(text)
                assert not isinstance(found, float) or 0 <= found <= scalars.LONGEST_SECONDS
        for of_command in (positive_seconds, positive_count):
            with contextlib.suppress(argparse.ArgumentTypeError):
                assert 0 < of_command(text) < 1e9
        times.clock(text)
        times.day_and_clock(text)
        times.age(text)
        times.seconds_between(text, "2026-11-30T01:02:03Z")
        found_matcher = matcher(text[:60])
        found_matcher.spans("a line of a log with 5 words")


NAMES: Final = Names(
    ("production/api", "staging/api"), ("12", "13"), {"production/api": ("v1", "v2")}, ("matrix", "card", "logs")
)
_KEYS: Final = (
    "left",
    "right",
    "home",
    "end",
    "backspace",
    "delete",
    "ctrl+w",
    "ctrl+u",
    "ctrl+k",
    "up",
    "down",
    "tab",
    "shift+tab",
    "ctrl+b",
    "ctrl+f",
    "f1",
    "escape",
)


def keys(data: bytes) -> None:
    """Keys and pasted text, one after another, into a line with completion and history; then it is carried out."""
    choices = Choices(data)
    editing = Editing(
        choices.word(8), complete=lambda line: completions(line, NAMES), history=("deploy production/api", "x" * 5000)
    )
    while choices.left:
        if choices.below(2):
            editing.key(str(choices.one(_KEYS)))
        else:
            before = len(editing.text)
            editing.insert(choices.word(12) * (1 + 400 * (choices.below(30) == 7)))
            assert len(editing.text) <= max(LONGEST, before)
        assert 0 <= editing.at <= len(editing.text)
    for width in (1, 2, 20, 80):
        shown = prompt_rows(":", editing.text[:300], min(editing.at, 300, len(editing.text)), "a hint", width, 5)
        assert 1 <= len(shown) <= 5
        assert all(sum(cells(span.text) for span in row) == width for row in shown)
    with contextlib.suppress(Mistyped):
        parse(editing.text, NAMES)


def begun(data: bytes) -> None:
    """A file of somebody else's, that `qd init` makes a fleet file of."""
    place = scratch() / "init"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in (".env", "a.env"):
        (place / name).write_text("A=1\n")
    path = place / "deploy.yml"
    path.write_bytes(data)
    with within(10 * SLOWEST):
        for kind in ("compose", "kamal", "ssh"):
            try:
                draft = joined([read(Origin(kind, path), place)], Wishes(), "here")
            except CannotBegin:
                continue
            _, text, fleet = proved(draft, place)
            assert fleet.name
            assert text.endswith("\n")
    with contextlib.suppress(CannotBegin):
        kind_of(text_of(data), "x")


def _conditions() -> list[bytes]:
    texts = (
        "value < 5",
        "not (value > 5 and value < 7) or isnan(value)",
        "max(values) - min(values) <= 1e3",
        "all(values < 5)",
        "any(abs(values - mean(values)) > 2 * median(values))",
        "default(value, 0) / 0 == 1",
        "sum(values) * 1e308 > 0",
        "len(values) > 3",
        "isinf(sum(values))",
        "missing(value)",
        "(" * 25 + "value" + ")" * 25,
        "value < 5%",
        "- - -value != 3",
        "mean(values) > 0",
    )
    return [bytes([n, 5, n, n + 1, 6, 7, 8, n]) + text.encode() for n, text in enumerate(texts)]


def _words() -> list[bytes]:
    return [
        word.encode()
        for word in (
            "30s",
            "1h30m",
            "0",
            "9" * 400 + "s",
            "25%",
            "100.0%",
            "\u0663\u0664s",
            "\u00b2",
            "1e999",
            "inf",
            "nan",
            "0x10",
            "0644",
            "root@web-1:22",
            "[::1]:22",
            "ssh://a",
            "tcp://a:1",
            "unix:///x",
            "registry.acme.io:5000/a/b",
            "~/x",
            "/srv/a",
            "!-f abc",
            "(a+)+$",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "2026-11-30T01:02:03Z",
        )
    ]


def _begun() -> list[bytes]:
    corpus = Path(__file__).resolve().parents[1] / "config" / "corpus"
    kamal = (
        b"service: app\nimage: acme/app\nservers:\n  web:\n    hosts: [10.0.0.1, 10.0.0.2]\n    options: {memory: 500m}\n"
        b"registry: {username: me, password: [KEY]}\nenv:\n  clear: {A: 1}\n  secret: [B]\n"
        b"proxy: {ssl: true, host: a.b, healthcheck: {path: /up}}\n"
        b"ssh: {user: deploy, port: 22}\nvolumes: ['/a:/b']\nboot: {limit: 25%, wait: 2}\n"
    )
    ssh = b"Host web-1 web-2\n  HostName 10.0.0.1\n  User deploy\n  Port 22\nMatch user x\nHost *\nInclude ~nobody-of-this-name/x\nHost=a\n"
    return [kamal, ssh, *(path.read_bytes() for path in sorted(corpus.iterdir()) if path.stat().st_size < 8000)]


TARGETS: Final = (
    Target(
        "conditions",
        "a condition is read or refused with its column, and is true, false or unknown of any numbers; nothing else happens",
        conditions,
        _conditions,
        longest=450,
        examples=300,
    ),
    Target("words", "durations, shares, addresses, times and filters are read or refused", words, _words, 600, 200),
    Target("keys", "any keys leave the prompt a line that is shown as wide as the terminal is", keys, tuple, 400, 150),
    Target(
        "init",
        "of any file qd init makes a fleet file that can be read, or says why not",
        begun,
        _begun,
        longest=8192,
        examples=60,
    ),
)
