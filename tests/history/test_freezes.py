"""Freezes that somebody makes by hand: written with who and why, ended once, in the chain."""

import pytest

from quarterdeck.history.audit import verify
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.journal import Journal


def test_a_freeze_holds_until_it_is_ended_once(journal: Journal) -> None:
    made = journal.freeze("production", None, "INC-77")
    journal.freeze("staging", "2026-12-24T12:00:00Z", "stock-taking")
    assert [one.environment for one in journal.made_freezes()] == ["production", "staging"]
    assert journal.made_freezes("production") == [made]
    ended = journal.end_freeze(made.id, "understood")
    assert (ended.ended_by, journal.made_freezes("production")) == (journal.operator.label, [])
    with pytest.raises(RequestRefused, match="was ended already"):
        journal.end_freeze(made.id)
    with pytest.raises(RequestRefused, match="there is no freeze 99"):
        journal.end_freeze(99)
    told = [event for event in journal.events() if event.kind.startswith("freeze")]
    assert [(event.kind, event.body["environment"], event.body["reason"]) for event in told] == [
        ("freeze", "production", "INC-77"),
        ("freeze", "staging", "stock-taking"),
        ("freeze.ended", "production", "understood"),
    ]
    assert verify(journal).ok
