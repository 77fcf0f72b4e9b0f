"""Lines of several hosts in one order."""

from quarterdeck.backends.hosts.contract import LogLine
from quarterdeck.rollouts.logs.merged import Back, Entry, Silent, merge, time_of


def test_by_time_with_lines_without_a_time_staying_where_they_were() -> None:
    entries: list[Entry] = [
        LogLine("a", "a.log: 2026-11-23T10:00:00Z first"),
        LogLine("a", "a.log:   File price.py, line 88"),
        LogLine("a", "a.log: 2026-11-23T10:00:09Z last"),
        Silent("c", "no answer"),
        LogLine("b", "second", time="2026-11-23T10:00:05.000000Z"),
        LogLine("b", "and more of it"),
    ]
    assert [(entry.host, getattr(entry, "text", "")[-4:]) for entry in merge(entries)] == [
        ("c", ""),
        ("a", "irst"),
        ("a", "e 88"),
        ("b", "cond"),
        ("b", "f it"),
        ("a", "last"),
    ]
    assert list(merge([Back("a")])) == [Back("a")]


def test_each_file_of_a_host_by_its_own_times() -> None:
    entries: list[Entry] = [
        LogLine("a", "app.log: 2026-11-23T10:00:01Z one", source="app.log: "),
        LogLine("a", "app.log: 2026-11-23T10:00:09Z nine", source="app.log: "),
        LogLine("a", "service.log: began before five", source="service.log: "),
        LogLine("a", "service.log: 2026-11-23T10:00:05Z five", source="service.log: "),
        LogLine("a", "service.log: goes with five", source="service.log: "),
        LogLine("b", "2026-11-23T10:00:03Z three"),
    ]
    found = [entry.text.rpartition(": ")[2] for entry in merge(entries) if isinstance(entry, LogLine)]
    assert [text.removeprefix("2026-11-23T10:00:0")[3:] if text[0] == "2" else text for text in found] == [
        "one",
        "three",
        "began before five",
        "five",
        "goes with five",
        "nine",
    ]


def test_a_clock_that_went_back_keeps_the_order_of_its_host() -> None:
    entries = [
        LogLine("a", "2026-11-23T10:00:09Z one"),
        LogLine("a", "2026-11-23T10:00:01Z two"),
        LogLine("b", "2026-11-23T10:00:05Z b"),
    ]
    assert [entry.text[-3:] for entry in merge(list(entries)) if isinstance(entry, LogLine)] == ["Z b", "one", "two"]


def test_the_time_of_a_line() -> None:
    assert time_of(LogLine("a", "x", time="2026-11-23T10:00:00Z")) == "2026-11-23T10:00:00Z"
    assert time_of(LogLine("a", "web.log: 2026-11-23 10:00:00,5 hello")) == "2026-11-23T10:00:00.500000Z"
    assert time_of(LogLine("a", "[2026-11-23T10:00:00] hello")) == "2026-11-23T10:00:00.000000Z"
    assert time_of(LogLine("a", "at some time: 2026-11-23T10:00:00")) is None
