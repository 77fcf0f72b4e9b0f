"""The feed: events in order, found by what they are about, seen by every other connection."""

from pathlib import Path

import pytest

from quarterdeck.history.chain import START
from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Observation


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert journal.head() == (0, START) == (0, "0" * 64)
    assert journal.events() == []


def test_events_are_found_by_number_and_subject(journal: Journal) -> None:
    for number in range(1, 7):
        journal.record(
            "tick" if number % 2 else "tock",
            target="a/b" if number < 4 else "c/d",
            rollout=number // 3,
            body={"n": number},
        )
    assert [event.seq for event in journal.events()] == [1, 2, 3, 4, 5, 6]
    assert [event.seq for event in journal.events(4)] == [5, 6]
    assert [event.seq for event in journal.events(limit=2, newest_first=True)] == [6, 5]
    assert [event.seq for event in journal.events(newest_first=True, before=3)] == [2, 1]
    assert [event.seq for event in journal.events(1, before=4)] == [2, 3]
    assert [event.seq for event in journal.events(target="c/d")] == [4, 5, 6]
    assert [event.seq for event in journal.events(rollout=1)] == [3, 4, 5]
    assert [event.seq for event in journal.events(kind="tock", target="c/d", rollout=2)] == [6]
    assert journal.events()[2].body == {"n": 3}
    assert journal.head() == (6, journal.events(newest_first=True, limit=1)[0].hash)


def test_every_event_of_a_rollout_is_there_however_many_there_are(journal: Journal) -> None:
    for number in range(1203):
        journal.record("tick", rollout=1 + number % 2, body={"n": number})
    assert [event.body["n"] for event in journal.every_event(1)] == list(range(0, 1203, 2))


def test_another_connection_notices_a_commit_and_reads_it(journal: Journal, other: Journal) -> None:
    before = other.data_version()
    assert other.data_version() == before
    written = journal.note("watch the queue", target="a/b")
    assert other.data_version() != before
    assert other.events() == [written]
    assert written.body == {"text": "watch the queue"}


def test_any_text_and_any_value_can_be_recorded(journal: Journal) -> None:
    odd = 'line\nnul\0 quote" back\\slash é 😀 \x7f \u2028 lone \udcff end'
    journal.record("odd", target=odd, host=odd, body={"text": odd, odd: [1, 2.5, None, True], "path": Path("/srv")})
    (event,) = journal.events()
    clean = odd.replace("\udcff", "?")
    assert (event.target, event.host) == (clean, clean)
    assert event.body == {"text": clean, clean: [1, 2.5, None, True], "path": "/srv"}


def test_a_failed_change_leaves_neither_event_nor_state(journal: Journal) -> None:
    journal.record("first")
    with pytest.raises(JournalError):
        journal.judge("unknown", "good", "because")
    assert journal.head()[0] == 1
    journal.record("second")
    assert [event.seq for event in journal.events()] == [1, 2]


def test_observations_replace_each_other_and_are_no_events(journal: Journal, other: Journal) -> None:
    seen = [
        Observation("a/b", f"web-{n}", "2026-11-23T18:30:00.123Z", "v1-x", "v1", "healthy", None, {"n": n})
        for n in (1, 2)
    ]
    journal.observe(seen)
    later = Observation("a/b", "web-2", "2026-11-23T18:31:00.000Z", None, None, "unknown", "no answer", {})
    journal.observe([later])
    assert other.observations("a/b") == [seen[0], later]
    assert other.observations("c/d") == []
    assert journal.head()[0] == 0


def test_a_debt_is_owed_until_it_is_settled(journal: Journal, other: Journal) -> None:
    journal.add_debt("a/b", "web-3", "v1-x", 12, "unreachable")
    (debt,) = other.debts("a/b")
    assert (debt.host, debt.release, debt.rollout, debt.reason) == ("web-3", "v1-x", 12, "unreachable")
    other.settle_debt("a/b", "web-3")
    other.settle_debt("a/b", "web-3")
    assert journal.debts() == []
    assert [event.kind for event in journal.events()] == ["debt", "debt.settled"]
