"""Conditions of metrics: what can be written, what it becomes, and what is said of everything else."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.config.condition_parsing import DEEPEST, LONGEST, WORDS, ConditionUnfit, condition
from quarterdeck.config.conditions import Condition

BOUNDED = settings(max_examples=150, derandomize=True, deadline=None, database=None)

CANONICAL = {
    "value < 250": "value < 250",
    "value>=.99  and value<2": "value >= 0.99 and value < 2",
    "not (value<1 or len( values )>=5)": "not (value < 1 or len(values) >= 5)",
    "(max(values)) < 3": "max(values) < 3",
    "all(values<5 and values > -2*value)": "all(values < 5 and values > -2 * value)",
    "any((isnan(values)))": "any(isnan(values))",
    "default(value,0) <= 1e3": "default(value, 0) <= 1000",
    "(value < 1 and value < 2) and value < 3": "value < 1 and value < 2 and value < 3",
    "value < 1 and (value < 2 or value < 3)": "value < 1 and (value < 2 or value < 3)",
    "-(value) - -5 < (2-3)-(4-5)*-value": "-value - -5 < 2 - 3 - (4 - 5) * -value",
    "- - value != --1": "value != 1",
    "value - (1 - 2) == (value - 1) - 2": "value - (1 - 2) == value - 1 - 2",
    "value / (2 * 3) < value / 2 / 3": "value / (2 * 3) < value / 2 / 3",
    "value < 1e20 or value > 0.1": "value < 1e+20 or value > 0.1",
    "not not missing(value)": "not not missing(value)",
    "abs(median(values) - mean(values)) < 2": "abs(median(values) - mean(values)) < 2",
}


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items())
def test_a_condition_has_one_canonical_form(text: str, canonical: str) -> None:
    parsed = condition(text)
    assert str(parsed) == canonical
    assert condition(canonical) == parsed
    assert msgspec.json.decode(msgspec.json.encode(parsed), type=Condition) == parsed


# text, column, a part of what is said, what was probably meant
UNFIT = [
    ("", 1, "ends where", None),
    ("value", 1, "compare it", None),
    ("value <", 8, "ends where", None),
    ("value < 250ms", 12, "no unit", "250"),
    ("value < 5%", 10, "no unit", "5"),
    ("result < 5", 1, "found `result`", "value"),
    ("result[0] < 5", 7, "no lists", None),
    ("vale < 3", 1, "found `vale`", "value"),
    ("value < 5 && value > 2", 11, "found `&&`", "and"),
    ("value < 5 AND value > 2", 11, "found `AND`", "and"),
    ("!isnan(value)", 1, "found `!`", "not"),
    ("isNaN(value)", 1, "found `isNaN`", "isnan"),
    ("value = 3", 7, "found `=`", "=="),
    ("1 < 2", 1, "nothing of what was measured", None),
    ("values < 3", 1, "several numbers", None),
    ("max(value) < 3", 5, "of several numbers", "values"),
    ("any(value < 3)", 1, "each of `values`", None),
    ("all(any(values < 3))", 5, "within any", None),
    ("1 < value < 3", 11, "chained", None),
    ("not value", 5, "stands before a condition", None),
    ("value and value < 2", 1, "between two conditions", None),
    ("value + (value < 2) < 3", 9, "expected a number", None),
    ("(value < 2) + 1 < 3", 1, "expected a number", None),
    ("(value < 2) < 3", 1, "expected a number", None),
    ("isnan(value < 2)", 13, "expected `)`", None),
    ("default(value) < 2", 14, "expected `,`", None),
    ("value < 1e999", 9, "too large", None),
    ("value < 3)", 10, "the end", None),
    ("(value < 3", 11, "ends where `)`", None),
    ("value.x < 2", 6, "no meaning", None),
    ("__import__('os').system('true')", 12, "no meaning", None),
    ("value < é", 9, "no meaning", None),
    ("(" * (DEEPEST + 1), DEEPEST + 2, "within each other", None),
    ("not " * (DEEPEST + 1) + "value < 1", 4 * DEEPEST + 5, "within each other", None),
    ("value < " + "-" * (DEEPEST + 1) + "1", DEEPEST + 10, "within each other", None),
    ("value < 1" + "+1" * 60, 101 + 6, "at most 100 parts", None),
    ("value < " + "1" * LONGEST, LONGEST + 1, "characters", None),
]


@pytest.mark.parametrize(("text", "column", "said", "meant"), UNFIT)
def test_what_is_no_condition_is_told_with_its_place(text: str, column: int, said: str, meant: str | None) -> None:
    with pytest.raises(ConditionUnfit) as found:
        condition(text)
    assert found.value.column == column
    assert said in str(found.value)
    assert f"(column {column})" in str(found.value)
    assert found.value.nearest == meant


PIECES = st.one_of(
    st.sampled_from([*WORDS, "<", "<=", "==", "!=", "+", "-", "*", "/", "(", ")", ",", " ", "1", ".5", "2e3", "1e999"]),
    st.text(max_size=4),
)


def parsed_or_refused(text: str) -> Condition | ConditionUnfit:
    try:
        return condition(text)
    except ConditionUnfit as unfit:
        return unfit


@BOUNDED
@given(pieces=st.lists(PIECES, max_size=30))
def test_any_text_is_a_condition_or_is_refused_with_its_place(pieces: list[str]) -> None:
    text = " ".join(pieces)
    found = parsed_or_refused(text)
    if isinstance(found, Condition):
        assert condition(str(found)) == found
    else:
        assert 1 <= found.column <= len(text) + 1
        assert str(found)


def numbers(element: bool) -> st.SearchStrategy[str]:
    leaves = ["value", "max(values)", "len(values)", "sum(values)", *(["values"] if element else [])]
    return st.recursive(
        st.one_of(st.sampled_from(leaves), st.integers(0, 9).map(str), st.floats(0, 1e6).map(repr)),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
            inner.map(lambda text: f"-({text})"),
            inner.map(lambda text: f"({text})"),
            inner.map(lambda text: f"abs({text})"),
            st.tuples(inner, inner).map(lambda both: f"default({both[0]}, {both[1]})"),
        ),
        max_leaves=4,
    )


def truths(element: bool) -> st.SearchStrategy[str]:
    compared = st.tuples(numbers(element), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), numbers(element))
    kinds = st.tuples(st.sampled_from(["isnan", "isinf", "missing"]), numbers(element))
    leaves = [compared.map(" ".join), kinds.map(lambda both: f"{both[0]}({both[1]})")]
    if not element:
        within = st.tuples(st.sampled_from(["any", "all"]), truths(True))
        leaves.append(within.map(lambda both: f"{both[0]}(values > 0 or {both[1]})"))
    return st.recursive(
        st.one_of(leaves),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
            inner.map(lambda text: f"not ({text})"),
            inner.map(lambda text: f"({text})"),
        ),
        max_leaves=3,
    )


CONDITIONS = truths(False).map(lambda text: f"value >= 0 or {text}")


@BOUNDED
@given(text=CONDITIONS)
def test_whatever_the_grammar_makes_is_read_back_from_its_canonical_form(text: str) -> None:
    found = parsed_or_refused(text)
    if isinstance(found, Condition):
        assert condition(str(found)) == found
        assert str(condition(str(found))) == str(found)
    else:
        assert "at most" in str(found) or "within each other" in str(found), "nothing else is wrong with it"
