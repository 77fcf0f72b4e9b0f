"""What a typed filter lets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.tui.room.matching import matcher, repeats_within_repeats
from quarterdeck.tui.room.rows import Role, Span, plain

CASES = [
    # typed, text, let through
    ("", "anything", True),
    ("!", "anything", True),
    ("-f", "anything", True),
    ("api", "production/API", True),
    ("API", "production/api", False),
    ("API", "production/API", True),
    ("!api", "production/api", False),
    ("! api", "production/web", True),
    ("^web", "web-1 ready", True),
    ("^web", "a web-1", False),
    ("5..", "http 503", True),
    ("!5..", "http 503", False),
    ("[oops", "an [oops here", True),
    ("-f prdapi", "production/api", True),
    ("-f apiprd", "production/api", False),
    ("-f !prdapi", "production/api", False),
    ("!-f prdapi", "production/api", False),
    ("-x", "tar -x", True),
    ("a.c", "a.c", True),
    ("café", "CAFÉ", True),
    ("i", "İ", False),
]


@pytest.mark.parametrize(("typed", "text", "passes"), CASES)
def test_what_is_let_through(typed: str, text: str, passes: bool) -> None:
    found = matcher(typed)
    assert found.matches(text) is passes
    assert found.test()(text) is passes


def test_a_broken_regular_expression_is_text_and_says_so() -> None:
    assert "[oops" in matcher("[oops").fault
    assert matcher("[o]ops").fault == ""


def test_what_matched_is_marked() -> None:
    assert matcher("rr").highlighted("an error", Role.BAD) == [
        Span("an e", Role.BAD),
        Span("rr", Role.MATCH),
        Span("or", Role.BAD),
    ]
    assert matcher("-f ae").spans("an error") == [(0, 1), (3, 4)]
    assert matcher("!rr").spans("an error") == ()


def test_fuzzy_puts_the_closest_first() -> None:
    assert matcher("-f abc").keep(["a-b-c", "xabc", "a--b--c", "cba"]) == ["xabc", "a-b-c", "a--b--c"]


@given(st.text(max_size=12), st.text(max_size=60))
def test_marking_loses_no_letter_and_test_means_matches(typed: str, text: str) -> None:
    found = matcher(typed)
    assert plain(found.highlighted(text, Role.PLAIN)) == text
    assert found.test()(text) is found.matches(text)
    for start, end in found.spans(text):
        assert 0 <= start < end <= len(text)


LONG = (
    "(a+)+$", "(?:a*)*b", "((a+)+c){2,}", r"(\d+,?)+;", "([a-z]+)*!", "(a{3,})+x", "(?P<w>.*)*x", "(a{1,50})+$", "(a+){10}$", "(a+){1,40}$",
    "(b|a+)*$", "((?:a+))*$", "(^a+$)+b",
)  # fmt: skip
SHORT = (
    "(foo|bar)+", ".*error.*timeout.*", "(a+)b", r"\(a+\)+", "[(+]+", "(ab){2,3}", "[]+)]*x", "(a{2}b)+", "a+(b)", r"(\d+\.)+\d+",
    r"(\d+,)+", r"(GET|POST) (/\w+)+", "(a+b)+", "(foo.*bar)+", "(a+){3}", "a{,5}", "(?i:x)+", ")", "a|*",
)  # fmt: skip


@pytest.mark.parametrize("expression", LONG)
def test_what_could_take_for_ever_is_looked_for_as_text(expression: str) -> None:
    found = matcher(expression)
    assert "looked for as text" in found.fault
    assert found.matches(f"the words {expression} stand here")
    assert not found.matches("a" * 4000 + "!!")


@pytest.mark.parametrize("expression", SHORT)
def test_ordinary_expressions_stay_expressions(expression: str) -> None:
    assert not repeats_within_repeats(expression)


@given(st.text(alphabet="ab|()[]\\{},*+?^$.1290:=", max_size=24))
def test_any_expression_is_looked_at(expression: str) -> None:
    assert repeats_within_repeats(expression) in (True, False)
