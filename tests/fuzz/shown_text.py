"""Log bytes on their way to the screen: nothing in them steers a terminal, in whatever pieces they come, and they are as wide as said."""

import re
import unicodedata
from typing import Final

import pyte
from asyncssh import EXTENDED_DATA_STDERR

from quarterdeck.backends.hosts.docker.logs import Lines
from quarterdeck.backends.hosts.ssh.logs import _Session
from quarterdeck.backends.text_cleaning import clean, clean_lines
from quarterdeck.rollouts.logs.lines import Clock, level_of
from quarterdeck.tui.cli.printing import clean as clean_for_command
from quarterdeck.tui.cli.printing import shorten, width
from quarterdeck.tui.room.rows import Span, cells, crop, ellipsis, fit, pad, pieces
from tests.fuzz.target import Choices, Target, text_of, within
from tests.room.escape_corpus import CORPUS

SLOWEST: Final = 2.0  # seconds of a processor for 1 MB; it takes a tenth of that
_STEERING: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
# What terminals do not agree about, pyte among them: flags, skin tones, the selector of emoji, and what no Unicode has as yet.
_DISPUTED: Final = re.compile("[\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\ufe00-\ufe0f]")
COLUMNS: Final = 120
_TIME: Final = b"2026-11-30T01:02:03.000000000Z "


def cleaning(data: bytes) -> None:
    text = text_of(data)
    with within(SLOWEST):
        cleaned = clean(text)
    assert not _STEERING.search(cleaned)
    assert clean(cleaned) == cleaned, "cleaning twice is cleaning once"
    assert len(cleaned) <= len(text) * 8, "a tab is eight spaces at most"
    lines = text.split("\n")
    assert clean_lines(list(lines)) == [clean(line) for line in lines]
    # A sequence ends with its line, so the whole is no more and no less than its lines.
    assert clean(text.replace("\r", "")).split("\n") == [clean(line.replace("\r", "")) for line in lines]
    for line in cleaned.split("\n")[:20]:
        _as_wide_as_said(line[:300])
    _printed_by_a_command(text[:2000])
    for line in lines[:5]:
        level_of(line)
        Clock().read(line)


def _as_wide_as_said(line: str) -> None:
    for columns in (0, 1, 2, 7, COLUMNS):
        assert cells(crop(line, columns)) <= columns
        assert cells(ellipsis(line, columns)) <= columns
        assert cells(pad(line, columns)) == columns
        row = fit([Span(line), Span("|")], columns)
        assert sum(cells(span.text) for span in row) == columns
    parts = list(pieces(line, 7))
    assert "".join(parts) == line
    shown = crop(line, COLUMNS)
    # pyte leaves off the rest of what it is given behind a character of no width that it does not know as a combining one.
    known = all(unicodedata.category(c) != "Cn" and (cells(c) or unicodedata.combining(c)) for c in shown)
    if known and not _DISPUTED.search(shown):
        screen = pyte.Screen(COLUMNS + 10, 1)
        pyte.Stream(screen).feed(shown)
        assert screen.cursor.x == cells(shown), f"{shown!r} is {screen.cursor.x} columns wide, not {cells(shown)}"


def _printed_by_a_command(text: str) -> None:
    """What ``qd logs`` and the tables of commands write."""
    for newlines in (True, False):
        cleaned = clean_for_command(text, newlines=newlines)
        left = cleaned.replace("\n", "") if newlines else cleaned
        assert left.isprintable() or not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", left)
        assert clean_for_command(cleaned, newlines=newlines) == cleaned
    line = clean_for_command(text)
    for columns in (1, 5, 40):
        assert width(shorten(line, columns)) <= columns


def pieces_of_a_log(data: bytes) -> None:
    """The first bytes say where the stream is cut."""
    choices = Choices(data[:32])
    stream = data[32:]
    whole = _read_over_ssh([stream])
    cut: list[bytes] = []
    rest = stream
    while rest:
        size = 1 + choices.below(64)
        cut.append(rest[:size])
        rest = rest[size:]
    assert _read_over_ssh(cut) == whole, "lines are the same in whatever pieces they come"
    framed = _frames(stream)
    assert _read_of_engine([framed]) == _read_of_engine([framed[at : at + 7] for at in range(0, len(framed), 7)])
    plain = b"\n".join(_TIME + line for line in stream.split(b"\n"))
    parts = [plain[at : at + 7] for at in range(0, len(plain), 7)]
    assert _read_of_engine([plain], tty=True) == _read_of_engine(parts, tty=True)
    _read_of_engine([stream])  # frames as a broken engine might send them


def _read_over_ssh(parts: list[bytes]) -> list[str]:
    session = _Session()
    for part in parts:
        session.data_received(part, None)
        session.data_received(part, EXTENDED_DATA_STDERR)
    session.connection_lost(None)
    return clean_lines(session.taken()[0])


def _frames(stream: bytes) -> bytes:
    framed = b""
    for at, line in enumerate(stream.split(b"\n")):
        body = _TIME + line + b"\n"
        framed += bytes([1 + at % 2, 0, 0, 0]) + len(body).to_bytes(4) + body
    return framed


def _read_of_engine(parts: list[bytes], *, tty: bool = False) -> list[str]:
    lines = Lines(100, "")
    rest = bytearray()
    try:
        for part in parts:
            rest += part
            (lines._plain if tty else lines._framed)(rest)
    except OSError:  # of the error frame, in which the engine says why it can't go on
        assert not tty
    taken = lines.taken("host")
    return list(taken.texts) if taken is not None else []


def _seeds() -> list[bytes]:
    return [b"%s BEGIN%sEND\n" % (name.encode(), attack) for name, attack in CORPUS.items()]


TARGETS: Final = (
    Target(
        "log-text",
        "cleaned text steers no terminal, is cleaned once for all, is as wide as a terminal shows it, and takes linear time",
        cleaning,
        _seeds,
        longest=8192,
        examples=200,
    ),
    Target(
        "log-pieces",
        "log lines are the same in whatever pieces they come, over SSH and of an engine",
        pieces_of_a_log,
        lambda: [bytes(range(1, 33)) + seed for seed in _seeds()],
        longest=4096,
        examples=100,
    ),
)
