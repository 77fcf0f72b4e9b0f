"""Rank statistics, against what SciPy and R say of the same samples."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.rollouts.analysis import ranks
from quarterdeck.rollouts.analysis.ranks import rank_test, shift

BODY = json.loads((Path(__file__).parent / "rank_vectors.json").read_text())
VECTORS = [pytest.param(vector, id=vector["name"].replace(" ", "-")) for vector in BODY["vectors"]]
CONFIDENCE = BODY["confidence"]


@pytest.mark.parametrize("vector", VECTORS)
def test_u_and_its_p_values_are_those_of_scipy_and_r(vector: dict[str, Any]) -> None:
    found = rank_test(vector["first"], vector["second"])
    assert found.exact is vector["r"]["exact"]
    for other in ("r", "scipy"):
        assert found.u == vector[other]["u"]
        assert found.greater == pytest.approx(vector[other]["greater"], rel=1e-9, abs=1e-15)
        assert found.two_sided == pytest.approx(vector[other]["two_sided"], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("vector", VECTORS)
def test_the_shift_and_its_limits_are_those_of_r(vector: dict[str, Any]) -> None:
    found, wanted = shift(vector["first"], vector["second"], CONFIDENCE), vector["r"]
    if wanted["exact"]:
        assert (found.estimate, found.low, found.high) == pytest.approx(
            (wanted["estimate"], wanted["low"], wanted["high"]), rel=1e-12
        )
        return
    # R solves for them where it does not count: to within the distance of neighbouring differences.
    differences = [b - a for a in vector["first"] for b in vector["second"]]
    near = 0.03 * (max(differences) - min(differences))
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (wanted["estimate"], wanted["low"], wanted["high"]), abs=near
    )


def test_exact_probabilities_are_those_of_all_arrangements() -> None:
    values = [1.0, 2.0, 3.5, 4.25, 7.0, 9.0, 12.0]
    for second in itertools.combinations(values, 3):
        first = [one for one in values if one not in second]
        others = [
            rank_test([v for v in values if v not in chosen], chosen).u for chosen in itertools.combinations(values, 3)
        ]
        found = rank_test(first, second)
        assert found.greater == pytest.approx(sum(u >= found.u for u in others) / len(others))


def test_effect_sizes_say_how_much_of_one_lies_above_the_other() -> None:
    assert rank_test([1, 2, 3], [4, 5, 6]).delta == 1
    assert rank_test([4, 5, 6], [1, 2, 3]).delta == -1
    found = rank_test([1, 2], [1, 2])
    assert (found.delta, found.likelihood, found.two_sided) == (0, 0.5, 1)
    assert rank_test([1, 2], [2, 3]).likelihood == 3.5 / 4


def test_one_and_the_same_value_is_no_difference() -> None:
    assert rank_test([1.0] * 30, [1.0] * 40).greater == 1
    found = shift([1.0] * 30, [1.0] * 40, CONFIDENCE)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("digits", [2, 9])
def test_the_search_among_differences_finds_what_sorting_them_finds(
    digits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)
    rows = sorted(round(draw.gauss(1, 0.3), digits) for _ in range(60))
    columns = sorted(round(draw.gauss(1.1, 0.5), digits) for _ in range(47))
    every = sorted(column - row for row in rows for column in columns)
    monkeypatch.setattr(ranks, "_FEW_PAIRS", 10)
    for place in [1, 2, 3, *range(10, len(every), 97), len(every) - 1, len(every)]:
        assert ranks._difference(rows, columns, place) == every[place - 1]


@pytest.mark.parametrize(("first", "second"), [([], [1.0]), ([1.0], [])])
def test_of_nothing_there_is_no_test(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        rank_test(first, second)
    with pytest.raises(ValueError, match="nothing to compare"):
        shift(first, second, CONFIDENCE)
