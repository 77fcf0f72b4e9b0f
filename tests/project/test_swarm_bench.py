"""The bench of a Swarm: what its goals compare, and that one which is missed is never called met. It measures nothing here."""

import json
from pathlib import Path

import pytest

from benchmarks.swarm import ARMED, BEGIN, END, OWN, SERIAL, SWITCH, Swarmed

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def _found(armed: list[float]) -> Swarmed:
    found = Swarmed("a machine", 3)
    found.back = {OWN: [5.5, 5.0, 4.0], SWITCH: [5.0, 5.1, 5.2], ARMED: armed, SERIAL: [24.0]}
    return found


@pytest.mark.parametrize(
    ("armed", "found", "met"),
    [([5.4, 9.0, 5.0], "1.08", "yes"), ([6.0], "1.20", "yes"), ([6.005], "1.201", "NO"), ([6.2, 6.1], "1.23", "NO")],
)
def test_its_goals_are_medians_beside_those_of_swarm_itself(
    armed: list[float], found: str, met: str, tmp_path: Path
) -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in _found(armed).text().splitlines()]
    assert ["", f"the switch alone, read back / {OWN}", "1", "1.02", "1.2", "yes", ""] in rows
    assert ["", f"from the word go, read back / {OWN}", "1", found, "1.2", met, ""] in rows
    _found(armed).write(tmp_path / "bench.json")
    goals = json.loads((tmp_path / "bench.json").read_text())["goals"]
    assert [one["met"] for one in goals] == [True, met == "yes"]


def test_the_page_has_a_row_for_each_goal() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert all(f"| {goal.words} | 1 |" in shown for goal in _found([5.0]).goals())
