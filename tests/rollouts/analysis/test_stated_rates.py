"""What docs/analysis.md states of false alarms and of bad releases, at smaller counts than its tables and with a seed: simulated canaries
through the same state machine (benchmarks/analysis.py)."""

from pathlib import Path

import pytest

from benchmarks.analysis import BAD, BEGIN, END, SAME, World, same, simulate, text, write_into
from quarterdeck.rollouts.analysis.rates import ALPHA
from quarterdeck.rollouts.analysis.verdicts import Verdict

SEED = 20


@pytest.mark.parametrize("requests", [(5, 95), (50, 950), (500, 9500)])
def test_the_same_release_as_its_own_canary_is_not_taken_back(requests: tuple[int, int]) -> None:
    found = simulate(same(requests, 0.01), 200, SEED)
    assert found.share(Verdict.FAILED) <= ALPHA
    assert found.share(Verdict.ERROR) == 0
    assert found.peeking is not None
    assert found.peeking > 2 * ALPHA, (
        "who looks at a z-test after every poll is wrong more often: the runs are no easy ones"
    )


def test_errors_in_bursts_take_no_good_release_back() -> None:
    found = simulate(same((500, 500), 0.01, burst=8), 60, SEED)
    assert found.share(Verdict.FAILED) <= ALPHA
    assert found.peeking is not None
    assert found.peeking > 0.3


def test_outages_of_both_take_no_good_release_back_and_hide_no_bad_one() -> None:
    assert simulate(same((50, 950), 0.01, outages=0.1), 60, SEED).share(Verdict.FAILED) <= ALPHA
    found = simulate(World("5 % errors", (50, 950), (0.05, 0.005), outages=0.1), 50, SEED)
    assert found.share(Verdict.FAILED) >= 0.95


def test_times_and_ranks_take_no_good_release_back() -> None:
    found = simulate(same((50, 950), 0.01, times=8), 40, SEED)
    assert found.share(Verdict.FAILED) <= 3 * ALPHA, "three tests are made"


def test_five_percent_errors_are_taken_back() -> None:
    found = simulate(World("5 % errors", (50, 950), (0.05, 0.005)), 100, SEED)
    assert found.share(Verdict.FAILED) == 1
    assert found.polls <= 5


def test_thirty_percent_slower_is_taken_back() -> None:
    found = simulate(World("30 % slower", (50, 950), (0.001, 0.001), slower=1.3, times=50), 20, SEED)
    assert found.share(Verdict.FAILED) >= 0.95


def test_the_tables_are_made_of_what_was_found(tmp_path: Path) -> None:
    assert not [world for world in SAME if world.bad]
    assert not [world for world in BAD if not world.bad]
    found = [
        simulate(world, 2, SEED) for world in (same((50, 950), 0.05), World("5 % errors", (500, 500), (0.05, 0.005)))
    ]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(page, text(found, 2, SEED))
    written = page.read_text()
    assert written.startswith(f"before\n{BEGIN}\n2 runs each of 30 polls, seed {SEED}.\n")
    assert written.endswith(f"\n{END}\nafter\n")
    assert "| 5 % errors | 500 + 500 | 0.5% | **100.0%** | 0.0% | 0.0% | 1 |" in written
    assert "False alarms in all: 0 of 2 runs (0.00%)." in written
    assert "old" not in written
