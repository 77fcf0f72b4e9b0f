"""What an environment has proved of an artifact: whether it was good there, and how long it ran.

Reads the journal and changes nothing. Trusts the wall clock only across a restart of this machine.
"""

from datetime import datetime

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Moment, Stood
from quarterdeck.rollouts.policy import Sighting

LOOKED_AT = 200  # releases and rollouts of a target, the newest
NAMED = 3  # other versions that are told


def seen_before(journal: Journal, target: str, sha256: str, *, wanted_by: str = "") -> Sighting:
    """What ``target`` says of the artifact, whether it runs there still or a later one has taken its place. What is bad on
    ``wanted_by`` is not told as good."""
    current = journal.current_release(target)
    rows = {row.id: row for row in journal.releases(target, LOOKED_AT)}
    now = rows[current].release.version if current in rows else None
    same = [row for row in rows.values() if row.release.artifact.sha256 == sha256]
    refuted = {
        row.release.artifact.sha256 for row in journal.releases(wanted_by, LOOKED_AT) if row.verdict == "bad"
    } | {sha256}
    good = [row for row in rows.values() if row.verdict == "good" and row.release.artifact.sha256 not in refuted]
    others = tuple(dict.fromkeys(row.release.version for row in good))[:NAMED]
    if not same:
        return Sighting(None, 0.0, now, others)
    # The last word counts: of what runs there, else of the newest release of this artifact that was judged at all.
    judged = [row for row in same if row.id == current] or [row for row in same if row.verdict != "untried"] or same
    mine = {row.id for row in same if row.verdict == "good"}
    return Sighting(judged[0].verdict, longest(journal.stood(target, LOOKED_AT), mine, journal.moment()), now, others)


def longest(stood: list[Stood], releases: set[str], now: Moment) -> float:
    """Seconds of the longest time without a break in which one of ``releases`` was what ran. ``stood``: the newest first."""
    best = total = 0.0
    until = now
    for one in stood:
        total = total + elapsed(one.since, until) if one.release in releases else 0.0
        best = max(best, total)
        until = one.since
    return best


def elapsed(start: Moment, end: Moment) -> float:
    """Seconds by the clock of the boot, which nothing sets. Across a restart, and for what was journalled without it, the wall
    clock must do: never less than this machine is up since then, and never below 0."""
    if start.boot and start.boot == end.boot:
        return max(0.0, (end.boottime - start.boottime) / 1e9)
    wall = (datetime.fromisoformat(end.time) - datetime.fromisoformat(start.time)).total_seconds()
    at_least = end.boottime / 1e9 if start.boot and end.boot else 0.0
    return max(0.0, wall, at_least)
