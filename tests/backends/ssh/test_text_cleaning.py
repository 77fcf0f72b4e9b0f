"""Text from outside is safe to show, and what can be read of it stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.backends.text_cleaning import clean


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("plain é 漢字 🚀", "plain é 漢字 🚀"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;aGVsbG8=\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2;0;0;0\x1b\\after", "after"),
        ("\x9b31mred\x9d0;t\x9cafter", "redafter"),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("cut short \x1b[", "cut short "),
        ("a\rb\r\nc", "a\nb\nc"),
        ("a\tb", "a       b"),
        ("\x00\x08\x7f\x85x", "x"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("a\u200bb\ufeffc\u2028d", "abcd"),
        ("\x1bc\x1b(0x\x1b#8y", "xy"),
        ("e" + "\u0301" * 40 + "x", "e" + "\u0301" * 4 + "x"),
        ("e\u200b" + "\u0301\u200b" * 40, "e" + "\u0301" * 4),
    ],
)
def test_examples(dirty: str, expected: str) -> None:
    assert clean(dirty) == expected


@settings(max_examples=300, derandomize=True, database=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\x9d\x90[]P;?0m\x07\\\r\n\u202e"))))
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    cleaned = clean(text)
    assert all(character == "\n" or ord(character) >= 0x20 for character in cleaned)
    assert not any(0x7F <= ord(character) <= 0x9F for character in cleaned)
    assert not set(cleaned) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    assert clean(cleaned) == cleaned
