"""Folding, marks and the window onto the lines."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.rollouts.logs.spool import Side
from quarterdeck.tui.room.logs.folding import Entry, Fold, Item, shape
from quarterdeck.tui.room.logs.lines import Style, rows_of
from quarterdeck.tui.room.logs.marks import Mark
from quarterdeck.tui.room.logs.sieve import Sieve
from quarterdeck.tui.room.logs.window import Window
from quarterdeck.tui.room.matching import matcher
from quarterdeck.tui.room.rows import cells, pieces, plain
from tests.room.spools import BEGIN, HOSTS, Filled

STYLE = Style(HOSTS)


@pytest.fixture
def filled() -> Iterator[Filled]:
    made = Filled(lines=1 << 16, text=1 << 24)
    yield made
    made.close()


def shown(
    window: Window, height: int = 20, width: int = 100, side: Side = Side.NONE, style: Style = STYLE
) -> list[str]:
    window.look(BEGIN)
    return [plain(row).rstrip() for row in window.in_sight(style, width, height, side)[0]]


def bodies(items: list[Item]) -> list[tuple[str, int]]:
    return [(item.head.body, item.count) for item in items if isinstance(item, Entry)]


def test_what_two_lines_have_in_common() -> None:
    assert shape("KeyError POST /orders req=9f3c 12.5ms") == shape("KeyError POST /orders req=a01b 7.25ms")
    assert shape("user 7f3a9c1e-0000-4000-8000-aaaaaaaaaaaa") == shape("user 11111111-2222-4333-8444-555555555555")
    assert shape("dead beef") == "dead beef"  # words are words
    assert shape("GET /a 200") != shape("GET /b 200")


def test_repeats_are_one_row_with_how_often_they_came(filled: Filled) -> None:
    filled.add("INFO started")
    filled.add(*(f"ERROR no connection {n}" for n in range(37)))
    filled.add("ERROR no connection 99", host=1)
    assert shown(Window(filled.spool)) == [
        " 14:32:08 web-1 INFO started",
        " 14:32:46 web-2 ERROR no connection 99   (x38 in 37s, 2 hosts)",
    ]
    assert len(shown(Window(filled.spool, fold=Fold.HOST))) == 3
    assert len(shown(Window(filled.spool, fold=Fold.OFF), height=99)) == 39


def test_only_within_a_minute(filled: Filled) -> None:
    filled.add(*(f"ERROR {n}" for n in range(4)), every=25_000)
    assert [count for _, count in bodies(list(Window(filled.spool, bottom=4).items()))] == [1, 3]


def test_a_stack_trace_belongs_to_its_line_and_folds_with_it(filled: Filled) -> None:
    trace = ["ERROR KeyError: 'tax' req={}", '  File "price.py", line 88', "    total += tax"]
    for number in range(3):
        filled.add(*(line.format(f"{number}a1") for line in trace))
    filled.add("ERROR KeyError: 'tax' req=777", '  File "other.py", line 9')
    rows = shown(Window(filled.spool))
    assert rows[0].endswith("ERROR KeyError: 'tax' req=2a1   (x3 in 2s)")
    assert rows[1].strip() == 'File "price.py", line 88'
    assert len(rows) == 5
    assert "(x" not in rows[3]


def test_a_notice_is_never_folded_nor_filtered_away(filled: Filled) -> None:
    filled.notice("is silent: no answer", host=2)
    filled.notice("is silent: no answer", host=2)
    filled.add("INFO x")
    window = Window(filled.spool)
    window.sift(Sieve(matcher("nothing like this"), "error", hosts=HOSTS), 5)
    assert shown(window) == [" 14:32:07 web-3 -- is silent: no answer --"] * 2


def test_marks_stand_between_lines_and_nothing_is_folded_across(filled: Filled) -> None:
    filled.add("INFO a 1", "INFO a 2")
    window = Window(filled.spool, marks=[Mark(BEGIN, "switch begins", 2)])
    assert shown(window) == [" 14:32:09 web-1 INFO a 2   (x2 in 1s)", " ==== mark 14:32:07 switch begins ===="]
    filled.add("INFO a 3", "INFO a 4")
    assert [row.split()[-1] for row in shown(window)] == ["1s)", "====", "1s)"]
    window.marks = [Mark(BEGIN, "late", 1), *window.marks]  # one that is placed among what was folded already
    assert [row.split()[-1] for row in shown(window)] == ["1", "====", "2", "====", "1s)"]


texts = st.lists(st.sampled_from(["ERROR a 1", "ERROR a 2", "INFO b", "  more", "WARN c 9"]), min_size=1, max_size=40)


@given(texts, st.lists(st.integers(1, 40), max_size=3), st.integers(1, 9), st.sampled_from(list(Fold)))
@settings(max_examples=100, deadline=None)
def test_folding_as_lines_come_is_folding_at_once(written: list[str], marks: list[int], step: int, fold: Fold) -> None:
    """Whether the window was open from the beginning or is opened at the end, the entries are the same; and no line is lost."""
    filled = Filled(lines=1 << 14, text=1 << 20)
    try:
        placed = [Mark(BEGIN, "m", at) for at in sorted(set(marks))]
        window = Window(filled.spool, fold=fold, marks=placed)
        for begin in range(0, len(written), step):
            filled.add(*written[begin : begin + step])
            window.look(BEGIN)
            list(window.items())
        fresh = Window(filled.spool, fold=fold, marks=placed)
        fresh.look(BEGIN)
        there = list(window.items())
        anew = list(fresh.items())
        # A trace may have been folded before its last line came; what is counted and in sight is the same.
        assert sum(i.count if isinstance(i, Entry) else 0 for i in there) == sum(
            i.count if isinstance(i, Entry) else 0 for i in anew
        )
        if "  more" not in written:
            assert there == anew
        for items in (there, anew):
            numbers = [n for item in items if isinstance(item, Entry) for n in (item.last, item.first)]
            assert numbers == sorted(numbers, reverse=True)
    finally:
        filled.close()


def fills(window: Window, height: int) -> bool:
    return len(window.in_sight(STYLE, 80, height)[0]) >= height


def test_scrolling_goes_by_entries_and_back(filled: Filled) -> None:
    filled.add(*(f"INFO {chr(97 + n)}{chr(97 + m)}" for n in range(20) for m in range(20)))
    window = Window(filled.spool)
    assert shown(window, 5)[-1].endswith("tt")
    window.up(3, lambda: fills(window, 5))
    assert not window.follow
    assert shown(window, 5)[-1].endswith("tq")
    filled.add("INFO new one", "INFO new two")
    assert shown(window, 5)[-1].endswith("tq")  # standing still
    assert window.below == 5
    window.down(2)
    assert shown(window, 5)[-1].endswith("ts")
    window.to_beginning(lambda: fills(window, 5))
    assert [row[-2:] for row in shown(window, 5)] == ["aa", "ab", "ac", "ad", "ae"]
    window.up(9, lambda: fills(window, 5))
    assert [row[-2:] for row in shown(window, 5)] == ["aa", "ab", "ac", "ad", "ae"]
    window.to_end()
    assert shown(window, 5)[-1].endswith("new two")
    assert window.below == 0


def test_standing_still_while_the_ring_turns_shows_what_is_still_there() -> None:
    filled = Filled(lines=4096, text=1 << 20)
    try:
        filled.add(*(f"INFO {n}x" for n in range(100)))
        window = Window(filled.spool, fold=Fold.OFF)
        window.look(BEGIN)
        window.up(1, lambda: fills(window, 5))
        for begin in range(100, 20_000, 500):
            filled.add(*(f"INFO {n}x" for n in range(begin, begin + 500)))
            window.look(BEGIN)
            rows = shown(window, 5)
            assert rows
            assert all("INFO" in row for row in rows)
    finally:
        filled.close()


def test_since_moves_on_with_the_clock(filled: Filled) -> None:
    filled.add(*(f"INFO {chr(97 + n)}x" for n in range(10)))
    window = Window(filled.spool, since=5_000)
    now = filled.time
    window.look(now)
    assert len(list(window.items())) == 6
    window.look(now + 3_000)
    assert len(list(window.items())) == 3
    window.look(now + 60_000)
    assert list(window.items()) == []


def test_columns_by_release(filled: Filled) -> None:
    filled.add("INFO new", side=Side.NEW)
    filled.add("INFO old", side=Side.OLD)
    filled.add("INFO none")
    window = Window(filled.spool)
    window.look(BEGIN)
    window.passing(Side.NEW).step(1)
    window.passing(Side.OLD).step(1)
    assert [row[-3:] for row in shown(window, side=Side.NEW)] == ["new"]
    assert [row[-3:] for row in shown(window, side=Side.OLD)] == ["old"]
    assert [row[16:18] for row in shown(window, style=Style(HOSTS, sides=True))] == ["N ", "O ", "  "]


@given(st.text(max_size=80), st.integers(2, 30))
def test_wrapping_loses_nothing_and_fits(text: str, width: int) -> None:
    broken = list(pieces(text, width))
    assert "".join(broken) == text
    assert all(cells(piece) <= width for piece in broken)


@given(st.text(st.characters(categories=["L", "N", "Zs", "M", "S"]), max_size=200), st.integers(20, 120), st.booleans())
@settings(deadline=None)
def test_every_row_is_as_wide_as_the_pane(text: str, width: int, wrap: bool) -> None:
    filled = Filled(lines=1 << 14, text=1 << 20)
    try:
        filled.add("ERROR " + text.replace("\n", " "))
        window = Window(filled.spool)
        window.look(BEGIN)
        for item in window.items():
            for row in rows_of(item, Style(HOSTS, wrap=wrap, matcher=matcher("e")), width):
                assert cells(plain(row)) == width
    finally:
        filled.close()
