"""What a line says of itself: its time and how bad it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.rollouts.logs.lines import Clock, belongs_to_the_line_before, level_of
from quarterdeck.rollouts.logs.spool import Level

AT = 1795530727000  # 2026-11-24T14:32:07Z

LEVELS = [
    ("ERROR KeyError: 'tax_rate'", Level.ERROR),
    ("WARN  slow query", Level.WARN),
    ("INFO 'GET /' 200", Level.INFO),
    ("DEBUG x", Level.DEBUG),
    ("[warn] x", Level.WARN),
    ("[2026] [error] [client ::1] x", Level.ERROR),
    ("error: no such file", Level.ERROR),
    ("main WARNING: deprecated", Level.WARN),
    ("ts=1 level=warning msg=x", Level.WARN),
    ('msg="level" lvl=eror', Level.ERROR),
    ('{"level":"error","msg":"x"}', Level.ERROR),
    ('{"msg":"a long message first", "severity": "CRITICAL"}', Level.ERROR),
    ('{"level":30,"msg":"x"}', Level.INFO),
    ('{"level":50,"msg":"x"}', Level.ERROR),
    ("E1123 14:32:07.123456 1 server.go:12] x", Level.ERROR),
    ("an error happened", Level.UNKNOWN),
    ("GET /errors/ERROR.html took long, and more words here so that ERROR says nothing", Level.UNKNOWN),
    ("", Level.UNKNOWN),
]


@pytest.mark.parametrize(("text", "level"), LEVELS)
def test_levels(text: str, level: Level) -> None:
    assert level_of(text) is level
    prefix = "2026-11-24T14:32:07.123Z "
    assert level_of(prefix + text, len(prefix)) is level


TIMES = [
    ("2026-11-24T14:32:07.123Z INFO x", AT + 123, "INFO x"),
    ("2026-11-24 14:32:07,5 x", AT + 500, "x"),
    ("2026-11-24T14:32:07Z x", AT, "x"),
    ("2026-11-24T14:32:07.123456789Z x", AT + 123, "x"),
    ("[2026-11-24T16:32:07+02:00] x", AT, "x"),
    ("2026-11-24T09:02:07.1-0530 x", AT + 100, "x"),
    ("2026-11-24 14:32:07 UTC x", AT, "x"),
    ("2026-99-24T14:32:07Z x", 0, "2026-99-24T14:32:07Z x"),
    ("at 2026-11-24T14:32:07Z x", 0, "at 2026-11-24T14:32:07Z x"),
    ("x", 0, "x"),
]


@pytest.mark.parametrize(("text", "milliseconds", "rest"), TIMES)
def test_times(text: str, milliseconds: int, rest: str) -> None:
    clock = Clock()
    for _ in range(2):  # the second time by the quick way, where there is one
        when, skip = clock.read(text)
        assert (when, text[skip:]) == (milliseconds, rest)


def test_the_quick_way_reads_what_the_slow_one_reads() -> None:
    clock = Clock()
    for text in ("2026-11-24T14:32:07.123Z a", "2026-11-24T14:32:07.9Z bcd", "2026-11-24T14:32:07.456+01:00 c"):
        assert clock.read(text) == Clock().read(text)


@given(st.text(max_size=60), st.integers(0, 30))
def test_nothing_a_host_writes_is_too_much(text: str, skip: int) -> None:
    level_of(text, skip)
    when, cut = Clock().read(text)
    assert 0 <= cut <= min(len(text), 255)
    assert (when == 0) == (cut == 0)


def test_stack_traces() -> None:
    assert belongs_to_the_line_before('  File "price.py", line 88')
    assert belongs_to_the_line_before("\tat com.example.Main")
    assert belongs_to_the_line_before("Traceback (most recent call last):")
    assert not belongs_to_the_line_before("KeyError: 'x'")
