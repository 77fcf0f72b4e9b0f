"""Promise 20: an edited history is detected, and what was edited is named.

Seen to fail without the comparison of hashes (edits, swaps, and deletions that are papered over go unseen), and without the look at how far
the anchors had come (a cut is told as something else).
"""

import hashlib
import json
from pathlib import Path

import pytest

from quarterdeck.config.release import canonical
from quarterdeck.history import audit
from quarterdeck.history.journal import Journal
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(20)

EVENTS = 40
Anchors = list[tuple[str, int, str]]


class Forgery:
    """A journal of forty events, and somebody who may write to its file with any tool."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.anchors: Anchors = []
        with Journal.open(state) as journal:
            for number in range(1, EVENTS + 1):
                journal.record(
                    "step.done", target="production/api", rollout=7, host=f"web-{number}", body={"seconds": number}
                )
                if number % 10 == 0:
                    self.anchors.append((f"host web-{number}", *journal.head()))

    def faults_after(self, *statements: str, anchors: Anchors | None = None) -> list[str]:
        """What verify finds after ``statements``, which are taken back afterwards."""
        with Journal.open(self.state) as journal:
            journal._connection.execute("BEGIN")
            for statement in statements:
                journal._connection.execute(statement)
            report = audit.verify(journal, self.anchors if anchors is None else anchors)
            journal._connection.execute("ROLLBACK")
        assert report.ok is (report.faults == [])
        return report.faults

    def rewrite_from(self, first: int) -> list[str]:
        """Statements that edit an event and recompute every hash after it: a chain without a flaw of its own."""
        with Journal.open(self.state) as journal:
            rows = journal.raw_events(None, EVENTS)
        statements = []
        previous = "0" * 64
        names = ("seq", "time", "uid", "who", "kind", "target", "rollout", "host", "body")
        for row in rows:
            event = dict(zip(names, row[:9], strict=True))
            event["body"] = {"seconds": 0} if event["seq"] == first else json.loads(event["body"])
            previous = hashlib.sha256(previous.encode() + canonical(event)).hexdigest()
            body = canonical(event["body"]).decode()
            statements.append(f"UPDATE event SET body = '{body}', hash = '{previous}' WHERE seq = {event['seq']}")
        return statements


@pytest.fixture(scope="module")
def forgery(tmp_path_factory: pytest.TempPathFactory) -> Forgery:
    return Forgery(tmp_path_factory.mktemp("forged") / "state")


def names(fault: str, seq: int) -> bool:
    return fault.startswith(f"event {seq} ")


def test_an_honest_journal_passes(forgery: Forgery) -> None:
    assert forgery.faults_after() == []


def test_every_edit_of_every_event_is_found_and_named(forgery: Forgery, promise: Promises) -> None:
    edits = (
        "time = '2026-01-01T00:00:00.000Z'",
        "uid = 4711",
        "who = 'mallory@elsewhere'",
        "kind = 'step.failed'",
        "target = 'production/other'",
        "target = NULL",
        "rollout = 8",
        "host = NULL",
        "body = '{\"seconds\":0}'",
        "body = body || ' '",
        "hash = 'f' || substr(hash, 2)",
        "hash = replace(replace(replace(hash, 'a', 'x'), 'b', 'a'), 'x', 'b')",
    )
    for number in range(1, EVENTS + 1):
        for edit in edits[number % 2 :: 2]:
            found = forgery.faults_after(f"UPDATE event SET {edit} WHERE seq = {number}", anchors=[])
            if not (edit.startswith("hash = 'f'") and found == []):  # one hash in sixteen begins with f already
                assert any(names(fault, number) or names(fault, number + 1) for fault in found), (number, edit, found)
                promise(20).count("edits")


def test_every_deletion_is_found_and_named(forgery: Forgery, promise: Promises) -> None:
    for number in range(1, EVENTS):
        assert forgery.faults_after(f"DELETE FROM event WHERE seq = {number}", anchors=[]) == [
            f"event {number} is missing"
        ]
        promise(20).count("deletions")
    assert forgery.faults_after("DELETE FROM event WHERE seq BETWEEN 5 AND 12", anchors=[]) == [
        "events 5 to 12 are missing"
    ]


def test_a_deletion_that_is_papered_over_is_found(forgery: Forgery, promise: Promises) -> None:
    for number in range(1, EVENTS):
        found = forgery.faults_after(
            f"DELETE FROM event WHERE seq = {number}",
            f"UPDATE event SET seq = -seq WHERE seq > {number}",
            "UPDATE event SET seq = -seq - 1 WHERE seq < 0",
            anchors=[],
        )
        assert names(found[0], number)
        promise(20).count("deletions")


def test_every_swap_is_found_and_both_are_named(forgery: Forgery, promise: Promises) -> None:
    for number in range(1, EVENTS):
        other = number % EVENTS + 1
        by_number = [
            f"UPDATE event SET seq = -1 WHERE seq = {number}",
            f"UPDATE event SET seq = {number} WHERE seq = {other}",
            f"UPDATE event SET seq = {other} WHERE seq = -1",
        ]
        found = forgery.faults_after(*by_number, anchors=[])
        assert any(names(fault, number) for fault in found)
        assert any(names(fault, other) for fault in found)
        promise(20).count("swaps")


def test_an_event_that_was_put_in_is_found(forgery: Forgery) -> None:
    copied = (
        "INSERT INTO event SELECT {0}, time, uid, who, kind, target, rollout, host, body, hash FROM event WHERE seq = 3"
    )
    assert names(forgery.faults_after(copied.format(EVENTS + 1), anchors=[])[0], EVENTS + 1)
    assert forgery.faults_after(copied.format(0), anchors=[]) == ["event 0 was put in: events begin with 1"]
    assert forgery.faults_after(copied.format(99), anchors=[]) == [f"events {EVENTS + 1} to 98 are missing"]


def test_a_truncation_is_found_by_the_anchors_that_were_told_of_more(forgery: Forgery, promise: Promises) -> None:
    for last in range(EVENTS):
        cut = f"DELETE FROM event WHERE seq > {last}"
        assert forgery.faults_after(cut, anchors=[]) == [], "the rest is a chain without a flaw"
        lost = [(where, seq) for where, seq, _ in forgery.anchors if seq > last]
        assert forgery.faults_after(cut) == [
            f"the journal ends at event {last}, but {where} was told of event {seq}: its end was cut off"
            for where, seq in lost
        ]
        assert lost
        promise(20).count("truncations")


def test_a_history_that_was_rewritten_without_a_flaw_is_found_by_the_anchors_after_it(
    forgery: Forgery, promise: Promises
) -> None:
    for first in (1, 7, 10, 25, 40):
        forged = forgery.rewrite_from(first)
        assert forgery.faults_after(*forged, anchors=[]) == []
        assert forgery.faults_after(*forged) == [
            f"event {seq} is not the one that {where} was told: it or what stands before it was rewritten"
            for where, seq, _ in forgery.anchors
            if seq >= first
        ]
        promise(20).count("histories rewritten")


def test_a_wholly_broken_history_does_not_drown_the_reader(
    forgery: Forgery, monkeypatch: pytest.MonkeyPatch, promise: Promises
) -> None:
    monkeypatch.setattr(audit, "MOST_FAULTS", 10)
    found = forgery.faults_after("UPDATE event SET uid = 4711", anchors=[])
    assert len(found) == 11
    assert found[-1] == "and 30 more"
    promise(20).count("edits")
