"""What a condition says of a measurement; and that what was not measured is never a success."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.config.condition_parsing import ConditionUnfit, condition
from quarterdeck.rollouts.analysis.conditions import holds, names_value
from tests.config.test_conditions import CONDITIONS

NAN, INF = math.nan, math.inf
BOUNDED = settings(max_examples=150, derandomize=True, deadline=None, database=None)

HOLDS = [
    ("value < 250", 249.9, (), True),
    ("value < 250", 250, (), False),
    ("value >= 0.99 and value < 2", 1, (), True),
    ("value >= 0.99 and value < 2", 2, (), False),
    ("not (value < 1 or value > 3)", 2, (), True),
    ("value * 100 / 4 - 1 > 3", 0.2, (), True),
    ("value / 0 < 1", 1, (), None),
    ("max(values) < 3", None, (1, 2), True),
    ("min(values) < 1.5 and sum(values) == 3 and mean(values) == 1.5", None, (1, 2), True),
    ("median(values) == 2", None, (9, 1, 2), True),
    ("len(values) >= 5", None, (1, 2), False),
    ("len(values) == 0", None, (), True),
    ("all(values < 3)", None, (1, 2), True),
    ("all(values < 2)", None, (1, 2), False),
    ("any(values >= 2)", None, (1, 2), True),
    ("all(values < 2 * median(values))", None, (1, 1, 1.5), True),
    # Nothing was measured: nothing is known.
    ("value < 250", None, (), None),
    ("value >= 250", None, (), None),
    ("not value < 250", None, (), None),
    ("value != 1", None, (), None),
    ("all(values < 3)", None, (), None),
    ("any(values > 3)", None, (), None),
    ("max(values) < 3", None, (), None),
    ("sum(values) < 3", None, (), None),
    # A rate of no requests is NaN.
    ("value < 250", NAN, (), None),
    ("not value < 250", NAN, (), None),
    ("value == value", NAN, (), None),
    ("max(values) < 3", None, (1, NAN), None),
    ("all(values < 3)", None, (1, NAN), None),
    ("all(values < 3)", None, (5, NAN), False),
    ("any(values > 3)", None, (5, NAN), True),
    ("any(values > 3)", None, (1, NAN), None),
    ("value < 1 or len(values) == 1", NAN, (NAN,), True),
    ("value < 1 and len(values) == 2", NAN, (NAN,), False),
    # Who wants to know says so.
    ("isnan(value)", NAN, (), True),
    ("isnan(value)", 1, (), False),
    ("isnan(value)", None, (), None),
    ("missing(value)", None, (), True),
    ("missing(value)", NAN, (), False),
    ("missing(max(values))", None, (), True),
    ("isinf(value)", -INF, (), True),
    ("default(value, 0) < 250", None, (), True),
    ("default(value, 0) < 250", NAN, (), True),
    ("default(value, 300) < 250", NAN, (), False),
    ("default(value, max(values)) < 250", None, (), None),
    ("isnan(sum(values))", None, (INF, -INF), True),
    ("abs(value) > 1e30", -INF, (), True),
]


@pytest.mark.parametrize(("text", "value", "values", "wanted"), HOLDS)
def test_what_a_condition_says(text: str, value: float | None, values: tuple[float, ...], wanted: bool | None) -> None:
    assert holds(condition(text), value, values) is wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("value < 1", True),
        ("max(values) < 1", False),
        ("len(values) > 1 and not default(-abs(value), 1) > 2", True),
        ("all(values < 3)", False),
        ("all(values < value)", True),
        ("isnan(min(values)) or 1 + value < 3", True),
    ],
)
def test_whether_it_is_about_the_one_number(text: str, wanted: bool) -> None:
    assert names_value(condition(text)) is wanted


@BOUNDED
@given(
    text=CONDITIONS,
    value=st.one_of(st.none(), st.floats()),
    values=st.lists(st.floats(), max_size=4),
)
def test_no_measurement_breaks_a_condition(text: str, value: float | None, values: list[float]) -> None:
    try:
        parsed = condition(text)
    except ConditionUnfit:
        return
    assert holds(parsed, value, values) in (True, False, None)


PLAIN = st.recursive(
    st.tuples(
        st.sampled_from(["value", "len(values)", "max(values)", "value * 3 - 2", "-value + 1 - -2", "2 - 3 - value"]),
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        st.integers(-5, 5).map(str),
    ).map(" ".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
        inner.map(lambda text: f"not ({text})"),
        inner.map(lambda text: f"not {text}"),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=5,
)


@BOUNDED
@given(text=PLAIN, value=st.integers(-5, 5), values=st.lists(st.integers(-5, 5), min_size=1, max_size=4))
def test_of_known_numbers_it_says_what_python_says(text: str, value: int, values: list[int]) -> None:
    wanted = eval(text, {"value": value, "values": values, "max": max, "len": len})
    assert holds(condition(text), value, values) is wanted
