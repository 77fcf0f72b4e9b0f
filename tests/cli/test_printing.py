"""Foreign text is cleaned in one place; tables count columns as a terminal does."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.tui.cli.printing import Printer, clean, shorten, width
from quarterdeck.tui.cli.times import age, clock, day_and_clock, duration, parse, size

HOSTILE = {
    "colour": ("\x1b[31mred\x1b[0m", "red"),
    "clipboard": ("a\x1b]52;c;aGVsbG8=\x07b", "ab"),
    "clipboard, ended by ST": ("a\x1b]52;c;aGVsbG8=\x1b\\b", "ab"),
    "title never ended": ("a\x1b]0;title", "a"),
    "link": ("\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\", "text"),
    "DCS": ("a\x1bPq#0\x1b\\b", "ab"),
    "C1 CSI": ("a\x9b2Jb", "ab"),
    "C1 OSC": ("a\x9d0;t\x9cb", "ab"),
    "reset": ("a\x1bcb", "ab"),
    "bare escape": ("a\x1b", "a"),
    "carriage return": ("good\rbad", "goodbad"),
    "backspace": ("a\x08b", "ab"),
    "direction": ("a\u202eb\u2066c", "abc"),
    "zero width": ("a\u200bb\ufeffc", "abc"),
    "line separator": ("a\u2028b", "ab"),
    "new line": ("a\nb", "a b"),
    "tab": ("a\tb", "a b"),
    "lone surrogate": ("a\ud800b", "a?b"),
    "letters of the world": ("grün 日本 ✓", "grün 日本 ✓"),
}


@pytest.mark.parametrize(("text", "left"), HOSTILE.values(), ids=HOSTILE.keys())
def test_clean(text: str, left: str) -> None:
    assert clean(text) == left


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\x1b\x9b\x9d\x07\\[];\u202e\r\n")))
def test_nothing_that_a_terminal_acts_upon_is_left(text: str) -> None:
    cleaned = clean(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0x202A <= ord(c) <= 0x202E for c in cleaned)
    assert clean(cleaned) == cleaned
    cleaned.encode()


def printer(*, json: bool = False, colour: str = "never") -> tuple[Printer, io.StringIO, io.StringIO]:
    out, error = io.StringIO(), io.StringIO()
    return Printer(json=json, colour=colour, out=out, error=error), out, error


def test_everything_goes_through_cleaning() -> None:
    shown, out, error = printer()
    shown.line("\x1b[31ma")
    shown.block("\x1b[31mb\nc")
    shown.progress("\x1b[31md")
    shown.say("\x1b[31me")
    shown.table(("H",), [("\x1b[31mf",)])
    assert out.getvalue() == "a\nb\nc\nd\nH\nf\n"
    assert error.getvalue() == "e\n"


def test_with_json_standard_output_carries_the_document_alone() -> None:
    shown, out, error = printer(json=True)
    shown.line("a")
    shown.progress("working")
    shown.table(("H",), [("x",)])
    shown.document({"text": "\x1b[31mred\u202e", "nested": ["\x9b2J", 1, None, True]})
    assert json.loads(out.getvalue()) == {"text": "red", "nested": ["", 1, None, True]}
    assert error.getvalue() == "working\n"


def test_a_table_keeps_its_columns_with_wide_characters() -> None:
    shown, out, _ = printer()
    shown.table(("NAME", "X"), [("日本", "1"), ("abcd", "2")])
    assert out.getvalue() == "NAME  X\n日本  1\nabcd  2\n"


def test_columns() -> None:
    assert width("日本") == 4
    assert width("e\u0301") == 1
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("日本日本", 5) == "日本…"
    assert shorten("abc", 0) == "abc"


def test_times() -> None:
    now = parse("2026-11-23T12:00:00.000Z")
    assert [
        age(text, now)
        for text in ("2026-11-23T11:59:30Z", "2026-11-23T11:30:00Z", "2026-11-20T12:00:00Z", None, "nonsense")
    ] == ["30s", "30m", "3d", "-", "-"]
    assert age("2026-11-23T12:00:09Z", now) == "now"
    assert [duration(seconds) for seconds in (0.25, 41.4, 125, 12_000, 600_000)] == [
        "0.2s",
        "41s",
        "2m05s",
        "3h20m",
        "6d",
    ]
    assert clock("2026-11-23T14:32:07.900+02:00") == "12:32:07"
    assert day_and_clock("2026-11-23T14:32:07Z") == "2026-11-23 14:32:07"
    assert [size(n) for n in (None, 5, 2048, 3 * 2**30)] == ["?", "5 B", "2.0 KiB", "3.0 GiB"]
