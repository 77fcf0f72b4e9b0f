"""Checks the audit chain against itself and against anchors kept elsewhere, and writes it out. Changes nothing."""

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import msgspec

from quarterdeck.history.chain import START, link
from quarterdeck.history.feed import COLUMNS
from quarterdeck.history.journal import Journal

PAGE = 2000  # rows a read: short reads keep writers from waiting
MOST_FAULTS = 100  # named one by one


class AuditReport(msgspec.Struct, frozen=True):
    """``faults`` are sentences, one for each thing found; ``events`` is how many there are."""

    ok: bool
    events: int
    faults: list[str]


def verify(journal: Journal, anchors: Sequence[tuple[str, int, str]] = ()) -> AuditReport:
    """Recomputes the whole chain and compares it with ``anchors``: (where it was kept, number of the event, its hash).

    A journal whose end was cut off, or that was rewritten from some point on, is told by anchors only.
    """
    faults: list[str] = []
    more = 0
    wanted: dict[int, list[tuple[str, str]]] = {}
    for where, number, anchored in anchors:
        wanted.setdefault(number, []).append((where, anchored))
    expected, previous, events, unlinked = 1, START, 0, False
    for seq, time, uid, who, kind, target, rollout, host, body, stored in _rows(journal):
        found: list[str] = []
        if seq < expected:
            faults.append(f"event {seq} was put in: events begin with 1")
            continue
        if seq > expected:
            found.append(_missing(expected, seq - 1))
            unlinked = True
        # After a gap the previous hash is not known: this event can't be judged, the next one can.
        if not unlinked and link(previous, seq, time, uid, who, kind, target, rollout, host, body) != stored:
            found.append(f"event {seq} ({kind}, {time}, {who}) was changed, or what stands before it was")
        for where, anchored in wanted.pop(seq, ()):
            if anchored != stored:
                found.append(
                    f"event {seq} is not the one that {where} was told: it or what stands before it was rewritten"
                )
        room = MOST_FAULTS - len(faults)
        faults += found[:room]
        more += len(found[room:])
        expected, previous, events, unlinked = seq + 1, stored, events + 1, False
    last = expected - 1
    for number in sorted(wanted):
        for where, _ in wanted[number]:
            if number > last:
                faults.append(
                    f"the journal ends at event {last}, but {where} was told of event {number}: its end was cut off"
                )
            elif number > 0:
                faults.append(f"event {number}, which {where} was told of, is missing")
    if more:
        faults.append(f"and {more} more")
    return AuditReport(not faults, events, faults)


def export(journal: Journal, out: TextIO, format: str = "jsonl") -> int:
    """Writes all events to ``out``, as JSON lines or CSV; returns how many. Raises ``ValueError``: another format."""
    names = COLUMNS.split(", ")
    count = 0
    if format == "jsonl":
        for row in _rows(journal):
            event = dict(zip(names, row, strict=True))
            event["body"] = json.loads(event["body"])
            out.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n")
            count += 1
        return count
    if format == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        for row in _rows(journal):
            writer.writerow([_harmless(value) for value in row])
            count += 1
        return count
    raise ValueError(f"unknown format {format!r}: jsonl and csv are known")


def _rows(journal: Journal) -> Iterator[tuple[Any, ...]]:
    """All rows in order, as stored, a page at a time."""
    after: int | None = None
    while page := journal.raw_events(after, PAGE):
        yield from page
        after = page[-1][0]


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
