"""``qd history``, ``releases`` and ``diff``: what ran when, what became of each release, what differs between two of them."""

import argparse
from typing import TYPE_CHECKING, Any

from quarterdeck.tui.cli import completion
from quarterdeck.tui.cli.exits import Exit, UsageError
from quarterdeck.tui.cli.following import describe
from quarterdeck.tui.cli.parser import Parser, add_command
from quarterdeck.tui.cli.reading import add_limit, event_value
from quarterdeck.tui.cli.times import age, day_and_clock

if TYPE_CHECKING:
    from quarterdeck.config.release import Release
    from quarterdeck.history.records import Event, ReleaseRow
    from quarterdeck.rollouts.commits import Between
    from quarterdeck.tui.cli.session import Session

PATIENCE = 1.0  # seconds that a card waits for git


DETAILS = frozenset({"worker", "fence", "release", "routed", "approvals.wanted", "queue.joined", "queue.left"})


def declare_history(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "history",
        run=run_history,
        description=(
            "The timeline: rollouts begun and ended, requests, takeovers, verdicts, notes; newest first.\n"
            "--steps adds every step on every host, and every measurement."
        ),
        example="qd history production/api\nqd history --limit 200 --json",
    )
    completion.add_target_or_environment(parser, "target")
    parser.add_argument("--steps", action="store_true", help="with every step, measurement, worker and fence")
    add_limit(parser, 40)


def declare_releases(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "releases",
        run=run_releases,
        description="The releases of a target, newest first: verdict, when it was last good, which hosts were seen running it.",
        example="qd releases production/api\nqd releases production/api --available\nqd releases production/api --json",
    )
    completion.add_target_or_environment(parser, "target")
    parser.add_argument(
        "--available",
        action="store_true",
        help="what lies where the target's artifacts come from (a registry's tags, tarballs), released or not, newest first",
    )
    add_limit(parser, 20)


