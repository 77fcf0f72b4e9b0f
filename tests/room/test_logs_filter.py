"""The filter of the logs: the same lines as by looking at each one alone, the end of a million at once, new ones as they come."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.rollouts.logs.spool import Block, Level, Side
from quarterdeck.tui.room.logs.sieve import Search, Sieve, passing
from quarterdeck.tui.room.matching import matcher
from tests.room.spools import HOSTS, Filled

WORDS = ["GET /api/orders 200", "tax_rate is missing", "Slow query 812ms", "café opened", "TAX paid", ""]
FILTERS = [
    "",
    "tax",
    "TAX",
    "!tax",
    "t.x",
    "!5..",
    "-f txr",
    "web-2",
    "!web-1",
    "web-1 error",
    "café",
    "CAFÉ",
    "200",
    "[x",
]


@pytest.fixture
def filled() -> Iterator[Filled]:
    made = Filled()
    yield made
    made.close()


def by_hand(filled: Filled, sieve: Sieve) -> list[int]:
    """What passes, line by line, by the words of the design."""
    found = []
    for line in filled.spool.block(filled.spool.floor, filled.spool.head).lines():
        if line.level is Level.NOTICE:
            found.append(line.number)
            continue
        least = {"all": 0, "warn": 3, "error": 4}.get(sieve.level, 0)
        level = line.level != Level.DEBUG if sieve.level == "info" else line.level >= least
        side = sieve.side is Side.NONE or line.side is sieve.side
        if level and side and sieve.matcher.matches(f"{HOSTS[line.host]} {line.body}"):
            found.append(line.number)
    return found


lines = st.lists(
    st.tuples(
        st.sampled_from(["INFO ", "ERROR ", "WARN ", "DEBUG ", ""]),
        st.sampled_from(WORDS),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(
    lines,
    st.sampled_from(FILTERS),
    st.sampled_from(["all", "info", "warn", "error"]),
    st.integers(0, 2),
    st.integers(0, 60),
)
@settings(max_examples=150, deadline=None)
def test_the_same_lines_as_one_by_one(
    written: list[tuple[str, str, int, int]], words: str, level: str, side: int, anchor: int
) -> None:
    filled = Filled(lines=1 << 14, text=1 << 20)
    try:
        for prefix, text, host, of in written:
            filled.add(prefix + text, host=host, side=of)
        filled.notice("is silent: no answer")
        sieve = Sieve(matcher(words), level, Side(side), HOSTS)
        wanted = by_hand(filled, sieve)
        search = Search(filled.spool, sieve, anchor)
        assert search.step(10)
        assert list(search.after(0, 1000)) == wanted
        assert search.total == len(wanted)
        for at in (0, anchor, len(written)):
            assert list(search.before(at, 7)) == [n for n in wanted if n < at][-7:]
            assert list(search.after(at, 7)) == [n for n in wanted if n >= at][:7]
            assert search.behind(at) == sum(n >= at for n in wanted)
    finally:
        filled.close()


def test_lines_that_come_are_looked_at_and_those_that_go_are_forgotten() -> None:
    filled = Filled(lines=4096, text=1 << 20)
    try:
        sieve = Sieve(matcher("odd"), hosts=HOSTS)
        search = Search(filled.spool, sieve, 0)
        for begin in range(0, 10_000, 100):
            filled.add(*(f"{'odd' if n % 2 else 'even'} {n}" for n in range(begin, begin + 100)))
            assert search.step(10)
            floor = filled.spool.floor
            assert search.total == sum(n % 2 for n in range(floor, begin + 100))
            assert list(search.before(begin + 100, 2)) == [begin + 97, begin + 99]
        assert filled.spool.floor > 0
        assert next(iter(search.after(0, 1))) >= filled.spool.floor
    finally:
        filled.close()


def test_what_is_in_sight_answers_before_everything_has_been_looked_at(filled: Filled) -> None:
    """A million lines: the last screenful is there after a look at the end of them alone."""
    for begin in range(0, 1_000_000, 8000):
        filled.writer.add(
            [f"INFO GET /orders/{n} 200" if n != 7 else "INFO the only one" for n in range(begin, begin + 8000)],
            [begin << 20 | 2] * 8000,
            [0] * 8000,
        )
    filled.spool.look()
    search = Search(filled.spool, Sieve(matcher("orders"), hosts=HOSTS), filled.spool.head)
    search.step(60, lambda: len(search.before(filled.spool.head, 50)) >= 50)
    assert not search.complete
    assert search.total < 50_000
    rare = Search(filled.spool, Sieve(matcher("only"), hosts=HOSTS), filled.spool.head)
    began = time.process_time()
    rare.step(0.02)
    assert time.process_time() - began < 0.5  # a slice of time is kept to, whatever is looked for
    while not rare.step(0.05):
        pass
    assert list(rare.before(1_000_000, 3)) == [7]


@given(lines, st.sampled_from(["t", "ta", "web", "2", "s", "TA"]), st.sampled_from(["a", "x", "b-2", "0", "low", "X"]))
@settings(max_examples=100, deadline=None)
def test_a_letter_more_finds_what_a_search_from_the_beginning_finds(
    written: list[tuple[str, str, int, int]], words: str, more: str
) -> None:
    filled = Filled(lines=1 << 14, text=1 << 20)
    try:
        for prefix, text, host, of in written:
            filled.add(prefix + text, host=host, side=of)
        filled.notice("is silent: no answer")
        before = Search(filled.spool, Sieve(matcher(words), hosts=HOSTS), len(written) // 2)
        before.step(10)
        sieve = Sieve(matcher(words + more), hosts=HOSTS)
        narrowed = before.narrowed(sieve)
        if narrowed is None:  # only where the case counts all of a sudden
            assert words == words.lower()
            assert more != more.lower()
            return
        assert narrowed.complete
        filled.add("INFO web-2 taxa tx slow 20")
        narrowed.step(10)
        assert list(narrowed.after(0, 1000)) == by_hand(filled, sieve)
    finally:
        filled.close()


def test_lines_that_bytes_rule_out_are_not_taken_apart(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.add(*(f"INFO GET /orders/{n}" for n in range(40_000)))
    taken: list[int] = []
    whole = filled.spool.block

    def counting(first: int, last: int) -> Block:
        taken.append(last - first)
        return whole(first, last)

    monkeypatch.setattr(filled.spool, "block", counting)
    search = Search(filled.spool, Sieve(matcher("orders/39999"), hosts=HOSTS), filled.spool.head)
    assert search.step(60)
    assert (list(search.after(0, 9)), len(taken)) == ([39_999], 1)


def test_no_filter_costs_no_search(filled: Filled) -> None:
    filled.add(*(f"line {n}" for n in range(100)))
    everything = passing(filled.spool, Sieve(), 0)
    assert everything.complete
    assert (list(everything.before(50, 3)), list(everything.after(98, 9)), everything.behind(90)) == (
        [47, 48, 49],
        [98, 99],
        10,
    )


def test_a_time_is_found_by_its_digits(filled: Filled) -> None:
    filled.add("2026-11-24T14:32:07.123Z INFO one", "2026-11-24T15:00:00.000Z INFO two")
    for words in ("14:32", "14:3."):
        search = Search(filled.spool, Sieve(matcher(words), hosts=HOSTS), 2)
        search.step(10)
        assert list(search.before(2, 9)) == [0]
