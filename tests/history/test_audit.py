"""The audit chain: one canonical form, verified and written out page by page."""

import csv
import hashlib
import io
import json

import pytest

from quarterdeck.config.release import canonical
from quarterdeck.history import audit
from quarterdeck.history.journal import Journal

ODD = 'line\nnul\0 quote" back\\slash é 😀 \x7f \u2028'


def fill(journal: Journal) -> None:
    journal.record("plain")
    journal.record(
        "odd", target=ODD, rollout=12, host=ODD, body={ODD: [1, 2.5, -0.0, 1e300, None, True, {"b": 1, "a": 2}]}
    )
    journal.note("=HYPERLINK()", target="production/api")


def test_the_hash_is_that_of_the_previous_one_and_the_canonical_json(journal: Journal) -> None:
    fill(journal)
    previous = "0" * 64
    for event in journal.events():
        content = {
            name: getattr(event, name)
            for name in ("seq", "time", "uid", "who", "kind", "target", "rollout", "host", "body")
        }
        assert event.hash == hashlib.sha256(previous.encode() + canonical(content)).hexdigest()
        previous = event.hash
    assert journal.head() == (3, previous)


def test_an_untouched_journal_is_verified_over_page_borders(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit.verify(journal) == audit.AuditReport(True, 0, [])
    monkeypatch.setattr(audit, "PAGE", 2)
    anchors = []
    for _ in range(3):
        fill(journal)
        anchors.append(("web-1", *journal.head()))
    assert audit.verify(journal, anchors) == audit.AuditReport(True, 9, [])


def test_the_export_holds_everything(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 2)
    fill(journal)
    lines = io.StringIO()
    assert audit.export(journal, lines) == 3
    exported = [json.loads(line) for line in lines.getvalue().split("\n")[:-1]]
    assert [row["hash"] for row in exported] == [event.hash for event in journal.events()]
    assert exported[1]["body"] == journal.events()[1].body
    table = io.StringIO(newline="")
    assert audit.export(journal, table, "csv") == 3
    table.seek(0)
    rows = list(csv.DictReader(table))
    assert [row["seq"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["target"] == ODD
    assert json.loads(rows[2]["body"]) == {"text": "=HYPERLINK()"}
    with pytest.raises(ValueError, match="unknown format 'xml'"):
        audit.export(journal, io.StringIO(), "xml")


def test_no_cell_of_a_csv_is_a_formula(journal: Journal) -> None:
    journal.record("=1+1", target="@sum", host="-1")
    table = io.StringIO(newline="")
    audit.export(journal, table, "csv")
    table.seek(0)
    (row,) = csv.DictReader(table)
    assert (row["kind"], row["target"], row["host"]) == ("'=1+1", "'@sum", "'-1")