def declare_diff(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = add_command(
        commands,
        "diff",
        run=run_diff,
        description=(
            "What differs between two releases: artifact, environment, files, secrets (by reference and\n"
            "fingerprint, never by value), how the service is run, health checks and hooks, and the commits\n"
            "between them where the fleet file says where the source is.\n\n"
            "Releases are named by their ids, or with --target by their versions."
        ),
        example="qd diff v142-0c6f3a9e11 v143-77b2d01c4f\nqd diff v142 v143 --target production/api",
    )
    completion.completes(
        parser.add_argument("--target", metavar="TARGET", help="whose versions A and B are"), completion.targets
    )
    completion.completes(parser.add_argument("before", metavar="A", help="the older release"), completion.releases)
    completion.completes(parser.add_argument("after", metavar="B", help="the newer release"), completion.releases)


def run_history(session: "Session", arguments: argparse.Namespace) -> int:
    session.tend()
    found = _timeline(session, arguments)
    session.printer.document({"fleet": session.fleet.name, "events": [event_value(event) for event in found]})
    if not found:
        session.printer.line("nothing has happened yet")
    for event in found:
        text, style = _event_line(event)
        session.printer.line(f"{day_and_clock(event.time)} {text}", style)
    return Exit.DONE


def _timeline(session: "Session", arguments: argparse.Namespace) -> "list[Event]":
    """The newest events of the targets asked for. Reads on until there are enough that are worth showing."""
    journal, limit = session.journal, int(arguments.limit)
    wanted = None if arguments.target is None else session.targets(arguments.target)
    only = wanted[0] if wanted is not None and len(wanted) == 1 else None
    found: list[Event] = []
    before: int | None = None
    while len(found) < limit:
        page = journal.events(limit=500, target=only, newest_first=True, before=before)
        if not page:
            break
        before = page[-1].seq
        found += [
            event
            for event in page
            if (arguments.steps or not _is_detail(event)) and (wanted is None or event.target in wanted)
        ]
    return found[:limit]


def _is_detail(event: "Event") -> bool:
    """Steps, each single measurement, and what only a debugger wants to know."""
    return event.kind.startswith(("step.", "analysis.")) or event.kind in DETAILS


def _event_line(event: "Event") -> tuple[str, str]:
    line, style = describe(event)
    where = event.target or "-"
    number = f"#{event.rollout}" if event.rollout else ""
    text = " ".join((line or event.kind).split())
    text = text.removeprefix("- ")
    who = f"  by {event.who}" if event.who and event.who not in text else ""
    return f"{where:<18} {number:<5} {text}{who}", style


def run_releases(session: "Session", arguments: argparse.Namespace) -> int:
    if arguments.available:
        from quarterdeck.tui.cli.offering import run_available

        return run_available(session, arguments)
    names = session.targets(arguments.target)
    journal = session.journal
    values: list[dict[str, Any]] = []
    for name in names:
        current = journal.current_release(name)
        running: dict[str, list[str]] = {}
        for seen in journal.observations(name):
            if seen.release:
                running.setdefault(seen.release, []).append(seen.host)
        for row in journal.releases(name, limit=arguments.limit):
            values.append(_release_value(row, current=row.id == current, hosts=running.get(row.id, [])))
    session.printer.document({"fleet": session.fleet.name, "releases": values})
    if not values:
        session.printer.line("no releases yet")
        return Exit.DONE
    session.printer.table(
        ("TARGET", "RELEASE", "VERDICT", "LAST GOOD", "DIGEST", "HOSTS"),
        [
            (
                value["target"],
                ("> " if value["current"] else "  ") + value["release"],
                value["verdict"],
                age(value["last_good"]),
                value["digest"][:8],
                ",".join(value["hosts"]) or "-",
            )
            for value in values
        ],
        [{"good": "ok", "bad": "bad"}.get(value["verdict"], "") for value in values],
    )
    return Exit.DONE


def _release_value(row: "ReleaseRow", *, current: bool, hosts: list[str]) -> dict[str, Any]:
    return {
        "target": row.release.target,
        "release": row.id,
        "version": row.release.version,
        "digest": row.release.artifact.sha256,
        "verdict": str(row.verdict),
        "verdict_reason": row.verdict_reason,
        "first_seen": row.first_seen,
        "last_good": row.last_good,
        "created": row.release.created,
        "by": row.release.created_by,
        "current": current,
        "hosts": hosts,
    }


def run_diff(session: "Session", arguments: argparse.Namespace) -> int:
    from quarterdeck.rollouts import commits
    from quarterdeck.rollouts.differences.releases import compare, lines, to_value

    before = _named_release(session, arguments.before, arguments.target)
    after = _named_release(session, arguments.after, arguments.target)
    difference = compare(before.release, after.release)
    found = commits_between(session, before.release, after.release)
    session.printer.document(to_value(difference) | {"commits": commits.to_value(found)})
    for text, mark in [*lines(difference), *commits.lines(found)]:
        session.printer.line(text, {"+": "ok", "-": "bad", "=": "bold"}.get(mark, ""))
    return Exit.DONE


def commits_by_now(session: "Session", before: str | None, after: str | None) -> "Between | None":
    """Of two releases by their ids, for a card: what git says within a moment, else that it has not answered. None: no source is declared,
    or there are no two."""
    import asyncio
    import threading

    from quarterdeck.rollouts.commits import Between, between

    rows = [session.journal.release(id) for id in (before, after) if id]
    if len(rows) < 2 or rows[0] is None or rows[1] is None or before == after:
        return None
    old, new = rows[0].release, rows[1].release
    if new.target.partition("/")[2] not in session.fleet.sources:
        return None
    found: list[Between | None] = []
    asking = threading.Thread(target=lambda: found.append(asyncio.run(between(session.fleet, old, new))), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return (
        found[0]
        if found
        else Between(fault=f"commits not known: git has not answered yet; see: qd diff {before} {after}")
    )


def commits_between(session: "Session", before: "Release", after: "Release") -> "Between | None":
    """From git; why that can't be said is in it, too. None: no source is declared."""
    if after.target.partition("/")[2] not in session.fleet.sources:
        return None
    import asyncio

    from quarterdeck.rollouts.commits import UNASKED, Between, between

    if session.read_only:
        return Between(fault=UNASKED)
    return asyncio.run(between(session.fleet, before, after))


def _named_release(session: "Session", word: str, target: str | None) -> "ReleaseRow":
    """By id, or with a target (or when one target only knows it) by version. Raises UsageError with the nearest names."""
    row = session.journal.release(word)
    if row is not None:
        return row
    names = [session.target(target).name] if target else list(session.fleet.targets)
    rows = [row for name in names for row in session.journal.releases(name, limit=500)]
    matches = [row for row in rows if row.release.version == word]
    owners = {row.release.target for row in matches}
    if len(owners) == 1:
        good = [row for row in matches if row.verdict == "good"]
        return (good or matches)[0]
    if owners:
        raise UsageError(f"{word} is a version of {', '.join(sorted(owners))}; say which with --target")
    import difflib

    known = list(dict.fromkeys(name for row in rows for name in (row.release.version, row.id)))
    nearest = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "qd releases lists them"
    raise UsageError(f"there is no release {word!r}; {hint}")
