"""The bench of Docker engines: what its goals compare, and that nothing which was not measured is called met. It measures nothing here."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.docker_all import BEGIN, END, DockerResults
from benchmarks.docker_rollouts import ALONE, ARMED, COLD, GAP, versions
from benchmarks.run import arguments

WATCHED: dict[str, Any] = {
    "containers": 100,
    "observer, % of a core": 2.5,
    "engine, % of a core": 2.75,
    "memory, MB": 54.0,
    "calls a second": 10.3,
    "memory at most, MB": 58.0,
    "one open": {
        "its figures": {
            "observer, % of a core": 3.5,
            "engine, % of a core": 3.0,
            "memory, MB": 55.0,
            "calls a second": 12.0,
        }
    },
    "seen after, s": {"died": {"median": 0.2, "most": 1.2}},
}


def results(*, deploy: float = 0.6, rollback: float = 0.7, gap: float = 0.9, drain: float = 0.2) -> DockerResults:
    made = DockerResults("a machine", 1.0, 1, watched=WATCHED)
    for action, seconds in (("deploy", deploy), ("rollback", rollback)):
        made.figures.add(1, action, ALONE, 0.5)
        made.figures.add(1, action, ARMED, seconds, drain)
        made.figures.add(1, action, COLD, seconds + 1.0)
    made.figures.add(1, GAP, ALONE, 0.5)
    made.figures.add(1, GAP, ARMED, gap)
    return made


def found(made: DockerResults) -> dict[str, tuple[float, bool]]:
    return {one.words: (one.found, one.met) for one in made.budgets()}


def test_the_drain_of_the_old_one_is_told_apart_and_the_rest_is_compared() -> None:
    goals = found(results(deploy=0.74))
    ratio, met = goals["deploy on 1 engine: until healthy / the engine alone"]
    assert ratio == pytest.approx(1.08)
    assert met
    assert found(results(deploy=0.76))["deploy on 1 engine: until healthy / the engine alone"][1] is False
    assert found(results(deploy=0.74, drain=0.0))["deploy on 1 engine: until healthy / the engine alone"][1] is False
    words = "rollback on 1 engine: later than `docker start`"
    assert found(results(rollback=0.99))[words][1]
    assert not found(results(rollback=1.01))[words][1]
    gap = next(words for words in goals if "published port" in words)
    assert found(results(gap=0.79))[gap][1]
    assert not found(results(gap=0.81))[gap][1]


def test_the_slowest_change_counts() -> None:
    assert found(results())["100 containers watched: one died: in the journal after, at most"] == (1.2, False)


def test_what_was_not_measured_is_no_goal_and_is_said(tmp_path: Path) -> None:
    made = DockerResults("a machine", 1.0, 1, skipped=["watching: no engine"])
    assert made.budgets() == []
    assert "not measured: watching: no engine" in made.text()
    made.write(tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text())["not measured"] == ["watching: no engine"]


def test_the_page_has_a_place_for_the_table(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text((Path(__file__).parents[2] / "docs" / "performance.md").read_text())
    results().write_into(page)
    table = page.read_text().split(BEGIN)[1].split(END)[0]
    assert "| rollback | 1 | qd, armed | **0.700** (0.700 to 0.700) | 0.500 |" in table
    assert "| NO |" in table
    assert "with its figures on the screen the observer takes 3.5 %" in table


def test_every_round_deploys_versions_of_its_own() -> None:
    assert len(versions(3, 2)) == len(set(versions(3, 2))) == 13


@pytest.mark.parametrize("words", [["--docker", "--screen"], ["--docker", "--others"]])
def test_words_that_make_no_sense_end_it(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(words)
